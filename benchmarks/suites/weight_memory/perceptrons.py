"""The model of a weight memory, trained by ordinary optimizers on the samples that the memory sees."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt import training
from learned_opt.in_context import Dataset, WeightMemory

OPTIMIZERS = {"adam": optax.adam, "sgd": optax.sgd}
GRID = tuple(float(rate) for rate in np.logspace(-4, 1, 11))
FULL_BATCH_STEPS = 1000


class Tuned(NamedTuple):
    """What a sweep found.

    Attributes:
        learning_rate: the best.
        step: the best number of steps; the last where it is not tuned.
        on_edge: whether a better learning rate may lie beyond the grid.
    """

    learning_rate: float
    step: int
    on_edge: bool


@functools.partial(jax.jit, static_argnames=("memory", "optimizer", "one_pass"))
def curves(
    memory: WeightMemory, optimizer: str, one_pass: bool, rate: Any, key: Any, data: Dataset, num_train: Any
) -> jax.Array:
    """Test losses f32[num_datasets, num_steps], after every step, of models trained on each data set.

    With `one_pass` a step sees one sample, each once, and the curve stays as it is after the last; else all.
    """
    tx = OPTIMIZERS[optimizer](rate)

    def loss(cells: jax.Array, one: Dataset, weights: jax.Array) -> jax.Array:
        logits = jax.vmap(memory.predict, (None, 0))(cells, one.inputs)
        losses = optax.sigmoid_binary_cross_entropy(logits, one.targets)
        return jnp.sum(losses * weights) / jnp.maximum(jnp.sum(weights), 1)

    def train(key: Any, one: Dataset, n: jax.Array) -> jax.Array:
        num_samples = one.targets.shape[0]
        is_train = (jnp.arange(num_samples) < n).astype(jnp.float32)

        def training_loss(cells: jax.Array, step: jax.Array) -> jax.Array:
            if not one_pass:
                return loss(cells, one, is_train)
            return loss(cells, Dataset(one.inputs[step][None], one.targets[step][None]), is_train[step][None])

        found = training.minimize(
            training_loss,
            memory.init(key)["initial"]["cells"],
            tx,
            num_steps=num_samples if one_pass else FULL_BATCH_STEPS,
            report=lambda cells: loss(cells, one, 1 - is_train),
        )
        # Adam moves without a gradient too: one pass ends with the last training sample.
        return found.reports[jnp.minimum(jnp.arange(num_samples), n - 1)] if one_pass else found.reports

    num = num_train.shape[0]
    return jax.vmap(train)(jax.random.split(key, num), data, num_train)


def sweep(
    memory: WeightMemory,
    optimizer: str,
    one_pass: bool,
    key: Any,
    data: Dataset,
    num_train: Any,
    grid: Sequence[float] = GRID,
) -> np.ndarray:
    """The mean of `curves` over other data sets than those that are compared on, for each learning rate.

    Returns:
        f32[len(grid), num_steps], infinite where it is not a number.
    """
    found = jax.vmap(lambda rate: curves(memory, optimizer, one_pass, rate, key, data, num_train).mean(0))(
        jnp.asarray(grid, jnp.float32)
    )
    return np.nan_to_num(found, nan=np.inf)


def best(means: np.ndarray, stop_early: bool, grid: Sequence[float] = GRID) -> Tuned:
    """The best learning rate of what `sweep` gave, and with `stop_early` the best number of steps."""
    steps = means.argmin(1) if stop_early else np.full(len(grid), means.shape[1] - 1)
    found = training.sweep(lambda grid: means[np.arange(len(grid)), steps], grid)
    return Tuned(found.best, int(steps[np.argmin(found.losses)]), found.on_edge)
