"""Decompositions of matrices that do not hang under vmap."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array


def one_by_one(decompose: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """A decomposition that a CPU makes of one matrix after another where vmap asks for many.

    On a CPU jax 0.10 hands the matrices of a batch to its pool of threads and waits for them inside it. As
    many such batches at a time as the pool has threads, in one program or on several devices, wait for ever.

    Args:
        decompose: a function of one matrix.

    Returns:
        The same function; other devices keep decomposing batches.

    Example:
        >>> largest = one_by_one(lambda a: jnp.linalg.eigvalsh(a)[-1])
        >>> jax.vmap(largest)(jnp.stack([jnp.eye(2), 3 * jnp.eye(2)])).tolist()
        [1.0, 3.0]
    """
    sequential = jax.custom_batching.sequential_vmap(decompose)
    return lambda matrix: jax.lax.platform_dependent(matrix, cpu=sequential, default=decompose)


def largest_eigenvalue(a: Array) -> Array:
    """The largest eigenvalue of a symmetric matrix.

    Args:
        a: f[n, n].

    Returns:
        f[].

    Example:
        >>> float(largest_eigenvalue(jnp.diag(jnp.array([1.0, 4.0, 2.0]))))
        4.0
    """
    return one_by_one(lambda a: jnp.linalg.eigvalsh(a)[-1])(a)


def orthonormal_columns(a: Array) -> Array:
    """The Q of a matrix's QR decomposition with a positive diagonal.

    Args:
        a: f[m, n], m at least n, of full rank.

    Returns:
        f[m, n].

    Example:
        >>> q = orthonormal_columns(jnp.array([[3.0], [4.0]]))
        >>> [round(float(x), 3) for x in q[:, 0]]
        [0.6, 0.8]
    """

    def decompose(a: Array) -> Array:
        q, r = jnp.linalg.qr(a)
        return q * jnp.sign(jnp.diagonal(r))[None, :]

    return one_by_one(decompose)(a)
