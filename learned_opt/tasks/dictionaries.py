"""What the problems of sparse coding are made of: dictionaries, codes and measurements."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from learned_opt import datasets
from learned_opt.core.decompositions import orthonormal_columns
from learned_opt.core.types import Array, Key


class SparseCoding(NamedTuple):
    """One problem: find the sparse x with `A x = y`.

    Attributes:
        dictionary: A, f32[m, n].
        code: x*, f32[n]; only the metrics and the loss of `objective="recovery"` look at it.
        measurement: y, f32[m].
    """

    dictionary: Array
    code: Array
    measurement: Array


class PatchCoding(NamedTuple):
    """One problem whose dictionary is made of patches; `task.batch` turns it into a `SparseCoding`.

    Attributes:
        patches: i32[n], which patches of the task's data are the columns of A.
        code: x*, f32[n].
        noise: f32[m], standard normal.
    """

    patches: Array
    code: Array
    noise: Array


def sample_code(key: Key, n: int, sparsity: float, entries: int) -> Array:
    """A Bernoulli-Gaussian code f32[n]; `entries` neighbours are active together."""
    active_key, value_key = jax.random.split(key)
    u = jax.random.uniform(active_key, (n // entries,))
    active = (u < sparsity) | (u == jnp.min(u))  # a code of zeros has no relative error
    return jnp.where(jnp.repeat(active, entries), jax.random.normal(value_key, (n,)), 0)


def draw_dictionary(key: Key, m: int, n: int, condition_number: float | None = None) -> Array:
    """A Gaussian matrix, or one of this condition number, whose columns are then divided by their norms."""
    if condition_number is None:
        return normalized(jax.random.normal(key, (m, n)))
    return normalized(ill_conditioned(key, m, n, condition_number))


def patch_dictionary(patches: Array) -> Array:
    """Patches u8[n, m] as the columns of a matrix f32[m, n], each of mean 0 and norm 1."""
    columns = patches.astype(jnp.float32)
    columns = columns - jnp.mean(columns, axis=1, keepdims=True)
    return normalized(columns.T)


def ill_conditioned(key: Key, m: int, n: int, condition_number: float) -> Array:
    """A Gaussian matrix's singular vectors, which are Haar distributed, with other singular values."""
    u_key, v_key = jax.random.split(key)
    rank = min(m, n)
    singular_values = jnp.exp(-jnp.linspace(0.0, math.log(condition_number), rank))
    u = orthonormal_columns(jax.random.normal(u_key, (m, rank)))
    v = orthonormal_columns(jax.random.normal(v_key, (n, rank)))
    return (u * singular_values[None, :]) @ v.T


def choose_patches(key: Key, num_patches: int, n: int) -> Array:
    """Different patches for the columns of one dictionary, i32[n]."""
    return jax.random.choice(key, num_patches, (n,), replace=False).astype(jnp.int32)


def normalized(a: Array) -> Array:
    """The matrix with columns of norm 1; a column of zeros stays."""
    norms = jnp.linalg.norm(a, axis=0, keepdims=True)
    return a / jnp.maximum(norms, jnp.finfo(a.dtype).tiny)


def measure(a: Array, code: Array, noise: Array, snr_db: float | None) -> SparseCoding:
    """The problem; `noise` is standard normal."""
    y = a @ code
    if snr_db is not None:
        y = y + jnp.sqrt(jnp.mean(jnp.square(y))) * 10 ** (-snr_db / 20) * noise
    return SparseCoding(a, code, y)


def patch_data(m: int, n: int) -> Array:
    """All patches of m pixels, u8[P, m], where they suffice for n columns."""
    side = math.isqrt(m)
    if side * side != m:
        raise ValueError(
            f"num_measurements={m!r}: a patch of natural images has a square number of pixels, "
            f"such as {side * side} or {(side + 1) ** 2}"
        )
    patches = datasets.load_patches(side).reshape(-1, m)
    if n > len(patches):
        raise ValueError(f"num_atoms={n!r}: there are {len(patches)} patches of {side}x{side}")
    return jnp.asarray(patches)
