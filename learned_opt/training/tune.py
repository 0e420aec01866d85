"""Learning-rate sweeps, which make baselines as good as they can be."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt.core.debugging import not_finite_is_a_result
from learned_opt.core.types import Task
from learned_opt.optimizers.proximal import proximal
from learned_opt.training.evaluate import draw_problems, evaluation_keys, run_draws

BASELINES: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "momentum": lambda learning_rate: optax.sgd(learning_rate, momentum=0.9),
    "nag": lambda learning_rate: optax.sgd(learning_rate, momentum=0.9, nesterov=True),
    "rmsprop": optax.rmsprop,
    "adam": optax.adam,
}

PER_DECADE = 8  # learning rates of the default grid, which runs from 1e-4 to 1e1
MAX_EXTENSIONS = 3  # decades that a grid may grow by, on either side


class Tuned(NamedTuple):
    """What a sweep found.

    Attributes:
        learning_rate: the best of the grid.
        loss: its mean loss at the step that was asked for; infinite if all diverged.
        learning_rates: f64[n], the grid, ascending, extensions included.
        losses: f64[n], the mean loss of each; infinite where a problem diverged.
        on_edge: whether the best lies on the grid's edge even after extension, so that better may exist.
    """

    learning_rate: float
    loss: float
    learning_rates: np.ndarray
    losses: np.ndarray
    on_edge: bool


class Sweep(NamedTuple):
    """What a sweep of any numbers found.

    Attributes:
        best: the best point of the grid, a number or f64[k].
        loss: its loss; infinite if all are.
        points: f64[n] or f64[n, k], the grid, extensions included.
        losses: f64[n], the loss of each; infinite where it is not finite.
        on_edge: whether the best lies on the grid's edge even after extension, so that better may exist.
    """

    best: Any
    loss: float
    points: np.ndarray
    losses: np.ndarray
    on_edge: bool


def sweep(
    losses: Callable[[np.ndarray], Any],
    points: Any,
    *,
    factors: Sequence[float] = (),
    max_extensions: int = MAX_EXTENSIONS,
) -> Sweep:
    """Finds the best of a grid of numbers, and grows the grid where the best lies on its edge.

    Args:
        losses: `losses(points) -> f[n]`, all points side by side, as a jitted and vmapped function has them.
        points: the grid: numbers, ascending, or f[n, k], such as the products of k grids.
        factors: above 1, ascending: beyond an edge with the best on it the numbers that are so many times
            as large, or as small, are tried. None: the grid never grows, as one of several columns.
        max_extensions: how often it grows at most.

    Returns:
        The best point, with all that the sweep saw.

    Raises:
        ValueError: if the grid is empty, or one of several columns is to grow.

    Example:
        >>> found = sweep(lambda rates: (np.log(rates) - 3) ** 2, [0.1, 1.0], factors=(10, 100))
        >>> found.best, found.on_edge, found.points.tolist()
        (10.0, False, [0.1, 1.0, 10.0, 100.0])
        >>> sweep(lambda points: np.abs(points - [2, 1]).sum(1), [(1, 1), (1, 2), (2, 1), (2, 2)]).best
        array([2., 1.])
    """
    grid = np.asarray(points, np.float64)
    if not grid.size or grid.ndim not in (1, 2) or (factors and grid.ndim == 2):
        raise ValueError(f"points of shape {grid.shape}: give at least one, and one column if it is to grow")

    def finite(points: np.ndarray) -> np.ndarray:
        with not_finite_is_a_result():
            found = np.asarray(losses(points), np.float64)
        return np.where(np.isfinite(found), found, math.inf)

    found = finite(grid)
    for _ in range(max_extensions if factors else 0):
        best = int(np.argmin(found))
        if best == len(grid) - 1:
            more = grid[-1] * np.asarray(factors)
            grid, found = np.append(grid, more), np.append(found, finite(more))
        elif best == 0:
            more = grid[0] / np.asarray(factors)[::-1]
            grid, found = np.append(more, grid), np.append(finite(more), found)
        else:
            break
    best = int(np.argmin(found))
    on_edge = bool(np.any((grid[best] == grid.min(0)) | (grid[best] == grid.max(0))))
    point = grid[best] if grid.ndim == 2 else float(grid[best])
    return Sweep(point, float(found[best]), grid, found, on_edge)


def tune(
    factory: Callable[[Any], optax.GradientTransformation],
    task: Task,
    *,
    num_steps: int,
    num_problems: int = 64,
    learning_rates: Sequence[float] | None = None,
    seed: int = 1,
    window: int = 1,
) -> Tuned:
    """Sweeps the learning rate of an optimizer on problems of its own; one jitted, vmapped call.

    The best rate has the lowest mean loss at `num_steps`. When it lies on the grid's edge the grid grows
    by a decade, up to three times.

    Where the task has a proximal operator, each step is followed by it, with the learning rate as its step
    size.

    Args:
        factory: `factory(learning_rate)`, such as `optax.adam`.
        task: what the problems are drawn from.
        num_steps: the step whose loss counts.
        num_problems: problems that the mean is over.
        learning_rates: the grid; by default 41 values from 1e-4 to 10.
        seed: makes the problems; evaluate with another.
        window: the loss is averaged over this odd number of steps around `num_steps`.

    Returns:
        The best learning rate, with all that the sweep saw.

    Raises:
        ValueError: if the grid is empty or not positive, or a number is out of range.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> best = tune(optax.adam, quadratic(dim=2), num_steps=20, num_problems=8)
        >>> 0.01 < best.learning_rate < 10, best.on_edge
        (True, False)
    """
    default = np.logspace(-4, 1, 5 * PER_DECADE + 1)
    grid = np.sort(np.asarray(default if learning_rates is None else learning_rates, np.float64))
    if grid.ndim != 1 or grid.size == 0 or not np.all(np.isfinite(grid)) or not np.all(grid > 0):
        raise ValueError(f"learning_rates={learning_rates!r}: give at least one positive number")
    if num_steps < 1 or num_problems < 1:
        raise ValueError(f"num_steps={num_steps!r}, num_problems={num_problems!r}: at least 1 of each")
    check_window(window)

    draws = draw_problems(task, evaluation_keys(seed, num_problems))
    losses = functools.partial(_mean_losses, with_prox(factory, task), task, num_steps, draws, window)
    decade = 10.0 ** (np.arange(1, PER_DECADE + 1) / PER_DECADE)
    return Tuned(*sweep(losses, grid, factors=decade.tolist()))


def with_prox(
    factory: Callable[[Any], optax.GradientTransformation], task: Task
) -> Callable[[Any], optax.GradientTransformation]:
    """A factory whose optimizers are followed by a task's proximal operator, if it has one.

    The operator's step size is the learning rate. The same arguments give the same function, so that jit does
    not compile it anew.
    """
    return factory if task.prox is None else _around(factory, task.prox)


@functools.lru_cache(maxsize=256)
def _around(factory, prox):
    return lambda learning_rate: proximal(factory(learning_rate), prox, step_size=learning_rate)


def loss_at(curves: np.ndarray, step: int, window: int = 1) -> np.ndarray:
    """The loss of each problem around a step.

    Args:
        curves: f32[num_problems, steps + 1], with at least `step + window // 2` steps.
        step: where.
        window: an odd number of steps to average over, `step` in their middle.

    Returns:
        f64[num_problems].

    Raises:
        ValueError: if the curves are too short or the window is even.

    Example:
        >>> loss_at(np.float32([[5, 4, 3, 2, 1]]), step=3, window=3)
        array([2.])
    """
    check_window(window)
    first, last = step - window // 2, step + window // 2
    if first < 0 or last >= curves.shape[-1]:
        raise ValueError(
            f"steps {first} to {last} are asked for, the curves run from 0 to {curves.shape[-1] - 1}"
        )
    return np.mean(np.asarray(curves, np.float64)[..., first : last + 1], axis=-1)


def mean_loss(losses: np.ndarray, log_floor: float | None) -> float:
    """The mean of losses f[num_problems] for validations; with a floor c, `exp(mean(log(loss + c))) - c`.

    The plain mean of losses many decades apart is that of a few problems.
    """
    if log_floor is None:
        return float(losses.mean())
    return float(np.exp(np.log(losses.astype(np.float64) + log_floor).mean()) - log_floor)


def check_window(window: int) -> None:
    """`ValueError` unless the window is a positive odd number of steps."""
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window={window!r}: give a positive odd number of steps")


def _mean_losses(factory, task, num_steps, draws, window, grid) -> np.ndarray:
    """Mean loss of each learning rate, not finite where any problem's is not."""
    last = num_steps + window // 2
    curves = jax.vmap(lambda rate: run_draws(factory, task, last, rate, draws)[0])(
        jnp.asarray(grid, jnp.float32)
    )
    return loss_at(np.asarray(curves), num_steps, window).mean(axis=-1)
