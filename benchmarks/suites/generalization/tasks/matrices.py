"""Products of matrices that are fitted: completion, deep linear maps, nonnegative factors."""

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks import data
from benchmarks.suites.generalization.tasks.layers import Weights
from benchmarks.suites.generalization.tasks.supervised import deterministic
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.core.types import Array, Key, Task


def completion() -> Task:
    """Half of the entries of a matrix of rank 3, by factors of rank 4; the others are the test."""
    rows, columns, rank = 32, 24, 3

    def sample(key: Key) -> tuple[Array, Array]:
        keys = jax.random.split(key, 3)
        left, right = (jax.random.normal(k, (n, rank)) for k, n in zip(keys, (rows, columns), strict=False))
        return left @ right.T * rank**-0.5, jax.random.uniform(keys[2], (rows, columns)) < 0.5

    def init(key: Key, problem: tuple[Array, Array]) -> Weights:
        del problem
        keys = jax.random.split(key)
        left, right = (
            0.1 * jax.random.normal(k, (n, rank + 1)) for k, n in zip(keys, (rows, columns), strict=True)
        )
        return {"left": left, "right": right}

    def error(weights: Weights, whole: Array, seen: Array) -> Array:
        gaps = jnp.square(weights["left"] @ weights["right"].T - whole)
        return jnp.sum(gaps * seen) / jnp.sum(seen)

    return deterministic(
        sample,
        init,
        lambda weights, problem: error(weights, *problem),
        lambda weights, problem: error(weights, problem[0], ~problem[1]),
    )


def deep_linear() -> Task:
    """A linear map as the product of four matrices, from small ones (Saxe et al., 2014)."""
    dim, depth = 12, 4

    def sample(key: Key) -> Array:
        keys = jax.random.split(key)
        turns = [jnp.linalg.qr(jax.random.normal(k, (dim, dim)))[0] for k in keys]
        return turns[0] * jnp.logspace(0, -1, dim) @ turns[1]

    def init(key: Key, problem: Array) -> Weights:
        del problem
        return {
            f"w{i}": 0.5 * dim**-0.5 * jax.random.normal(jax.random.fold_in(key, i), (dim, dim))
            for i in range(depth)
        }

    def loss(weights: Weights, problem: Array) -> Array:
        product = jnp.eye(dim)
        for i in range(depth):
            product = product @ weights[f"w{i}"]
        return jnp.sum(jnp.square(product - problem)) / dim

    return deterministic(sample, init, loss)


def nonnegative() -> Task:
    """Digits as sums of nine nonnegative parts (Lee and Seung, 1999), in batches of 16 of 400 digits."""
    count, parts, size = 400, 9, 64
    rows = data.pixels("digits", 8)

    def sample(key: Key) -> Array:
        return jax.random.choice(key, len(rows.inputs), (count,), replace=False)

    def init(key: Key, problem: Array) -> Weights:
        del problem
        keys = jax.random.split(key)
        return {
            "shares": jax.random.normal(keys[0], (count, parts)) - 2,
            "parts": jax.random.normal(keys[1], (parts, size)) - 2,
        }

    def batch(key: Key, problem: Array, digits: Array) -> tuple[Array, Array]:
        chosen = jax.random.randint(key, (16,), 0, count)
        return chosen, digits[problem[chosen]]

    def loss(weights: Weights, problem: Array, batch: tuple[Array, Array]) -> Array:
        del problem
        chosen, digits = batch
        made = jax.nn.softplus(weights["shares"][chosen]) @ jax.nn.softplus(weights["parts"])
        return jnp.mean(jnp.square(made - digits))

    def metrics(weights: Weights, problem: Array, digits: Array) -> dict[str, Array]:
        return {"train": loss(weights, problem, (jnp.arange(count), digits[problem]))}

    return Task(sample, init, batch, loss, jnp.asarray(rows.inputs), metrics)


TRIALS = (
    Trial(
        "matrices-completion",
        "solvable",
        1000,
        completion,
        "half of a 32x24 matrix of rank 3, by factors of rank 4",
    ),
    Trial(
        "matrices-deep-linear", "solvable", 1000, deep_linear, "a 12x12 map as the product of four matrices"
    ),
    Trial(
        "matrices-nonnegative",
        "between",
        1000,
        nonnegative,
        "400 digits by nine nonnegative parts, batches of 16",
    ),
)
