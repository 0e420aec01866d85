"""Factorisation of random matrices of low rank."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_above_zero, check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.tasks.registry import registry


class Factorization(NamedTuple):
    """One problem.

    Attributes:
        matrix: Y, f32[num_rows, num_columns].
        observed: M, f32[num_rows, num_columns], ones and zeros.
    """

    matrix: Array
    observed: Array


@registry.register
def matrix_factorization(
    num_rows: int = 16,
    num_columns: int = 12,
    rank: int = 3,
    inner_size: int = 4,
    observed: float = 1.0,
    noise: float = 0.0,
    start_deviation: float = 0.1,
) -> Task:
    r"""Two factors of a random matrix of low rank, all of which or some entries of which are known.

    .. math::

        f(A, B) = \frac{\lVert M \odot (A B - Y) \rVert^2}{\sum_{ij} M_{ij}}, \qquad
        Y = \frac{U V}{\sqrt{r}} + \sigma n, \quad U_{ij}, V_{ij}, n_{ij} \sim N(0, 1)

    Args:
        num_rows: of Y.
        num_columns: of Y.
        rank: r, of Y without noise.
        inner_size: columns of A and rows of B.
        observed: the share of entries that are known, the chance that one of M is 1.
        noise: sigma.
        start_deviation: of the entries of A and B at the start.

    Returns:
        The task; its params are `{"a": f32[num_rows, inner_size], "b": f32[inner_size, num_columns]}`, its
        loss is deterministic.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> task = matrix_factorization()
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> problem = task.sample(keys[0])
        >>> bool(0.2 < task.loss(task.init(keys[1], problem), problem, ()) < 5)
        True
    """
    check_at_least(1, num_rows=num_rows, num_columns=num_columns, rank=rank, inner_size=inner_size)
    check_at_least(0, noise=noise)
    check_above_zero(start_deviation=start_deviation, observed=observed)
    if observed > 1:
        raise ValueError(f"observed={observed!r}: give a share of at most 1")

    def sample(key: Key) -> Factorization:
        left_key, right_key, noise_key, mask_key = jax.random.split(key, 4)
        left = jax.random.normal(left_key, (num_rows, rank))
        right = jax.random.normal(right_key, (rank, num_columns))
        shape = num_rows, num_columns
        matrix = left @ right / jnp.sqrt(jnp.float32(rank)) + noise * jax.random.normal(noise_key, shape)
        mask = jax.random.uniform(mask_key, shape) < observed if observed < 1 else jnp.ones(shape)
        return Factorization(matrix, mask.astype(jnp.float32))

    def init(key: Key, problem: Factorization) -> Params:
        del problem
        left_key, right_key = jax.random.split(key)
        return {
            "a": start_deviation * jax.random.normal(left_key, (num_rows, inner_size)),
            "b": start_deviation * jax.random.normal(right_key, (inner_size, num_columns)),
        }

    def loss(params: Params, problem: Factorization, batch: tuple[()]) -> Array:
        del batch
        error = problem.observed * (params["a"] @ params["b"] - problem.matrix)
        return jnp.sum(jnp.square(error)) / jnp.maximum(jnp.sum(problem.observed), 1)

    return Task(sample, init, batch=lambda key, problem, data: (), loss=loss)
