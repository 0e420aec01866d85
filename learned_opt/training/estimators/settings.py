"""The settings of the estimators of learned optimizers, a class for each.

A class inherits the fields that have a meaning for its estimator, and no others.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from learned_opt.core.errors import check_above_zero, check_at_least
from learned_opt.core.registry import Registry
from learned_opt.core.types import Estimator, Key, LearnedOptimizer, Task, Theta
from learned_opt.training.convergence import convergence_rate
from learned_opt.training.estimators.horizons import growing, log_uniform
from learned_opt.training.estimators.truncation import Horizon, check_problem_clip_norm, check_truncation
from learned_opt.training.objectives import Objective, of_logarithms, weighted_sum
from learned_opt.training.tune import check_window

registry = Registry("estimator")


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnrollSettings(abc.ABC):
    """The settings of every estimator that unrolls a learned optimizer, and of the validations beside it.

    Attributes:
        horizon: inner steps of a trajectory; the most, where it is drawn or grows.
        num_problems: problems unrolled side by side.
        problem_clip_norm: norm that each problem's share of the meta-gradient is clipped to; `None` for no
            clipping.
        num_validation_problems: fresh problems that theta is selected on.
        window: the validation loss is averaged over this odd number of steps around the horizon.
    """

    name: ClassVar[str]

    horizon: int = 100
    num_problems: int = 64
    problem_clip_norm: float | None = None
    num_validation_problems: int = 64
    window: int = 1

    def __post_init__(self):
        # All of it before a run begins, so that a bad number leaves no directory behind.
        check_positive(self, "horizon", "num_problems", "num_validation_problems")
        check_problem_clip_norm(self.problem_clip_norm)
        check_window(self.window)

    @abc.abstractmethod
    def make(self, lopt: LearnedOptimizer, task: Task) -> Estimator:
        """The estimator of the meta-gradient of a learned optimizer on a task."""

    def validation(
        self, lopt: LearnedOptimizer, task: Task, key: Key
    ) -> Callable[[Theta], dict[str, Any]] | None:
        """A validation of its own, as in `core.kinds.Trainable`; `None` for the mean loss at the horizon."""
        del lopt, task, key
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveSettings(UnrollSettings):
    """The settings of an estimator that is given a meta-objective.

    Attributes:
        weights: of the losses after each inner step: uniform, linear, final, or one number a step.
        log_floor: c, where the losses in that sum are to be log(loss + c); `None` for the losses themselves.
            Validations then take the mean of logarithms too.
        rate_weight: lambda, the weight of the convergence rate in the objective.
    """

    weights: Literal["uniform", "linear", "final"] | tuple[float, ...] = "uniform"
    log_floor: float | None = None
    rate_weight: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.weights, str) and len(self.weights) != self.horizon:
            raise ValueError(f"{len(self.weights)} weights for a horizon of {self.horizon} steps")
        if self.log_floor is not None:
            check_above_zero(log_floor=self.log_floor)

    def objective(self) -> Objective:
        """The weighted sum of the losses minus lambda times the rate of convergence."""
        objective = weighted_sum(self.weights)
        if self.log_floor is not None:
            objective = of_logarithms(objective, self.log_floor)
        return objective - self.rate_weight * convergence_rate() if self.rate_weight else objective


@dataclasses.dataclass(frozen=True, kw_only=True)
class TruncationSettings(UnrollSettings):
    """The settings of an estimator that unrolls one truncation at a time.

    Attributes:
        truncation: inner steps differentiated, or compared, at once; divides the horizon.
        min_horizon: horizons are drawn log-uniformly between it and the horizon; `None` for one horizon.
        growth_steps: meta-steps over which horizons may grow from one truncation to their full length.
        random_phases: whether trajectories begin and end apart, and not all problems together.
    """

    truncation: int = 20
    min_horizon: int | None = None
    growth_steps: int = 0
    random_phases: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_truncation(self.horizon, self.truncation)
        if self.min_horizon is not None and not 1 <= self.min_horizon <= self.horizon:
            raise ValueError(
                f"min_horizon={self.min_horizon!r}: give one between 1 and horizon={self.horizon}, or None"
            )
        if self.growth_steps < 0:
            raise ValueError(f"growth_steps={self.growth_steps!r}: it must not be negative")
        if not isinstance(getattr(self, "weights", ""), str) and not isinstance(self._horizon(), int):
            raise ValueError("weights given one by one need a fixed horizon: no min_horizon and growth_steps")

    def _horizon(self) -> Horizon:
        horizon: Horizon = self.horizon
        if self.min_horizon is not None:
            horizon = log_uniform(self.min_horizon, self.horizon)
        if self.growth_steps:
            horizon = growing(horizon, first=self.truncation, num_truncations=self.growth_steps)
        return horizon

    def unrolls(self) -> dict[str, Any]:
        """The arguments that all estimators by truncations have."""
        return {
            "horizon": self._horizon(),
            "truncation": self.truncation,
            "num_problems": self.num_problems,
            "random_phases": self.random_phases,
            "problem_clip_norm": self.problem_clip_norm,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvolutionSettings(TruncationSettings, ObjectiveSettings):
    """The settings of an estimator by evolution strategies.

    Attributes:
        sigma: deviation of the noise on theta.
    """

    sigma: float = 0.01

    def __post_init__(self):
        super().__post_init__()
        check_above_zero(sigma=self.sigma)


def check_positive(settings: Any, *names: str) -> None:
    """`ValueError` naming the first of a dataclass's fields that is below 1."""
    check_at_least(1, **{name: getattr(settings, name) for name in names})
