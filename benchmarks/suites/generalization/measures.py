"""What is read off the losses of a rule and of a control: numpy only."""

import numpy as np

from benchmarks.comparison.statistics import nan_last

FLOOR = 1e-7  # of the first loss: below that nothing is won or lost


def floors(first: np.ndarray) -> np.ndarray:
    """The losses at which a problem counts as solved, f[seeds], from the first losses."""
    return FLOOR * np.abs(first)


def score(train: np.ndarray) -> np.ndarray:
    """Mean log last losses, f[lanes] of f[lanes, seeds, points]; infinite if that of a seed is not finite."""
    with np.errstate(invalid="ignore"):
        return np.log(nan_last(train[..., -1]) + floors(train[..., 0])).mean(-1)


def speed_ups(steps: np.ndarray, control: np.ndarray, rule: np.ndarray) -> np.ndarray:
    """How many times sooner a rule reaches a control's last loss, f[seeds] of f[seeds, points] each.

    The steps of the run over the step at which the line between two measurements goes below that loss; 0 if
    it never does. A control that has solved its problem before the end counts as done when it has.
    """
    found = []
    for theirs, own in zip(nan_last(control), nan_last(rule), strict=True):
        target = max(theirs[-1], floors(theirs[0]))
        if not np.isfinite(target):
            found.append(np.inf if np.isfinite(own[-1]) else 0.0)
            continue
        total = crossing(steps, theirs, target) if theirs[-1] < target else float(steps[-1])
        at = crossing(steps, own, target)
        found.append(0.0 if at is None else (total or 1.0) / max(at, 1.0))
    return np.array(found)


def crossing(steps: np.ndarray, losses: np.ndarray, target: float) -> float | None:
    """The step at which losses, joined by lines, are first at most `target`; `None` if they never are."""
    reached = np.flatnonzero(losses <= target)
    if not reached.size:
        return None
    i = int(reached[0])
    if i == 0:
        return float(steps[0])
    before, after = losses[i - 1], losses[i]
    share = (before - target) / (before - after) if np.isfinite(before) else 1.0
    return float(steps[i - 1] + share * (steps[i] - steps[i - 1]))


def log_ratios(control: np.ndarray, rule: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Logs of a rule's last loss over a control's, f[seeds] each; infinite for a rule without one."""
    with np.errstate(invalid="ignore"):
        return np.log(nan_last(rule) + floors(first)) - np.log(nan_last(control) + floors(first))


def diverged(train: np.ndarray) -> np.ndarray:
    """Which seeds have a loss that is not finite, or end above where they started, of f[seeds, points]."""
    with np.errstate(invalid="ignore"):
        return ~(np.isfinite(train).all(-1) & (train[:, -1] <= train[:, 0]))
