"""Residual networks with normalised activations."""

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks import data
from benchmarks.suites.generalization.tasks.layers import (
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


def blocks(fan_in: int, width: int, depth: int, classes: int):
    """Blocks of a layer norm, a layer, GELU and a layer that starts small, around a sum."""

    def init(key: Key) -> Weights:
        keys = iter(jax.random.split(key, 2 + 2 * depth))
        weights = {"in": matrix(next(keys), fan_in, width), "out": matrix(next(keys), width, classes)}
        for i in range(depth):
            weights |= {
                f"scale{i}": jnp.ones(width),
                f"up{i}": matrix(next(keys), width, width, 2**0.5),
                f"bias{i}": jnp.zeros(width),
                f"down{i}": matrix(next(keys), width, width, 0.5),
            }
        return weights

    def apply(weights: Weights, x: Array) -> Array:
        x = x.reshape(x.shape[0], -1) @ weights["in"]
        for i in range(depth):
            hidden = normalized(x) * weights[f"scale{i}"] @ weights[f"up{i}"] + weights[f"bias{i}"]
            x += jax.nn.gelu(hidden) @ weights[f"down{i}"]
        return normalized(x) @ weights["out"]

    return init, apply


def fashion() -> Task:
    init, apply = blocks(196, 32, 3, 10)
    return supervised(data.images("fashion_mnist", 14), init, apply, cross_entropy, batch_size=16)


def wine() -> Task:
    init, apply = blocks(13, 24, 2, 3)
    return supervised(data.table("wine"), init, apply, cross_entropy, batch_size=8)


def conv() -> Task:
    """Residual blocks of two convolutions with group normalisation, on 8x8 digits with noisy labels."""
    channels, groups, depth = 8, 4, 2

    def init(key: Key) -> Weights:
        keys = iter(jax.random.split(key, 2 + 2 * depth))
        weights = {
            "in": kernel(next(keys), 1, channels),
            "w": matrix(next(keys), channels, 10),
            "b": jnp.zeros(10),
        }
        for i in range(depth):
            first, second = kernel(next(keys), channels, channels), kernel(next(keys), channels, channels)
            weights |= {f"first{i}": first, f"second{i}": 0.3 * second, f"scale{i}": jnp.ones(channels)}
        return weights

    def grouped(x: Array) -> Array:
        parts = x.reshape(*x.shape[:3], groups, channels // groups)
        return normalized(parts, (1, 2, 4)).reshape(x.shape)

    def apply(weights: Weights, x: Array) -> Array:
        x = convolved(x, weights["in"], 2)
        for i in range(depth):
            hidden = jax.nn.relu(convolved(grouped(x) * weights[f"scale{i}"], weights[f"first{i}"]))
            x += convolved(hidden, weights[f"second{i}"])
        return x.mean((1, 2)) @ weights["w"] + weights["b"]

    rows = data.with_label_noise(data.images("digits", 8), 0.2, 10)
    return supervised(rows, init, apply, cross_entropy, batch_size=16)


TRIALS = (
    Trial(
        "residual-fashion",
        "noisy",
        800,
        fashion,
        "three blocks of width 32 with layer norms, batches of 16 Fashion-MNIST images of 14x14",
        ("fashion_mnist",),
    ),
    Trial(
        "residual-conv",
        "noisy",
        600,
        conv,
        "two blocks of convolutions with group norms, digits, 20 % noisy labels",
    ),
    Trial(
        "residual-wine",
        "solvable",
        1000,
        wine,
        "two blocks of width 24 with layer norms, batches of 8 of the wine table",
    ),
)
