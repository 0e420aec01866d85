"""What is read off losses: numpy and scipy only, no jax, no files."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

RESAMPLES = 2000
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A statistic with its bootstrap confidence interval, or with its range."""

    value: float
    low: float
    high: float

    def row(self, name: str) -> dict[str, float]:
        """What a table's row has of it: the value, `name`, and its ends, `name_low` and `name_high`."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def ends(name: str) -> tuple[str, str]:
    """The keys of the ends that `Interval.row` gives."""
    return f"{name}_low", f"{name}_high"


def iqm(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """The interquartile mean; NaN counts as infinite, so it is infinite if more than a quarter diverged."""
    return stats.trim_mean(nan_last(values), 0.25, axis=axis)


def interval(values: np.ndarray, statistic: Callable[..., np.ndarray] = iqm) -> Interval:
    """A statistic over problems, with the 95 % percentile interval of 2,000 bootstrap samples."""
    values = nan_last(values)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"values of shape {values.shape}: give one a problem, and at least one")
    value = float(statistic(values, axis=-1))
    if values.size == 1 or np.all(values == values[0]):
        return Interval(value, value, value)
    with np.errstate(invalid="ignore"):  # the standard error, which is not used, of infinite values
        drawn = stats.bootstrap(
            (values,),
            statistic,
            n_resamples=RESAMPLES,
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(0),
        ).bootstrap_distribution
    tail = (1 - CONFIDENCE) / 2
    # Existing values and no interpolation, which between two infinite ones is NaN.
    low, high = np.quantile(drawn, [tail, 1 - tail], method="inverted_cdf")
    return Interval(value, float(low), float(high))


def median_and_range(values: np.ndarray) -> Interval:
    """The median, with the least and the greatest value."""
    return Interval(float(np.median(values)), float(np.min(values)), float(np.max(values)))


def curve_quantiles(curves: np.ndarray, levels: Sequence[float] = (0.25, 0.5, 0.75)) -> np.ndarray:
    """The lower quantiles over problems at every step: f[len(levels), steps] of f[problems, steps]."""
    return np.quantile(nan_last(curves), levels, axis=0, method="inverted_cdf")


def steps_to(steps: np.ndarray, curve: np.ndarray, loss: float) -> float | None:
    """The first of the steps at which the curve is at most `loss`; `None` if it never is."""
    reached = np.flatnonzero(np.asarray(curve) <= loss)
    return float(steps[reached[0]]) if reached.size else None


def speed_up(
    steps: np.ndarray,
    baseline: np.ndarray,
    final_loss: float,
    other_steps: np.ndarray,
    other: np.ndarray,
) -> float:
    """How many times fewer steps the other needs for the baseline's final loss; 0 where it never does."""
    own = steps_to(steps, baseline, final_loss)
    own = float(steps[-1]) if own is None else own
    theirs = steps_to(other_steps, other, final_loss)
    return 0.0 if theirs is None else own / max(theirs, 1.0)


def divergence_rate(curves_finite: np.ndarray, first: np.ndarray, final: np.ndarray) -> float:
    """The share of problems, f[n], with a loss that is not finite, or that end above where they started."""
    with np.errstate(invalid="ignore"):
        fine = np.asarray(curves_finite, bool) & (np.asarray(final) <= np.asarray(first))
    return float(np.mean(~fine))


def performance_profile(losses: Mapping[str, np.ndarray], ratios: np.ndarray) -> dict[str, np.ndarray]:
    """The share of problems on which an optimizer ends within a factor of the best of all, f[ratios] by name.

    Dolan and Moré, Benchmarking optimization software with performance profiles, 2002; NaN is infinite.
    """
    table = {name: nan_last(values) for name, values in losses.items()}
    best = np.min(list(table.values()), axis=0)
    reachable = np.isfinite(best)
    return {
        name: np.mean((values <= np.multiply.outer(ratios, np.where(reachable, best, 0))) & reachable, axis=1)
        for name, values in table.items()
    }


def worst_after(steps: np.ndarray, curve: np.ndarray, horizon: int) -> float:
    """The highest loss from the horizon on, over the loss at the horizon: 1 if it only falls."""
    at = int(np.searchsorted(steps, horizon))
    if at >= len(steps):
        raise ValueError(f"the curve ends at step {steps[-1]}, before the horizon {horizon}")
    tail = nan_last(np.asarray(curve)[at:])
    return float(tail.max() / tail[0]) if np.isfinite(tail[0]) and tail[0] > 0 else np.inf


def nan_last(values: np.ndarray) -> np.ndarray:
    """The values in double precision, with NaN as infinity."""
    values = np.asarray(values, np.float64)
    return np.where(np.isnan(values), np.inf, values)
