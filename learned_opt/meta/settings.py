"""What a meta-training run is told, beside its optimizer and its task."""

import dataclasses
from typing import Any, Literal

import optax

from learned_opt.core.types import Estimator, LearnedOptimizer, Task
from learned_opt.training.blend import blend
from learned_opt.training.bptt import truncated_bptt
from learned_opt.training.es import es
from learned_opt.training.full_unroll import full_unroll
from learned_opt.training.horizons import growing, log_uniform
from learned_opt.training.imitation import imitation
from learned_opt.training.nres import nres
from learned_opt.training.objectives import Objective, convergence_rate, of_logarithms, weighted_sum
from learned_opt.training.pes import pes
from learned_opt.training.tune import BASELINES, check_window, with_prox
from learned_opt.training.walkers import Horizon, check_truncation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a meta-training run.

    Attributes:
        horizon: inner steps of a trajectory; the most, where it is drawn or grows.
        truncation: inner steps differentiated, or compared, at once; divides the horizon. Without meaning for
            the estimator full.
        num_meta_steps: updates of theta.
        num_problems: problems unrolled side by side.
        estimator: of the meta-gradient: truncated backpropagation, backpropagation through whole trajectories
            in little memory, evolution strategies, the same without bias over truncations (persistent, or
            with noise reused), the blend of backpropagation with evolution strategies, or imitation of a
            teacher, by truncated backpropagation.
        sigma: deviation of the noise on theta, for es, pes, nres and blend.
        teacher: the optimizer that imitation imitates.
        teacher_learning_rate: its learning rate.
        own_trajectories: whether imitation follows the learned optimizer's steps, and not the teacher's.
        second_order: whether to differentiate through the optimizee's gradients; without meaning for es, pes
            and nres, which differentiate nothing, and for imitation.
        min_horizon: horizons are drawn log-uniformly between it and the horizon; `None` for one horizon.
        growth_steps: meta-steps over which horizons may grow from one truncation to their full length.
        random_phases: whether trajectories begin and end apart, and not all problems together.
        weights: of the losses after each inner step: uniform, linear, final, or one number a step. They, the
            logarithm and the convergence rate have no meaning for imitation.
        log_floor: c, where the losses in that sum are to be log(loss + c); `None` for the losses themselves.
            Validations then take the mean of logarithms too.
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
    estimator: Literal["tbptt", "full", "es", "pes", "nres", "blend", "imitation"] = "tbptt"
    sigma: float = 0.01
    teacher: Literal["sgd", "momentum", "nag", "rmsprop", "adam"] = "adam"
    teacher_learning_rate: float = 0.01
    own_trajectories: bool = False
    second_order: bool = False
    min_horizon: int | None = None
    growth_steps: int = 0
    random_phases: bool = False
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
        check_truncation(self.horizon, self.horizon if self.estimator == "full" else self.truncation)
        self._check_estimator()
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
        positive = ("learning_rate", "clip_norm", "problem_clip_norm", "log_floor", "sigma")
        for name in (*positive, "teacher_learning_rate"):
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

    def _check_estimator(self) -> None:
        if self.min_horizon is not None and not 1 <= self.min_horizon <= self.horizon:
            raise ValueError(
                f"min_horizon={self.min_horizon!r}: give one between 1 and horizon={self.horizon}, or None"
            )
        if self.growth_steps < 0:
            raise ValueError(f"growth_steps={self.growth_steps!r}: it must not be negative")
        if not isinstance(self.weights, str) and not isinstance(self._horizon(), int):
            raise ValueError("weights given one by one need a fixed horizon: no min_horizon and growth_steps")
        if self.estimator == "full" and (self.random_phases or not isinstance(self._horizon(), int)):
            raise ValueError(
                "estimator='full' unrolls whole trajectories of one horizon: leave out min_horizon, "
                "growth_steps and random_phases, or choose 'tbptt'"
            )
        if self.estimator == "blend" and self.num_problems < 2:
            raise ValueError(f"num_problems={self.num_problems}: estimator='blend' needs at least 2")

    def _horizon(self) -> Horizon:
        horizon: Horizon = self.horizon
        if self.min_horizon is not None:
            horizon = log_uniform(self.min_horizon, self.horizon)
        if self.growth_steps:
            horizon = growing(horizon, first=self.truncation, num_truncations=self.growth_steps)
        return horizon

    def make_estimator(self, lopt: LearnedOptimizer, task: Task) -> Estimator:
        """The estimator of the meta-gradient of an optimizer on a task."""
        objective = self.objective()
        clipped: dict[str, Any] = {"problem_clip_norm": self.problem_clip_norm}
        if self.estimator == "full":
            return full_unroll(
                lopt,
                task,
                objective,
                horizon=self.horizon,
                num_problems=self.num_problems,
                second_order=self.second_order,
                **clipped,
            )
        inner = clipped | {
            "horizon": self._horizon(),
            "truncation": self.truncation,
            "num_problems": self.num_problems,
            "random_phases": self.random_phases,
        }
        if self.estimator == "tbptt":
            return truncated_bptt(lopt, task, objective, second_order=self.second_order, **inner)
        if self.estimator == "imitation":
            teacher = with_prox(BASELINES[self.teacher], task)(self.teacher_learning_rate)
            return imitation(lopt, teacher, task, own_trajectories=self.own_trajectories, **inner)
        inner["sigma"] = self.sigma
        if self.estimator == "blend":
            return blend(lopt, task, objective, second_order=self.second_order, **inner)
        return {"es": es, "pes": pes, "nres": nres}[self.estimator](lopt, task, objective, **inner)

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
