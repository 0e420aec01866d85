"""The network that all coordinates share."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from learned_opt.core.types import Array, Key, Theta


class LSTMStack(NamedTuple):
    """A stack of LSTMs with a linear layer on top, the same for all coordinates.

    Attributes:
        init: `init(key) -> theta`, float32 arrays as haiku makes them.
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
