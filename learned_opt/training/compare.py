"""A learned optimizer beside baselines whose learning rates were swept."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NotRequired, TypedDict, Unpack

import numpy as np
import optax

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Task
from learned_opt.training.evaluate import evaluate_with_metrics
from learned_opt.training.tune import BASELINES, check_window, loss_at, tune, with_prox


@dataclasses.dataclass(frozen=True)
class Entry:
    """One optimizer's results on the common problems.

    Attributes:
        name: the optimizer.
        curves: f32[num_problems, steps + 1], the losses.
        metrics: the task's metrics after the last step, each f32[num_problems].
        learning_rate: the swept one; `None` for an optimizer that was not swept.
        on_edge: whether the sweep's best lay on its grid's edge.
    """

    name: str
    curves: np.ndarray
    metrics: dict[str, np.ndarray]
    learning_rate: float | None = None
    on_edge: bool = False


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Optimizers on the same problems.

    Attributes:
        entries: one an optimizer, in the order given.
        num_steps: the step at which losses are compared.
        window: odd number of steps that a loss is averaged over, `num_steps` in their middle.
        seed: of the problems.
    """

    entries: tuple[Entry, ...]
    num_steps: int
    window: int
    seed: int

    def __getitem__(self, name: str) -> Entry:
        return next(e for e in self.entries if e.name == name)

    def final_losses(self, name: str) -> np.ndarray:
        """The loss of each problem at `num_steps`: f64[num_problems]."""
        return loss_at(self[name].curves, self.num_steps, self.window)

    def best_baseline(self) -> str:
        """The name of the swept optimizer with the lowest mean final loss."""
        swept = [e.name for e in self.entries if e.learning_rate is not None]
        return min(swept, key=lambda name: _nan_last(self.final_losses(name).mean()))

    def steps_to(self, name: str, loss: float) -> int | None:
        """The first step from which on the mean curve, averaged over the window, is at most `loss`."""
        mean = np.asarray(self[name].curves, np.float64).mean(axis=0)
        half = self.window // 2
        smooth = np.convolve(mean, np.ones(self.window) / self.window, mode="valid")
        reached = np.flatnonzero(smooth <= loss)
        return int(reached[0]) + half if reached.size else None

    def rows(self) -> list[dict[str, Any]]:
        """A JSON-able row an optimizer, best mean final loss first."""
        adam = self.final_losses("adam").mean() if any(e.name == "adam" for e in self.entries) else None
        rows = []
        for entry in self.entries:
            final = self.final_losses(entry.name)
            first, median, third = _quartiles(final)
            with np.errstate(invalid="ignore"):  # the deviation of infinite losses is NaN
                error = float(final.std(ddof=1) / np.sqrt(final.size)) if final.size > 1 else None
            rows.append(
                {
                    "optimizer": entry.name,
                    "learning_rate": entry.learning_rate,
                    "on_edge": entry.on_edge,
                    "mean_loss": float(final.mean()),
                    "standard_error": error,
                    "median_loss": median,
                    "first_quartile": first,
                    "third_quartile": third,
                    "diverged": float(np.mean(~np.isfinite(entry.curves).all(axis=-1))),
                    "steps_to_adam": None if adam is None else self.steps_to(entry.name, adam),
                    **{k: float(v.mean()) for k, v in entry.metrics.items()},
                }
            )
        return sorted(rows, key=lambda row: _nan_last(row["mean_loss"]))


class Options(TypedDict):
    """The numbers of `compare`."""

    num_steps: int
    num_problems: NotRequired[int]
    seed: NotRequired[int]
    window: NotRequired[int]
    extra_steps: NotRequired[int]


class _Options(NamedTuple):
    """`Options` with defaults; Python's own error names what is missing or unknown."""

    num_steps: int
    num_problems: int = 128
    seed: int = 0
    window: int = 1
    extra_steps: int = 0


def compare(
    optimizers: Mapping[str, optax.GradientTransformation],
    task: Task,
    *,
    baselines: Mapping[str, Callable[[Any], optax.GradientTransformation]] = BASELINES,
    on_progress: Callable[[str], None] = lambda name: None,
    **options: Unpack[Options],
) -> Comparison:
    """Runs optimizers and swept baselines on the same fresh problems.

    Every baseline's learning rate is swept with `tune` on problems of another seed, for the same step and
    the same window that the comparison is made at; where the task has a proximal operator, their steps are
    followed by it.

    Args:
        optimizers: what is compared, by name; used as they are.
        task: what the problems are drawn from.
        baselines: factories of a learning rate, by name.
        on_progress: called with the name of each optimizer before its turn.
        **options: `num_steps`, the step at which losses are compared; `num_problems`, fresh ones, and as many
            others for each sweep (128); `seed` of the fresh problems, the sweeps use `seed + 1` (0);
            `window`, the odd number of steps that a loss is averaged over, `num_steps` in their middle (1);
            `extra_steps`, updates beyond `num_steps` that the curves show (0).

    Returns:
        The comparison.

    Raises:
        ValueError: if a number is out of its range.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> result = compare(
        ...     {"mine": optax.sgd(1e-6)},
        ...     quadratic(dim=2),
        ...     num_steps=10,
        ...     num_problems=8,
        ...     baselines={"adam": optax.adam},
        ... )
        >>> [row["optimizer"] for row in result.rows()]
        ['adam', 'mine']
    """
    num_steps, num_problems, seed, window, extra_steps = _Options(**options)
    check_at_least(1, num_steps=num_steps, num_problems=num_problems)
    check_at_least(0, extra_steps=extra_steps)
    check_window(window)
    if window // 2 > num_steps:
        raise ValueError(
            f"window={window!r}: it reaches back before the first of num_steps={num_steps}; give at most "
            f"{2 * num_steps + 1}"
        )
    last = num_steps + max(window // 2, extra_steps)
    shared = {"num_steps": last, "num_problems": num_problems, "seed": seed}
    entries = []
    for name, tx in optimizers.items():
        on_progress(name)
        entries.append(Entry(name, *evaluate_with_metrics(tx, task, **shared)))
    for name, factory in baselines.items():
        on_progress(name)
        best = tune(
            factory,
            task,
            num_steps=num_steps,
            num_problems=num_problems,
            seed=seed + 1,
            window=window,
        )
        tx = with_prox(factory, task)(best.learning_rate)
        curves, metrics = evaluate_with_metrics(tx, task, **shared)
        entries.append(Entry(name, curves, metrics, best.learning_rate, best.on_edge))
    return Comparison(tuple(entries), num_steps, window, seed)


def _quartiles(values: np.ndarray) -> list[float]:
    """The quartiles, where NaN counts as infinite; one that lies beside an infinite value is infinite."""
    values = np.where(np.isnan(values), np.inf, values)
    with np.errstate(invalid="ignore"):  # numpy interpolates between two infinite values to NaN
        quartiles = np.percentile(values, [25, 50, 75])
    return np.where(np.isnan(quartiles), np.inf, quartiles).tolist()


def _nan_last(value: float) -> float:
    return value if np.isfinite(value) else np.inf
