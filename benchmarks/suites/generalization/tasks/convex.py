"""Convex losses of linear models."""

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks import data
from benchmarks.suites.generalization.tasks.layers import Weights, cross_entropy
from benchmarks.suites.generalization.tasks.supervised import supervised
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.core.types import Array, Key, Task


def linear(fan_in: int, fan_out: int):
    """A linear model that starts at zero."""

    def init(key: Key) -> Weights:
        del key
        return {"w": jnp.zeros((fan_in, fan_out)), "b": jnp.zeros(fan_out)}

    def apply(weights: Weights, x: Array) -> Array:
        return x.reshape(x.shape[0], -1) @ weights["w"] + weights["b"]

    return init, apply


def softmax() -> Task:
    init, apply = linear(196, 10)
    return supervised(data.images("mnist", 14), init, apply, cross_entropy, batch_size=16)


def regularized() -> Task:
    init, apply = linear(30, 2)
    return supervised(
        data.table("breast_cancer"),
        init,
        apply,
        cross_entropy,
        batch_size=None,
        penalty=lambda weights: 1e-2 * jnp.sum(jnp.square(weights["w"])),
    )


def hinge() -> Task:
    """The squared hinge of one class against the others."""
    init, apply = linear(13, 3)

    def row_loss(scores: Array, labels: Array) -> Array:
        signs = 2 * jax.nn.one_hot(labels, 3) - 1
        return jnp.mean(jnp.square(jax.nn.relu(1 - signs * scores)), axis=-1)

    return supervised(data.table("wine"), init, apply, row_loss, batch_size=None)


def robust() -> Task:
    """Absolute errors beyond 1/2 count by their size alone (Huber, 1964)."""
    init, apply = linear(10, 1)

    def row_loss(outputs: Array, targets: Array) -> Array:
        errors = jnp.abs(outputs - targets)
        return jnp.mean(jnp.where(errors < 0.5, jnp.square(errors), errors - 0.25), axis=-1)

    return supervised(data.table("diabetes"), init, apply, row_loss, batch_size=8)


def least_squares() -> Task:
    """More unknowns than equations, so that all can be met: the noise vanishes at the end."""
    dim, count = 120, 80

    def sample(key: Key) -> tuple[Array, Array]:
        keys = jax.random.split(key, 3)
        scales = jnp.logspace(0, -1.5, dim)
        rotation = jnp.linalg.qr(jax.random.normal(keys[0], (dim, dim)))[0]
        x = (jax.random.normal(keys[1], (count, dim)) * scales) @ rotation
        y = x @ jax.random.normal(keys[2], (dim,))
        return x, y / jnp.std(y)

    def batch(key: Key, problem: tuple[Array, Array], data: tuple[()]) -> Array:
        del problem, data
        return jax.random.randint(key, (8,), 0, count)

    def loss(w: Array, problem: tuple[Array, Array], batch: Array) -> Array:
        x, y = problem
        return 0.5 * jnp.mean(jnp.square(x[batch] @ w - y[batch]))

    def metrics(w: Array, problem: tuple[Array, Array], data: tuple[()]) -> dict[str, Array]:
        del data
        return {"train": loss(w, problem, jnp.arange(count))}

    return Task(sample, lambda key, problem: jnp.zeros(dim), batch, loss, (), metrics)


TRIALS = (
    Trial(
        "convex-softmax", "noisy", 1000, softmax, "softmax regression, batches of 16 MNIST images", ("mnist",)
    ),
    Trial(
        "convex-regularized",
        "between",
        1000,
        regularized,
        "logistic regression of breast cancer, weights penalised",
    ),
    Trial("convex-hinge", "solvable", 1000, hinge, "squared hinges of the wine table, all rows at each step"),
    Trial("convex-robust", "noisy", 1000, robust, "Huber's loss on the diabetes table, batches of 8"),
    Trial(
        "convex-interpolation",
        "solvable",
        1500,
        least_squares,
        "80 equations with 120 unknowns, batches of 8",
    ),
)
