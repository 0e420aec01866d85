"""Loss curves: a solver's on the problems of a comparison, and what a cell keeps of them."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt import training
from learned_opt.core.types import Task
from learned_opt.training.evaluate import draw_problems

DRAWN_STEPS, EXACT_STEPS = 40, 1000  # steps of each problem's curve, and of the mean curve


def solver_curves(solve: Callable, task: Task, num_steps: int, keys: Any, chunk: int):
    """The losses at a solver's iterates, on the problems that `trajectories` draws from the same keys."""

    def one_problem(key, data):
        sample_key, _, batch_key = jax.random.split(key, 3)
        problem = task.sample(sample_key)
        first = task.batch(jax.random.fold_in(batch_key, 0), problem, data)
        iterates = solve(task, problem, first, num_steps)
        steps = jnp.arange(num_steps + 1)
        losses = jax.vmap(
            lambda p, s: task.loss(p, problem, task.batch(jax.random.fold_in(batch_key, s), problem, data))
        )(iterates, steps)
        last = jax.tree.map(lambda leaf: leaf[-1], iterates)
        return losses, task.metrics(last, problem, data) if task.metrics else {}

    run = jax.jit(
        lambda k, d: jax.lax.map(lambda key: one_problem(key, d), k, batch_size=min(chunk, k.shape[0]))
    )
    return run(keys, task.data)


def staged_curves(
    tx: optax.GradientTransformation,
    task: Task,
    stages: Sequence[tuple[float, Callable[[], Task]]],
    num_steps: int,
    keys: Any,
    chunk: int,
):
    """As `trajectories`, trained on one task after the other, each for its share of the steps.

    The tasks draw the same problems. A loss is that of its stage's task; the metrics are those of `task`.
    """
    ends = np.round(np.cumsum([0.0, *(share for share, _ in stages)]) * num_steps).astype(int).tolist()
    spans = list(itertools.pairwise(ends))
    trained = [make() for _, make in stages]

    def one_problem(draw, data, own):
        problem, params, key = draw
        state, parts = training.InnerState(params, tx.init(params), jnp.zeros([], jnp.int32)), []
        for stage, arrays, (begin, end) in zip(trained, own, spans, strict=True):
            state, losses = training.unroll(tx, stage, key, problem, arrays, state, end - begin)
            parts.append(losses)
        curve = jnp.concatenate([*(losses[:-1] for losses in parts), parts[-1][-1:]])
        return curve, task.metrics(state.params, problem, data) if task.metrics else {}

    run = jax.jit(
        lambda draws, data, own: jax.lax.map(
            lambda draw: one_problem(draw, data, own), draws, batch_size=min(chunk, keys.shape[0])
        )
    )
    return run(draw_problems(task, keys, chunk), task.data, [stage.data for stage in trained])


def summary(curves: np.ndarray, horizon: int, window: int = 1) -> dict[str, Any]:
    """What a cell keeps of loss curves f32[problems, steps + 1], losses averaged over `window` (odd) steps.

    First and final losses, whether all were finite, some 40 losses a problem at geometric steps, their mean.
    """
    smooth = _averaged(curves, window)
    drawn, exact = (_spread(horizon, n) for n in (DRAWN_STEPS, EXACT_STEPS))
    with np.errstate(invalid="ignore", over="ignore"):
        mean = smooth[:, exact].mean(axis=0)
    return {
        "initial": curves[:, 0],
        "final": training.loss_at(curves, horizon, window).astype(np.float32),
        "finite": np.isfinite(curves).all(axis=1).tolist(),
        "steps": drawn,
        "curves": smooth[:, drawn].astype(np.float32),
        "mean_steps": exact,
        "mean_curve": mean.astype(np.float32),
    }


def _averaged(curves: np.ndarray, window: int) -> np.ndarray:
    """Each loss averaged over the window around it, over less of it near the start."""
    curves = np.asarray(curves, np.float64)
    half, last = window // 2, curves.shape[1] - 1
    if not half:
        return curves
    columns = []
    for step in range(last + 1 - half):
        reach = min(half, step)
        columns.append(curves[:, step - reach : step + reach + 1].mean(axis=1))
    return np.stack(columns, axis=1)


def _spread(horizon: int, number: int) -> np.ndarray:
    """At most about `number` whole steps from 0 to the horizon, spread geometrically."""
    if horizon <= number:
        return np.arange(horizon + 1)
    return np.unique(np.append(0, np.round(np.geomspace(1, horizon, number)).astype(int)))
