"""Predictions of test samples by drawn parameters, in place of one estimate for the whole test.

Reference:
    Bosc, Learning to learn neural networks, 2016, section 4, which names it as a direction and gives no
    distribution. Deviation: here it is Gaussian around the cells as they are at each test sample, with a
    deviation of each parameter that is fitted and does not change.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context.memory.datasets_loss import draw_datasets
from learned_opt.in_context.memory.weight_memory import WeightMemory, learn, mean_loss, training_samples
from learned_opt.in_context.memory.xor_datasets import Dataset, Datasets
from learned_opt.training import minimize

FIRST_SPREAD = 0.05
LEARNING_RATE = 0.05
SMALLEST = 1e-7


def sampled_logits(
    memory: WeightMemory,
    theta: Theta,
    spread: Array,
    data: Dataset,
    num_train: Any,
    key: Key,
    *,
    num_draws: int = 16,
) -> Array:
    r"""Shows a data set to a weight memory, and predicts every test sample by parameters drawn for it.

    .. math::

        p_t = \frac{1}{K} \sum_{k=1}^K p(x_t;\, c_{t-1} + s \odot \epsilon_{tk}),
        \qquad \epsilon_{tk} \sim N(0, I)

    where the target is hidden; a training sample is predicted by the cells themselves, as by `learn`.

    Args:
        memory: the network, of binary targets.
        theta: its parameters.
        spread: s, f32[num_cells], standard deviations; `fit_spread` finds them.
        data: the samples, in the order in which they are shown.
        num_train: how many of them are training samples, or which, as `learn` takes it.
        key: of the draws.
        num_draws: K.

    Returns:
        f32[num_samples], logits of class 1.

    Raises:
        ValueError: if the memory is of other targets, or there is no draw.

    Example:
        >>> from learned_opt.in_context import weight_memory
        >>> memory = weight_memory(num_inputs=2, num_hidden=3, learner_sizes=(4,))
        >>> theta, data = memory.init(jax.random.key(0)), Dataset(jnp.ones((6, 2)), jnp.zeros(6))
        >>> sampled_logits(memory, theta, jnp.full(13, 0.1), data, 4, jax.random.key(1)).shape
        (6,)
    """
    if memory.targets.name != "binary":
        raise ValueError(f"a memory of {memory.targets.name}: only predictions of two classes are averaged")
    if num_draws < 1:
        raise ValueError(f"num_draws={num_draws!r}: it must be at least 1")
    logits, cells = learn(memory, theta, data, num_train)

    def drawn(key: Key, cells: Array, x: Array) -> Array:
        noise = jax.random.normal(key, (num_draws, *cells.shape), cells.dtype)
        parameters = cells[None] + spread[None] * noise
        p = jax.nn.sigmoid(jax.vmap(memory.predict, (0, None))(parameters, x)).mean()
        p = jnp.clip(p, SMALLEST, 1 - SMALLEST)  # a rounded 0 or 1 would have no finite logit
        return jnp.log(p) - jnp.log1p(-p)

    num_samples = data.targets.shape[0]
    sampled = jax.vmap(drawn)(jax.random.split(key, num_samples), cells[:-1], data.inputs)
    return jnp.where(training_samples(num_train, num_samples), logits, sampled)


def fit_spread(
    memory: WeightMemory,
    theta: Theta,
    datasets: Datasets,
    key: Key,
    *,
    num_draws: int = 16,
    num_steps: int = 200,
    batch_size: int = 32,
    num_train: tuple[int, int] = (20, 180),
) -> Array:
    """Fits the deviations of a memory's parameters to the loss on test samples, with theta as it is.

    Args:
        memory: the network.
        theta: its parameters.
        datasets: to fit on.
        key: of the data sets and the draws.
        num_draws: of parameters for a test sample.
        num_steps: of Adam, from deviations of 0.05, on their logarithms; its rate falls from 0.05 along a
            cosine.
        batch_size: fresh data sets of a step.
        num_train: the least and the greatest number of training samples.

    Returns:
        f32[num_cells].

    Example:
        >>> from learned_opt.in_context import weight_memory, xor_datasets
        >>> memory = weight_memory(num_inputs=2, num_hidden=3, learner_sizes=(4,))
        >>> datasets = xor_datasets(num_inputs=2, num_samples=12)
        >>> few = {"num_steps": 2, "batch_size": 2, "num_draws": 2, "num_train": (4, 8)}
        >>> spread = fit_spread(memory, memory.init(jax.random.key(0)), datasets, jax.random.key(1), **few)
        >>> spread.shape
        (13,)
    """
    draws = functools.partial(sampled_logits, num_draws=num_draws)

    def loss(logarithms: Array, step: Array) -> Array:
        data_key, draw_key = jax.random.split(jax.random.fold_in(key, step))
        drawn, numbers = draw_datasets(datasets, data_key, batch_size, *num_train)

        def one(data: Dataset, n: Array, key: Key) -> Array:
            logits = draws(memory, theta, jnp.exp(logarithms), data, n, key)
            return mean_loss(memory, logits, data.targets, n, "test")

        return jax.vmap(one)(drawn, numbers, jax.random.split(draw_key, batch_size)).mean()

    first = jnp.full_like(jnp.asarray(theta["initial"]["cells"]), jnp.log(FIRST_SPREAD))
    tx = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, num_steps))
    return jnp.exp(jax.jit(lambda: minimize(loss, first, tx, num_steps=num_steps).params)())
