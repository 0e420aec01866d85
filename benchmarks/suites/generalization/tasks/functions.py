"""Test functions of classical optimisation, and a quadratic in heavy-tailed noise."""

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks.supervised import deterministic
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.core.types import Array, Key, Task


def rosenbrock() -> Task:
    """A curved valley in 40 dimensions of different units (Rosenbrock, 1960)."""
    dim = 40

    def loss(x: Array, scales: Array) -> Array:
        y = x * scales
        return jnp.mean(100 * jnp.square(y[1:] - jnp.square(y[:-1])) + jnp.square(1 - y[:-1]))

    return deterministic(
        lambda key: jnp.exp(0.5 * jax.random.normal(key, (dim,))),
        lambda key, problem: 0.5 * jax.random.normal(key, (dim,)),
        loss,
    )


def powell() -> Task:
    """Powell's function of four variables, ten times: its Hessian is singular at the minimum (1962)."""

    def loss(x: Array, rotation: Array) -> Array:
        a, b, c, d = (x.reshape(10, 4) @ rotation).T
        terms = jnp.square(a + 10 * b) + 5 * jnp.square(c - d) + (b - 2 * c) ** 4 + 10 * (a - d) ** 4
        return jnp.mean(terms)

    return deterministic(
        lambda key: jnp.linalg.qr(jax.random.normal(key, (4, 4)))[0],
        lambda key, problem: 2 * jax.random.normal(key, (40,)),
        loss,
    )


def smooth_absolute() -> Task:
    """Smooth absolute values of 60 affine functions of 20 variables, all zero at one place."""
    dim, count = 20, 60

    def sample(key: Key) -> tuple[Array, Array]:
        keys = jax.random.split(key)
        return jax.random.normal(keys[0], (count, dim)), 3 * jax.random.normal(keys[1], (dim,))

    def loss(x: Array, problem: tuple[Array, Array]) -> Array:
        slopes, place = problem
        squares = jnp.square(slopes @ (x - place))
        return jnp.mean(squares / (1 + jnp.sqrt(1 + squares)))  # sqrt(1 + s) - 1 without cancellation

    return deterministic(sample, lambda key, problem: jnp.zeros(dim), loss)


def noisy_quadratic() -> Task:
    """A quadratic in 300 dimensions whose gradients have noise of Student's t with 2 degrees of freedom."""
    dim = 300

    def sample(key: Key) -> tuple[Array, Array]:
        keys = jax.random.split(key)
        return 10 ** jax.random.uniform(keys[0], (dim,), minval=-2.0), jax.random.normal(keys[1], (dim,))

    def exact(x: Array, problem: tuple[Array, Array]) -> Array:
        curvatures, place = problem
        return 0.5 * jnp.mean(curvatures * jnp.square(x - place))

    def loss(x: Array, problem: tuple[Array, Array], batch: Array) -> Array:
        push = jnp.mean(batch * x)
        return exact(x, problem) + push - jax.lax.stop_gradient(push)

    return Task(
        sample,
        lambda key, problem: jnp.zeros(dim),
        lambda key, problem, data: 0.5 * jax.random.t(key, 2.0, (dim,)),
        loss,
        (),
        lambda x, problem, data: {"train": exact(x, problem)},
    )


TRIALS = (
    Trial(
        "functions-rosenbrock",
        "solvable",
        2000,
        rosenbrock,
        "Rosenbrock's valley in 40 dimensions of other units",
    ),
    Trial("functions-powell", "solvable", 2000, powell, "Powell's singular function in 40 dimensions"),
    Trial(
        "functions-absolute",
        "solvable",
        1000,
        smooth_absolute,
        "smooth absolute values of 60 affine functions",
    ),
    Trial(
        "functions-heavy-tails",
        "noisy",
        1000,
        noisy_quadratic,
        "a quadratic in 300 dimensions, heavy-tailed noise",
    ),
)
