"""Regression: tables, random teachers, images as functions, and a differential equation."""

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks import data
from benchmarks.suites.generalization.tasks.layers import Weights, mlp, squared_error
from benchmarks.suites.generalization.tasks.supervised import deterministic, streamed, supervised
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.core.types import Array, Key, Task


def diabetes() -> Task:
    init, apply = mlp((10, 32, 1), jax.nn.softplus, gain=1.0)
    return supervised(data.table("diabetes"), init, apply, squared_error, batch_size=8)


def teacher() -> Task:
    """A random network of sines, with noise on its answers."""
    teacher_init, teach = mlp((12, 8, 3), jnp.sin, gain=2.0)
    init, apply = mlp((12, 24, 3), jnp.sin)

    def draw(key: Key, problem: Weights, number: int) -> tuple[Array, Array]:
        keys = jax.random.split(key)
        x = jax.random.normal(keys[0], (number, 12))
        return x, teach(problem, x) + 0.3 * jax.random.normal(keys[1], (number, 3))

    def loss(weights: Weights, problem: Weights, batch: tuple[Array, Array]) -> Array:
        del problem
        return jnp.mean(squared_error(apply(weights, batch[0]), batch[1]))

    return streamed(teacher_init, init, draw, loss, batch_size=4)


def picture() -> Task:
    """The pixels of one digit by a network of sines of their places (Sitzmann et al., 2020)."""
    init, apply = mlp((2, 32, 32, 1), jnp.sin, gain=6.0**0.5)
    rows = data.images("digits", 8)
    places = jnp.stack(jnp.meshgrid(*[jnp.linspace(-3, 3, 8)] * 2), axis=-1).reshape(-1, 2)
    pictures = jnp.asarray(rows.inputs[:200].reshape(200, -1))

    def sample(key: Key) -> Array:
        return pictures[jax.random.randint(key, (), 0, len(pictures))]

    def loss(weights: Weights, problem: Array) -> Array:
        return jnp.mean(jnp.square(apply(weights, places)[:, 0] - problem))

    return deterministic(sample, lambda key, problem: init(key), loss)


def equation() -> Task:
    """U'' = f on [-1, 1] with u = 0 at its ends, by the residuals at 32 places (Raissi et al., 2019)."""
    init, apply = mlp((1, 24, 24, 1), jnp.tanh, gain=1.0)
    places = jnp.linspace(-1, 1, 32)

    def sample(key: Key) -> Array:
        return jax.random.normal(key, (3,)) / jnp.arange(1, 4)

    def force(coefficients: Array, x: Array) -> Array:
        waves = jnp.pi * jnp.arange(1, 4)
        return jnp.sum(coefficients * jnp.sin(waves * x) * waves, axis=-1)

    def loss(weights: Weights, problem: Array) -> Array:
        def solution(x: Array) -> Array:
            return (1 - x**2) * apply(weights, x.reshape(1, 1))[0, 0]

        def residual(x: Array) -> Array:
            return jax.jvp(lambda z: jax.jvp(solution, (z,), (1.0,))[1], (x,), (1.0,))[1] - force(problem, x)

        return jnp.mean(jnp.square(jax.vmap(residual)(places)))

    return deterministic(sample, lambda key, problem: init(key), loss)


TRIALS = (
    Trial(
        "regression-diabetes",
        "noisy",
        1000,
        diabetes,
        "10-32-1, softplus, batches of 8 of the diabetes table",
    ),
    Trial(
        "regression-teacher",
        "noisy",
        1000,
        teacher,
        "a random network of sines with noisy answers, batches of 4",
    ),
    Trial("regression-picture", "solvable", 1500, picture, "the 64 pixels of a digit by a network of sines"),
    Trial(
        "regression-equation",
        "solvable",
        1000,
        equation,
        "a boundary value problem by its residuals at 32 places",
    ),
)
