"""What is done to each leaf of the params, its gradient and its state."""

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


def finite_gradient(g: Array) -> tuple[Array, Array]:
    """A gradient that is safe to compute with, and where it was finite.

    Args:
        g: a leaf of the gradients, of any real floating-point dtype.

    Returns:
        The gradient in float32, 0 where it is NaN or infinite and at most 1e15 elsewhere; bool, likewise.

    Example:
        >>> g, finite = finite_gradient(jnp.array([jnp.nan, 1e20, 2.0]))
        >>> g.tolist(), finite.tolist()
        ([0.0, 999999986991104.0, 2.0], [False, True, True])
    """
    g = g.astype(jnp.float32)
    finite = jnp.isfinite(g)
    return jnp.clip(jnp.where(finite, g, 0), -MAX_GRADIENT, MAX_GRADIENT), finite


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


def root_mean_square(v: Array) -> Array:
    """The root mean square of a tensor, never 0.

    Args:
        v: f32[...].

    Returns:
        f32[], at least 1e-15.

    Example:
        >>> float(root_mean_square(jnp.array([3.0, -3.0])))
        3.0
    """
    return jnp.sqrt(positive(jnp.sum(v * v) / max(v.size, 1)))


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
