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

    Args:
        params: a tree of arrays.
        extra_shape: trailing axes.
        dtype: of the zeros.

    Returns:
        The tree; every leaf is an array of its own, since a buffer cannot be donated twice.

    Example:
        >>> zeros_like({"w": jnp.ones((3, 2))}, (5,))["w"].shape
        (3, 2, 5)
    """

    def zeros(param: Any) -> Array:
        sharding = None if is_traced(param) else getattr(param, "sharding", None)
        # A NamedSharding says nothing of the trailing axis, which therefore stays whole on each device.
        device = sharding if isinstance(sharding, jax.sharding.NamedSharding) else None
        return jnp.zeros(jnp.shape(param) + extra_shape, dtype, device=device)

    return jax.tree.map(zeros, params)


def layers_like(params: Params, hidden_sizes: Sequence[int], dtype: Any = jnp.float32) -> tuple[Params, ...]:
    """Zeros for the state of a stack of layers.

    Args:
        params: a tree of arrays.
        hidden_sizes: units of each layer.
        dtype: of the zeros.

    Returns:
        For each layer a tree with leaves `param.shape + (hidden_size,)`.

    Example:
        >>> [layer["w"].shape for layer in layers_like({"w": jnp.ones((3, 2))}, (5, 4))]
        [(3, 2, 5), (3, 2, 4)]
    """
    return tuple(zeros_like(params, (size,), dtype) for size in hidden_sizes)


def copies_like(params: Params) -> Params:
    """The params in float32, each leaf an array of its own that is sharded as its param is.

    Args:
        params: a tree of arrays.

    Returns:
        The tree.

    Example:
        >>> copies_like({"w": jnp.ones(2, jnp.bfloat16)})
        {'w': Array([1., 1.], dtype=float32)}
    """
    return jax.tree.map(lambda zero, p: zero + p.astype(jnp.float32), zeros_like(params), params)


def coordinates(layer: Params) -> Params:
    """The params' shapes, read off one layer's state.

    Args:
        layer: a tree with leaves `param.shape + (hidden_size,)`.

    Returns:
        A tree of shapes.

    Example:
        >>> coordinates({"w": jnp.ones((3, 2, 5))})["w"].shape
        (3, 2)
    """
    return jax.tree.map(lambda h: jax.ShapeDtypeStruct(h.shape[:-1], h.dtype), layer)


def finite_gradient(g: Array, largest: float = MAX_GRADIENT) -> tuple[Array, Array]:
    """A gradient that is safe to compute with, and where it was finite.

    Args:
        g: a leaf of the gradients, of any real floating-point dtype.
        largest: what larger entries count as.

    Returns:
        The gradient in float32, 0 where it is NaN or infinite and at most `largest` elsewhere; bool,
        likewise.

    Example:
        >>> g, finite = finite_gradient(jnp.array([jnp.nan, 1e20, 2.0]))
        >>> g.tolist(), finite.tolist()
        ([0.0, 999999986991104.0, 2.0], [False, True, True])
    """
    g = g.astype(jnp.float32)
    finite = jnp.isfinite(g)
    return jnp.clip(jnp.where(finite, g, 0), -largest, largest), finite


def touched(g: Array, *memory: Array) -> Array:
    """Where there is a gradient, or was one that the state still knows of.

    Coordinates without one, such as the rows of an embedding that no batch has used, should rest where they
    are: whatever a rule says of a gradient of zero would add up.

    Args:
        g: a leaf of the gradients.
        *memory: leaves of its state, of g's shape or with trailing axes, that are 0 until the first gradient.

    Returns:
        bool, of g's shape.

    Example:
        >>> touched(jnp.array([0.0, 0.0, 1.0]), jnp.array([0.0, 0.5, 0.0])).tolist()
        [False, True, True]
    """
    known = [jnp.any((m != 0).reshape(*g.shape, -1), axis=-1) for m in memory]
    return functools.reduce(jnp.logical_or, known, g != 0)


def keep_unless(finite: Array, new: Array, old: Array) -> Array:
    """The new state where the gradient was finite, the old one elsewhere, in the old one's dtype.

    Args:
        finite: bool, of a param's shape.
        new: the new state, with trailing axes or without.
        old: the old state.

    Returns:
        The state.

    Example:
        >>> keep_unless(jnp.array([True, False]), jnp.ones(2), jnp.zeros(2)).tolist()
        [1.0, 0.0]
    """
    finite = finite.reshape(finite.shape + (1,) * (new.ndim - finite.ndim))
    return jnp.where(finite, new.astype(old.dtype), old)


def keep_all_unless(finite: Array, new: Iterable[Array], old: Iterable[Array]) -> list[Array]:
    """`keep_unless` for every part of a leaf's state.

    Args:
        finite: bool, of a param's shape.
        new: the new state.
        old: the old state, as many arrays.

    Returns:
        The state.

    Example:
        >>> keep_all_unless(jnp.array(True), [jnp.float32(1)], [jnp.float32(0)])
        [Array(1., dtype=float32)]
    """
    return [keep_unless(finite, n, o) for n, o in zip(new, old, strict=True)]


def map_unzipped(function: Callable[..., Sequence[Any]], tree: Any, *rest: Any) -> list[Any]:
    """`jax.tree.map` of a function that returns several leaves: a tree for each.

    Args:
        function: of one leaf of each tree.
        tree: a tree.
        *rest: trees of the same structure, down to the first tree's leaves.

    Returns:
        As many trees as the function returns leaves, `1 + len(rest)` for a tree without leaves.

    Example:
        >>> map_unzipped(lambda a, b: (a + b, a * b), {"w": 2}, {"w": 3})
        [{'w': 5}, {'w': 6}]
    """
    leaves, treedef = jax.tree.flatten(tree)
    columns = [treedef.flatten_up_to(r) for r in rest]
    rows = [function(*args) for args in zip(leaves, *columns, strict=True)]
    num_results = len(rows[0]) if rows else 1 + len(rest)
    return [treedef.unflatten([row[i] for row in rows]) for i in range(num_results)]


def split(values: Sequence[Any], sizes: Sequence[int]) -> list[tuple[Any, ...]]:
    """Cuts a sequence into tuples.

    Args:
        values: as many as the sizes add up to.
        sizes: of the tuples.

    Returns:
        The tuples.

    Example:
        >>> split("abcd", (2, 0, 1, 1))
        [('a', 'b'), (), ('c',), ('d',)]
    """
    ends = itertools.accumulate(sizes, initial=0)
    return [tuple(values[start:end]) for start, end in itertools.pairwise(ends)]


def unit(v: Array) -> Array:
    """A power of two about as large as a tensor's largest entry.

    In this unit squares and products of entries neither overflow nor vanish, and since dividing by a power
    of two is exact, nothing else changes. It is a constant of differentiation.

    Args:
        v: f32[...].

    Returns:
        f32[], between 2^-100 and 2^100; 1 where all entries are 0.

    Example:
        >>> [float(unit(jnp.array([0.0, x]))) for x in (5.0, -0.3, 0.0)]
        [4.0, 0.25, 1.0]
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(v), initial=0))
    bits = jax.lax.bitcast_convert_type(largest, jnp.int32) & 0x7F800000  # the exponent alone
    power = jnp.clip(jax.lax.bitcast_convert_type(bits, jnp.float32), 2.0**-100, 2.0**100)
    return jnp.where(largest > 0, power, 1)


def root_mean_square(v: Array) -> Array:
    """The root mean square of a tensor of any scale, never 0.

    Args:
        v: f32[...].

    Returns:
        f32[], at least 1e-37; 1e-15 where all entries are 0.

    Example:
        >>> [float(root_mean_square(size * jnp.array([3.0, -3.0]))) for size in (1.0, 1e-30, 1e30)]
        [3.0, 3.000000106112566e-30, 3.000000006944251e+30]
    """
    scale = unit(v)
    v = v / scale
    return jnp.maximum(scale * jnp.sqrt(positive(jnp.sum(v * v) / max(v.size, 1))), 1e-37)


def cosine(u: Array, v: Array) -> Array:
    """The cosine of the angle between two tensors of any scales.

    Args:
        u: f32[...].
        v: f32[...].

    Returns:
        f32[], 0 where one of them is 0.

    Example:
        >>> float(cosine(1e-30 * jnp.ones(2), 1e30 * jnp.array([1.0, 0.0])))
        0.7071067690849304
    """
    u, v = u / unit(u), v / unit(v)
    return jnp.sum(u * v) / (root_mean_square(u) * root_mean_square(v) * max(u.size, 1))


def positive(value: Array) -> Array:
    """The value, or the smallest number with which dividing and taking roots is safe.

    Args:
        value: f32[...], at least 0.

    Returns:
        f32[...], at least 1e-30.

    Example:
        >>> positive(jnp.array([0.0, 2.0])).tolist()
        [1.0000000031710769e-30, 2.0]
    """
    return jnp.maximum(value, 1e-30)
