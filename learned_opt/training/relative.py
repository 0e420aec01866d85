r"""Losses along trajectories on fixed batches, beside those of Adam with the best of several learning rates.

A trajectory is unrolled in blocks. After each the loss is measured, on batches that are the same throughout.
With x the logarithm of its ratio to tuned Adam's at the same step, a trajectory of T steps scores

.. math::

    .35\, \frac{\sum_{t \ge \sqrt T} s(x_t) / t}{\sum_{t \ge \sqrt T} 1 / t} + .65\, s(x_T), \qquad
    s(x) = \frac{x}{.15 + |x|} + .1 \operatorname{clip}(x, -1, 3).

A win by a little thus counts nearly as one by a lot, so that problems that can be solved exactly, where
losses differ by many decades, do not drown those where noise dominates. Adam scores 0.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt.core.sharding import each_its_share
from learned_opt.core.types import Array, Batch, Data, Key, Params, Problem, Task
from learned_opt.training.unroll import InnerState, unroll

LEARNING_RATES = np.logspace(-4, 0, 13).astype(np.float32)
FLOOR = 1e-7  # of the first loss: below that nothing is won or lost
LARGEST = 1e30  # what a loss that is not finite counts as
NUM_BATCHES = 8  # that a loss is the mean over
SHARE_OF_END = 0.65
MEASURING_STREAM = 0x3EA5  # of keys of batches: no step of a trajectory draws from it


class Draws(NamedTuple):
    """Problems of a task and where they start; all arrays have a leading axis of problems.

    Attributes:
        problems: the draws from the task.
        params: the starting points.
        keys: what makes each problem's batches.
    """

    problems: Problem
    params: Params
    keys: Array


class Pool(NamedTuple):
    """Problems, and what Adam makes of them.

    Attributes:
        draws: n problems.
        first: f32[n], the losses at the start.
        adam: f32[num_rates, n, num_blocks], the losses after each block with each learning rate.
    """

    draws: Draws
    first: Array
    adam: Array


def draw(task: Task, key: Key, num_problems: int) -> Draws:
    """Fresh problems of a task."""

    def one(key: Key) -> Draws:
        sample_key, start_key, batch_key = jax.random.split(key, 3)
        problem = task.sample(sample_key)
        return Draws(problem, task.init(start_key, problem), batch_key)

    return jax.vmap(one)(jax.random.split(key, num_problems))


def measured_losses(
    tx: optax.GradientTransformation, task: Task, drawn: Draws, data: Data, blocks: tuple[int, int, Any]
) -> tuple[Array, Array]:
    """The loss at the start, f32[], and after each block, f32[num_blocks], of one problem.

    `blocks` are the steps of one, how many there are room for, and how many are made, which may be traced;
    entries after those are 0.
    """
    length, room, made = blocks
    keys = jax.random.split(jax.random.fold_in(drawn.keys, MEASURING_STREAM), NUM_BATCHES)
    batches = jax.vmap(lambda key: task.batch(key, drawn.problems, data))(keys)

    def measured(params: Params) -> Array:
        def loss(batch: Batch) -> Array:
            return task.loss(params, drawn.problems, batch)

        return jnp.mean(jax.vmap(loss, axis_size=NUM_BATCHES)(batches))

    def block(i: Array, carry: tuple[InnerState, Array]) -> tuple[InnerState, Array]:
        state, losses = carry
        state, _ = unroll(tx, task, drawn.keys, drawn.problems, data, state, length)
        return state, losses.at[i].set(measured(state.params))

    start = InnerState(drawn.params, tx.init(drawn.params), jnp.zeros([], jnp.int32))
    _, losses = jax.lax.fori_loop(0, made, block, (start, jnp.zeros(room)))
    return measured(drawn.params), losses


def pool(task: Task, key: Key, data: Data, num_problems: int, blocks: tuple[int, int]) -> Pool:
    """Fresh problems, with Adam swept on them; `blocks` are the steps of one and their number."""
    length, room = blocks
    draws = draw(task, key, num_problems)

    def swept(draws: Draws, data: Data) -> tuple[Array, Array]:
        def one(drawn: Draws, rate: Array) -> tuple[Array, Array]:
            return measured_losses(optax.adam(rate), task, drawn, data, (length, room, room))

        over_rates = jax.vmap(one, (None, 0))
        return jax.vmap(over_rates, (0, None))(draws, jnp.asarray(LEARNING_RATES))

    first, losses = each_its_share(swept, draws, data, combine="gather")
    return Pool(draws, first[:, 0], jnp.swapaxes(losses, 0, 1))


def tuned_adam(adam: Array, last: Array) -> Array:
    """The curves f32[n, num_blocks] of the rate with the best mean log loss after block `last`, i32[]."""
    ends = jnp.take(adam, last, axis=2)
    ends = jnp.where(jnp.isfinite(ends), ends, LARGEST)
    best = jnp.argmin(jnp.mean(jnp.log(jnp.maximum(ends, 1e-30)), axis=1))
    return jnp.take(adam, best, axis=0)


def log_ratio(losses: Array, adam: Array, first: Array) -> Array:
    """The logarithm of losses over Adam's, f32[..., n, num_blocks], between -20 and 20; `first` is f32[n]."""
    floor = (FLOOR * jnp.abs(first))[:, None]

    def log(x: Array) -> Array:
        x = jnp.where(jnp.isfinite(x), x, LARGEST)
        return jnp.log(jnp.maximum(x, 0) + floor + 1e-30)

    lead = (1,) * (losses.ndim - 2)
    of_adam = log(adam).reshape(lead + adam.shape)
    floor = floor.reshape(lead + floor.shape)
    return jnp.clip(log(losses) - of_adam, -20, 20)


def squashed(x: Array) -> Array:
    """s(x): a win by a little counts nearly as one by a lot."""
    return x / (0.15 + jnp.abs(x)) + 0.1 * jnp.clip(x, -1, 3)


def score(ratio: Array, made: Array, length: int) -> Array:
    """The score of log ratios f32[..., num_blocks] of which `made` count; 0 is as good as tuned Adam."""
    s = squashed(ratio)
    steps = length * (1 + jnp.arange(ratio.shape[-1], dtype=jnp.float32))
    last = (length * made).astype(jnp.float32)
    weights = jnp.where((steps <= last) & (jnp.square(steps) >= last), 1 / steps, 0)
    along = s @ (weights / jnp.sum(weights))
    return (1 - SHARE_OF_END) * along + SHARE_OF_END * jnp.take(s, made - 1, axis=-1)
