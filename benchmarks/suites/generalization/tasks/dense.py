"""Multilayer perceptrons on images, and autoencoders."""

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks import data
from benchmarks.suites.generalization.tasks.layers import cross_entropy, mlp, squared_error
from benchmarks.suites.generalization.tasks.supervised import supervised
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.core.types import Array, Task


def mnist() -> Task:
    init, apply = mlp((784, 32, 32, 10), jax.nn.silu)
    return supervised(data.images("mnist", 28), init, apply, cross_entropy, batch_size=16)


def wide() -> Task:
    """Some hundred times as many params as the largest networks have that the rules were made with."""
    init, apply = mlp((784, 256, 192, 128, 10), jax.nn.relu)
    return supervised(data.images("fashion_mnist", 28), init, apply, cross_entropy, batch_size=32)


def noisy_labels() -> Task:
    rows = data.with_label_noise(data.images("fashion_mnist", 14), 0.4, 10)
    init, apply = mlp((196, 48, 10), jax.nn.elu)
    return supervised(rows, init, apply, cross_entropy, batch_size=16)


def few() -> Task:
    init, apply = mlp((196, 24, 24, 24, 10), jax.nn.leaky_relu)
    return supervised(data.images("mnist", 14), init, apply, cross_entropy, batch_size=None, num_rows=32)


def cancer() -> Task:
    init, apply = mlp((30, 32, 32, 2), jax.nn.softplus, gain=1.0)
    return supervised(data.table("breast_cancer"), init, apply, cross_entropy, batch_size=32)


def autoencoder() -> Task:
    init, apply = mlp((64, 32, 8, 32, 64), jax.nn.silu)
    return supervised(data.pixels("digits", 8), init, apply, _binary_cross_entropy, batch_size=16)


def deep_autoencoder() -> Task:
    init, apply = mlp((196, 48, 24, 6, 24, 48, 196), jax.nn.sigmoid, gain=4.0)
    return supervised(data.pixels("fashion_mnist", 14), init, apply, squared_error, batch_size=16)


def _binary_cross_entropy(outputs: Array, targets: Array) -> Array:
    return jnp.mean(jax.nn.softplus(outputs) - outputs * targets, axis=-1)


TRIALS = (
    Trial("dense-mnist", "noisy", 600, mnist, "784-32-32-10, SiLU, batches of 16 MNIST images", ("mnist",)),
    Trial(
        "dense-wide",
        "noisy",
        500,
        wide,
        "784-256-192-128-10, ReLU, 276,000 params, batches of 32 Fashion-MNIST images",
        ("fashion_mnist",),
    ),
    Trial(
        "dense-noisy-labels",
        "noisy",
        1000,
        noisy_labels,
        "196-48-10, ELU, batches of 16 Fashion-MNIST images, 40 % of the labels drawn at random",
        ("fashion_mnist",),
    ),
    Trial(
        "dense-few",
        "solvable",
        1000,
        few,
        "196-24-24-24-10, leaky ReLU, all of 32 MNIST images at each step",
        ("mnist",),
    ),
    Trial("dense-cancer", "solvable", 1500, cancer, "30-32-32-2, softplus, batches of 32 of breast cancer"),
    Trial("dense-autoencoder", "between", 1000, autoencoder, "64-32-8-32-64, SiLU, digits, cross-entropy"),
    Trial(
        "dense-deep-autoencoder",
        "between",
        600,
        deep_autoencoder,
        "196-48-24-6-24-48-196, sigmoid, Fashion-MNIST, squared error",
        ("fashion_mnist",),
    ),
)
