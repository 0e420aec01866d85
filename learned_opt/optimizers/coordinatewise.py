"""The network that all coordinates share, and the state that each of them has of its own."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from learned_opt.core.trees import is_traced
from learned_opt.core.types import Array, Key, Params, Theta

MAX_GRADIENT = 1e15  # squares of a hundred times as much are still float32 numbers


class LSTMStack(NamedTuple):
    """A stack of LSTMs with a linear layer on top, the same for all coordinates.

    Attributes:
        init: `init(key) -> theta`, float32 arrays as haiku makes them.
        apply: `apply(theta, z, hidden, cell) -> (out, hidden, cell)`: inputs f32[..., num_inputs], for each
            layer a state [..., hidden_size], outputs f32[..., num_outputs].
    """

    init: Callable[[Key], Theta]
    apply: Callable[..., tuple[Array, tuple[Array, ...], tuple[Array, ...]]]


def lstm_stack(hidden_sizes: Sequence[int], num_inputs: int, num_outputs: int = 1) -> LSTMStack:
    """The network of a coordinatewise LSTM rule.

    The layers have haiku's forget bias of 1; the output layer starts at a hundredth of haiku's default, so
    that an untrained rule hardly says anything.

    Args:
        hidden_sizes: units of each LSTM layer.
        num_inputs: what the network sees of a coordinate.
        num_outputs: what it says of it.

    Returns:
        The network.

    Raises:
        ValueError: if there is no layer, or one without units.

    Example:
        >>> stack = lstm_stack((4,), num_inputs=2)
        >>> theta = stack.init(jax.random.key(0))
        >>> state = (jnp.zeros((3, 4)),)
        >>> out, hidden, cell = stack.apply(theta, jnp.ones((3, 2)), state, state)
        >>> out.shape, hidden[0].shape
        ((3, 1), (3, 4))
    """
    if not hidden_sizes or any(not isinstance(n, int) or n < 1 for n in hidden_sizes):
        raise ValueError(
            f"hidden_sizes={tuple(hidden_sizes)!r}: give at least one layer of at least one unit"
        )

    def network(z: Array, states: list[hk.LSTMState]):
        new_states = []
        for size, state in zip(hidden_sizes, states, strict=True):
            z, state = hk.LSTM(size)(z, state)
            new_states.append(state)
        w_init = hk.initializers.TruncatedNormal(0.01 / hidden_sizes[-1] ** 0.5)
        return hk.Linear(num_outputs, w_init=w_init)(z), new_states

    transformed = hk.without_apply_rng(hk.transform(network))

    def init(key: Key) -> Theta:
        # float32 by name: with x64 enabled the default is another.
        zeros = [jnp.zeros(n, jnp.float32) for n in hidden_sizes]
        return transformed.init(key, jnp.zeros(num_inputs, jnp.float32), [hk.LSTMState(z, z) for z in zeros])

    def apply(theta: Theta, z: Array, hidden: Sequence[Array], cell: Sequence[Array]):
        states = [
            hk.LSTMState(h.astype(jnp.float32), c.astype(jnp.float32))
            for h, c in zip(hidden, cell, strict=True)
        ]
        one = functools.partial(transformed.apply, theta)
        # A vmap an axis, not a reshape, which would gather a leaf that is sharded.
        for _ in range(z.ndim - 1):
            one = jax.vmap(one)
        out, states = one(z, states)
        return out, tuple(s.hidden for s in states), tuple(s.cell for s in states)

    return LSTMStack(init, apply)


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
    """A gradient that can be computed with, and where it was finite.

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
