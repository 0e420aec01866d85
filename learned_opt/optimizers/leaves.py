"""What is done to each leaf of the params, its gradient and its state."""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from learned_opt.core.trees import is_traced
from learned_opt.core.types import Array, Params

MAX_GRADIENT = 1e15  # squares of a hundred times as much are still float32 numbers


def zeros_like(params: Params, extra_shape: tuple[int, ...] = (), dtype: Any = jnp.float32) -> Params:
    """A tree of zeros, leaves `param.shape + extra_shape`, each sharded as its param is.

    Every leaf is an array of its own, since a buffer cannot be donated twice.
    """

    def zeros(param: Any) -> Array:
        shape = jnp.shape(param) + extra_shape
        if not is_traced(param):
            sharding = getattr(param, "sharding", None)
            # A NamedSharding says nothing of the trailing axis, which therefore stays whole on each device.
            device = sharding if isinstance(sharding, jax.sharding.NamedSharding) else None
            return jnp.zeros(shape, dtype, device=device)
        # Made from the param and not from its shape: on explicit meshes and in shard_map its type says more.
        zero = jnp.zeros_like(param, dtype)
        return jnp.broadcast_to(zero.reshape(zero.shape + (1,) * len(extra_shape)), shape)

    return jax.tree.map(zeros, params)


def layers_like(params: Params, hidden_sizes: Sequence[int], dtype: Any = jnp.float32) -> tuple[Params, ...]:
    """Zeros for the state of a stack of layers: for each a tree, leaves `param.shape + (hidden_size,)`."""
    return tuple(zeros_like(params, (size,), dtype) for size in hidden_sizes)


def copies_like(params: Params) -> Params:
    """The params in float32, each leaf an array of its own that is sharded as its param is."""
    return jax.tree.map(lambda zero, p: zero + p.astype(jnp.float32), zeros_like(params), params)


def coordinates(layer: Params) -> Params:
    """The params' shapes, read off one layer's state, leaves `param.shape + (hidden_size,)`."""
    return jax.tree.map(lambda h: jax.ShapeDtypeStruct(h.shape[:-1], h.dtype), layer)


def finite_gradient(g: Array, largest: float = MAX_GRADIENT) -> tuple[Array, Array]:
    """A gradient in float32 that is safe to compute with, and where it was finite.

    It is 0 where it was NaN or infinite, and at most `largest` elsewhere.
    """
    g = g.astype(jnp.float32)
    finite = jnp.isfinite(g)
    return jnp.clip(jnp.where(finite, g, 0), -largest, largest), finite


def touched(g: Array, *memory: Array) -> Array:
    """Where there is a gradient, or was one that the state still knows of: bool, of g's shape.

    Other coordinates, such as the rows of an embedding that no batch has used, should rest: whatever a rule
    says of a gradient of zero would add up. The memory, trailing axes allowed, is 0 until the first gradient.
    """
    known = [jnp.any(m != 0, axis=tuple(range(g.ndim, m.ndim))) for m in memory]
    return functools.reduce(jnp.logical_or, known, g != 0)


def keep_unless(finite: Array, new: Array, old: Array) -> Array:
    """The new state where the gradient was finite, the old one elsewhere, in the old one's dtype."""
    finite = finite.reshape(finite.shape + (1,) * (new.ndim - finite.ndim))
    return jnp.where(finite, new.astype(old.dtype), old)


def keep_all_unless(finite: Array, new: Iterable[Array], old: Iterable[Array]) -> list[Array]:
    """`keep_unless` for every part of a leaf's state."""
    return [keep_unless(finite, n, o) for n, o in zip(new, old, strict=True)]


def map_unzipped(
    function: Callable[..., Sequence[Any]], tree: Any, *rest: Any, num_results: int | None = None
) -> list[Any]:
    """`jax.tree.map` of a function that returns several leaves: a tree for each.

    For a tree without leaves there are `num_results` of them, by default as many as arguments.
    """
    leaves, treedef = jax.tree.flatten(tree)
    columns = [treedef.flatten_up_to(r) for r in rest]
    rows = [function(*args) for args in zip(leaves, *columns, strict=True)]
    num_results = len(rows[0]) if rows else num_results or 1 + len(rest)
    return [treedef.unflatten([row[i] for row in rows]) for i in range(num_results)]


def split(values: Sequence[Any], sizes: Sequence[int]) -> list[tuple[Any, ...]]:
    """Cuts a sequence into tuples of the given sizes."""
    ends = itertools.accumulate(sizes, initial=0)
    return [tuple(values[start:end]) for start, end in itertools.pairwise(ends)]


def unit(v: Array) -> Array:
    """A power of two about as large as a tensor's largest entry, within 2^-100 and 2^100; 1 if all are 0.

    In this unit squares and products of entries neither overflow nor vanish, and since dividing by a power
    of two is exact, nothing else changes. It is a constant of differentiation.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(v), initial=0))
    bits = jax.lax.bitcast_convert_type(largest, jnp.int32) & 0x7F800000  # the exponent alone
    power = jnp.clip(jax.lax.bitcast_convert_type(bits, jnp.float32), 2.0**-100, 2.0**100)
    return jnp.where(largest > 0, power, 1)


def root_mean_square(v: Array) -> Array:
    """The root mean square of a tensor of any scale: at least 1e-37, and 1e-15 where all entries are 0."""
    scale = unit(v)
    v = v / scale
    return jnp.maximum(scale * jnp.sqrt(positive(jnp.sum(v * v) / max(v.size, 1))), 1e-37)


def cosine(u: Array, v: Array) -> Array:
    """The cosine of the angle between two tensors of any scales; 0, with derivative 0, where one is 0."""
    u, v = u / unit(u), v / unit(v)
    size = root_mean_square(u) * root_mean_square(v) * max(u.size, 1)
    # The square of the size of tensors that are 0, which the derivative divides by, is no longer above 0.
    return jnp.sum(u * v) / jnp.where(jnp.any(u != 0) & jnp.any(v != 0), size, 1)


def positive(value: Array) -> Array:
    """The value, at least 1e-30, the smallest with which dividing and taking roots is safe."""
    return jnp.maximum(value, 1e-30)
