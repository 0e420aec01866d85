"""What a meta-training run is told, beside its optimizer and its task."""

import dataclasses
from typing import Literal

import optax

from learned_opt.training.objectives import Objective, convergence_rate, of_logarithms, weighted_sum
from learned_opt.training.tune import check_window
from learned_opt.training.walkers import check_truncation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a meta-training run.

    Attributes:
        horizon: inner steps of a trajectory.
        truncation: inner steps differentiated at once; divides the horizon.
        num_meta_steps: updates of theta.
        num_problems: problems unrolled side by side.
        second_order: whether to differentiate through the optimizee's gradients.
        weights: of the losses after each inner step: uniform, linear, final, or one number a step.
        log_floor: c, where the losses in that sum are to be log(loss + c); `None` for the losses themselves.
        rate_weight: lambda, the weight of the convergence rate in the objective.
        learning_rate: of the outer optimizer (Adam), at its peak.
        warmup_steps: meta-steps over which the learning rate rises from 0.
        final_fraction: of the learning rate that a cosine decay ends at.
        clip_norm: global norm that the meta-gradient is clipped to.
        problem_clip_norm: norm that each problem's share of it is clipped to before; `None` for no clipping.
        validate_every: meta-steps between validations; each is followed by a checkpoint.
        num_validation_problems: fresh problems that theta is selected on.
        window: the validation loss is averaged over this odd number of steps around the horizon.
        steps_per_call: meta-steps in one jitted call.
        seed: of everything random.
    """

    horizon: int = 100
    truncation: int = 20
    num_meta_steps: int = 1000
    num_problems: int = 64
    second_order: bool = False
    weights: Literal["uniform", "linear", "final"] | tuple[float, ...] = "uniform"
    log_floor: float | None = None
    rate_weight: float = 0.0
    learning_rate: float = 3e-3
    warmup_steps: int = 0
    final_fraction: float = 0.01
    clip_norm: float = 1.0
    problem_clip_norm: float | None = None
    validate_every: int = 100
    num_validation_problems: int = 64
    window: int = 1
    steps_per_call: int = 10
    seed: int = 0

    def __post_init__(self):
        # All of it before a run begins, so that a bad number leaves no directory behind.
        check_truncation(self.horizon, self.truncation)
        check_window(self.window)
        if not isinstance(self.weights, str) and len(self.weights) != self.horizon:
            raise ValueError(f"{len(self.weights)} weights for a horizon of {self.horizon} steps")
        for name in (
            "num_meta_steps",
            "num_problems",
            "validate_every",
            "num_validation_problems",
            "steps_per_call",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: it must be at least 1")
        for name in ("learning_rate", "clip_norm", "problem_clip_norm", "log_floor"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value!r}: it must be positive")
        if not 0 <= self.warmup_steps < self.num_meta_steps:
            raise ValueError(
                f"warmup_steps={self.warmup_steps!r}: it must be at least 0 and below "
                f"num_meta_steps={self.num_meta_steps}"
            )
        if not 0 <= self.final_fraction <= 1:
            raise ValueError(f"final_fraction={self.final_fraction!r}: it must be between 0 and 1")

    def objective(self) -> Objective:
        """The weighted sum of the losses minus lambda times the rate of convergence."""
        objective = weighted_sum(self.weights)
        if self.log_floor is not None:
            objective = of_logarithms(objective, self.log_floor)
        return objective - self.rate_weight * convergence_rate() if self.rate_weight else objective

    def outer_optimizer(self) -> optax.GradientTransformation:
        """Adam with warm-up, cosine decay and clipping; a meta-gradient that is not finite is skipped."""
        schedule = optax.warmup_cosine_decay_schedule(
            init_value=0.0 if self.warmup_steps else self.learning_rate,
            peak_value=self.learning_rate,
            warmup_steps=self.warmup_steps,
            decay_steps=self.num_meta_steps,
            end_value=self.final_fraction * self.learning_rate,
        )
        adam = optax.chain(optax.clip_by_global_norm(self.clip_norm), optax.adam(schedule))
        return optax.apply_if_finite(adam, max_consecutive_errors=self.num_meta_steps + 1)
