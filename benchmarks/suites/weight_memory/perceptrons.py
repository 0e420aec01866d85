"""The model of a weight memory, trained by ordinary optimizers on the samples that the memory sees."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

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
    """Test losses of models trained on each data set, after every step.

    Args:
        memory: whose model is trained, from where its cells start before meta-training.
        optimizer: a name in `OPTIMIZERS`.
        one_pass: whether a step sees one sample, each once; else all of them.
        rate: the learning rate.
        key: of the models' first parameters, one a data set.
        data: of the data sets, with a leading axis.
        num_train: i32[num_datasets].

    Returns:
        f32[num_datasets, num_steps], mean cross entropy over the test samples. The steps of
        one pass beyond the training samples change nothing.
    """
    tx = OPTIMIZERS[optimizer](rate)

    def loss(cells: jax.Array, one: Dataset, weights: jax.Array) -> jax.Array:
        logits = jax.vmap(memory.predict, (None, 0))(cells, one.inputs)
        losses = optax.sigmoid_binary_cross_entropy(logits, one.targets)
        return jnp.sum(losses * weights) / jnp.maximum(jnp.sum(weights), 1)

    def train(key: Any, one: Dataset, n: jax.Array) -> jax.Array:
        is_train = (jnp.arange(one.targets.shape[0]) < n).astype(jnp.float32)

        def step(carry: Any, i: jax.Array) -> tuple[Any, jax.Array]:
            if one_pass:
                sample = Dataset(one.inputs[i][None], one.targets[i][None])
                weights = is_train[i][None]
            else:
                sample, weights = one, is_train
            cells, state = carry
            gradient = jax.grad(loss)(cells, sample, weights)
            # optax counts on int and float promoting, whatever the user has set.
            with jax.numpy_dtype_promotion("standard"):
                updates, new_state = tx.update(gradient, state, cells)
            new: Any = (optax.apply_updates(cells, updates), new_state)
            if one_pass:  # Adam moves without a gradient too
                new = jax.tree.map(lambda a, b: jnp.where(i < n, a, b), new, carry)
            return new, loss(new[0], one, 1 - is_train)

        cells = memory.init(key)["initial"]["cells"]
        steps = jnp.arange(one.targets.shape[0] if one_pass else FULL_BATCH_STEPS)
        return jax.lax.scan(step, (cells, tx.init(cells)), steps)[1]

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
    """The mean test loss for every learning rate, after every step.

    Args:
        memory: as in `curves`.
        optimizer: as in `curves`.
        one_pass: as in `curves`.
        key: as in `curves`.
        data: other data sets than those that are compared on.
        num_train: of them.
        grid: learning rates, ascending.

    Returns:
        f32[len(grid), num_steps], infinite where it is not a number.
    """
    rates = (curves(memory, optimizer, one_pass, rate, key, data, num_train) for rate in grid)
    means = np.stack([np.asarray(found).mean(0) for found in rates])
    return np.where(np.isfinite(means), means, np.inf)


def best(means: np.ndarray, stop_early: bool, grid: Sequence[float] = GRID) -> Tuned:
    """The best learning rate of a sweep, and with `stop_early` the best number of steps.

    Args:
        means: that `sweep` gave.
        stop_early: whether the number of steps is tuned too.
        grid: the sweep's.

    Returns:
        What was found.
    """
    steps = means.argmin(1) if stop_early else np.full(len(grid), means.shape[1] - 1)
    chosen = int(means[np.arange(len(grid)), steps].argmin())
    return Tuned(grid[chosen], int(steps[chosen]), chosen in (0, len(grid) - 1))
