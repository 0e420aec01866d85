"""Decompositions of matrices that do not hang under vmap."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array


def one_by_one(decompose: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """The same function of a matrix, which a CPU applies to one after another where vmap asks for many.

    On a CPU jax 0.10 hands the matrices of a batch to its pool of threads and waits for them inside it. As
    many such batches at a time as the pool has threads, in one program or on several devices, wait for ever.
    """
    sequential = jax.custom_batching.sequential_vmap(decompose)
    return lambda matrix: jax.lax.platform_dependent(matrix, cpu=sequential, default=decompose)


def largest_eigenvalue(a: Array) -> Array:
    """The largest eigenvalue of a symmetric matrix: f[n, n] -> f[]."""
    return one_by_one(lambda a: jnp.linalg.eigvalsh(a)[-1])(a)


def orthonormal_columns(a: Array) -> Array:
    """The Q of a QR decomposition with a positive diagonal: f[m, n] of full rank, m >= n -> f[m, n]."""

    def decompose(a: Array) -> Array:
        q, r = jnp.linalg.qr(a)
        return q * jnp.sign(jnp.diagonal(r))[None, :]

    return one_by_one(decompose)(a)
