"""The network that all coordinates share.

It has haiku's numbers and names of parameters, but is made of functions: a policy of mixed precision, an
interceptor or a getter that a user sets for modules of haiku would otherwise change a rule's arithmetic.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array, Key, Theta


class LSTMStack(NamedTuple):
    """A stack of LSTMs with a linear layer on top, the same for all coordinates.

    Attributes:
        init: `init(key) -> theta`, float32 arrays by layer, with haiku's names.
        apply: `apply(theta, z, hidden, cell) -> (out, hidden, cell)`: inputs f32[..., num_inputs], for each
            layer a state [..., hidden_size], outputs f32[..., num_outputs].
    """

    init: Callable[[Key], Theta]
    apply: Callable[..., tuple[Array, tuple[Array, ...], tuple[Array, ...]]]

    def shapes(self) -> Theta:
        """Theta's structure and shapes."""
        return jax.eval_shape(self.init, jax.random.key(0))


def lstm_stack(hidden_sizes: Sequence[int], num_inputs: int, num_outputs: int = 1) -> LSTMStack:
    """The network of a coordinatewise LSTM rule.

    The layers have a forget bias of 1, as haiku's have; the output layer starts at a hundredth of its
    default, so that an untrained rule hardly says anything.
    """
    if not hidden_sizes or any(not isinstance(n, int) or n < 1 for n in hidden_sizes):
        raise ValueError(
            f"hidden_sizes={tuple(hidden_sizes)!r}: give at least one layer of at least one unit"
        )

    names = ["lstm/linear"] + [f"lstm_{i}/linear" for i in range(1, len(hidden_sizes))]

    def init(key: Key) -> Theta:
        theta, num_seen = {}, num_inputs
        for name, size in zip(names, hidden_sizes, strict=True):
            key, layer_key = jax.random.split(key)
            theta[name] = init_linear(layer_key, num_seen + size, 4 * size)
            num_seen = size
        _, layer_key = jax.random.split(key)
        theta["linear"] = init_linear(layer_key, num_seen, num_outputs, deviation=0.01 / num_seen**0.5)
        return theta

    def step(theta: Theta, z: Array, hidden: Sequence[Array], cell: Sequence[Array]):
        new_hidden, new_cell = [], []
        for name, h, c in zip(names, hidden, cell, strict=True):
            with jax.named_scope(name.removesuffix("/linear")):  # what the doctor and profiles call it
                z, c = lstm_cell(theta[name], z, h, c)
            new_hidden.append(z)
            new_cell.append(c)
        return linear(theta["linear"], z), tuple(new_hidden), tuple(new_cell)

    def apply(theta: Theta, z: Array, hidden: Sequence[Array], cell: Sequence[Array]):
        hidden, cell = ([layer.astype(jnp.float32) for layer in layers] for layers in (hidden, cell))
        return over_coordinates(functools.partial(step, theta), z.ndim - 1)(z, hidden, cell)

    return LSTMStack(init, apply)


def over_coordinates(function: Callable[..., Any], num_axes: int) -> Callable[..., Any]:
    """A function of one coordinate's numbers, of all of a tensor's.

    A vmap an axis, not a reshape, which would gather a leaf that is sharded.
    """
    for _ in range(num_axes):
        function = jax.vmap(function)
    return function


def lstm_cell(layer: dict[str, Array], z: Array, hidden: Array, cell: Array) -> tuple[Array, Array]:
    """One step of one layer for one coordinate: the new hidden and cell states, f32[hidden_size]."""
    i, g, f, o = jnp.split(linear(layer, jnp.concatenate([z, hidden])), 4)
    cell = jax.nn.sigmoid(f + 1) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(cell), cell


def init_linear(
    key: Key, num_inputs: int, num_outputs: int, *, with_bias: bool = True, deviation: float | None = None
) -> dict[str, Array]:
    """A linear layer as haiku starts it: biases of 0, weights `{"w": f32[num_inputs, num_outputs]}`.

    The weights are truncated at two deviations, `1 / sqrt(num_inputs)` by default.
    """
    # float32 by name: with x64 enabled the default is another.
    weights = jax.random.truncated_normal(key, -2.0, 2.0, (num_inputs, num_outputs), jnp.float32)
    layer = {"w": jnp.float32(num_inputs**-0.5 if deviation is None else deviation) * weights}
    return layer | {"b": jnp.zeros(num_outputs, jnp.float32)} if with_bias else layer


def linear(layer: dict[str, Array], x: Array) -> Array:
    """A linear layer, as `init_linear` makes it, of one coordinate's numbers f32[num_inputs]."""
    return jnp.dot(x, layer["w"]) + layer["b"]
