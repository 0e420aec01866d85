"""Convolutional networks."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks import data
from benchmarks.suites.generalization.tasks.layers import (
    Activation,
    Weights,
    convolved,
    cross_entropy,
    kernel,
    matrix,
    normalized,
)
from benchmarks.suites.generalization.tasks.supervised import supervised
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.core.types import Array, Key, Task


def network(
    channels: Sequence[int], strides: Sequence[int], activation: Activation, *, batch_norm: bool = False
):
    """3x3 convolutions, the mean over all positions, and a linear layer to ten classes."""

    def init(key: Key) -> Weights:
        weights, before = {}, 1
        for i, after in enumerate(channels):
            weights[f"kernel{i}"] = kernel(jax.random.fold_in(key, i), before, after)
            weights[f"bias{i}"] = jnp.zeros(after)
            if batch_norm:
                weights[f"scale{i}"] = jnp.ones(after)
            before = after
        return weights | {"w": matrix(key, before, 10), "b": jnp.zeros(10)}

    def apply(weights: Weights, x: Array) -> Array:
        for i, stride in enumerate(strides):
            x = convolved(x, weights[f"kernel{i}"], stride)
            if batch_norm:
                x = normalized(x, (0, 1, 2)) * weights[f"scale{i}"]
            x = activation(x + weights[f"bias{i}"])
        return x.mean((1, 2)) @ weights["w"] + weights["b"]

    return init, apply


def fashion() -> Task:
    init, apply = network((8, 16, 16), (2, 2, 1), jax.nn.elu)
    return supervised(data.images("fashion_mnist", 14), init, apply, cross_entropy, batch_size=8)


def batch_norm() -> Task:
    init, apply = network((8, 12, 16), (2, 2, 1), jax.nn.relu, batch_norm=True)
    return supervised(data.images("mnist", 14), init, apply, cross_entropy, batch_size=16)


def few() -> Task:
    init, apply = network((8, 12), (1, 2), jax.nn.gelu)
    return supervised(data.images("digits", 8), init, apply, cross_entropy, batch_size=None, num_rows=24)


TRIALS = (
    Trial(
        "conv-fashion",
        "noisy",
        800,
        fashion,
        "three convolutions of 8 to 16 channels, ELU, batches of 8 Fashion-MNIST images of 14x14",
        ("fashion_mnist",),
    ),
    Trial(
        "conv-batch-norm",
        "noisy",
        600,
        batch_norm,
        "three convolutions of 8 to 16 channels with batch norms, batches of 16 MNIST images of 14x14",
        ("mnist",),
    ),
    Trial("conv-few", "solvable", 600, few, "two convolutions, GELU, all of 24 digits at each step"),
)
