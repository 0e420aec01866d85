"""The recurrent networks from before LSTM: Elman's, and the fully recurrent one.

References:
    Elman, Finding structure in time, Cognitive Science 14, 1990.
    Williams and Zipser, A learning algorithm for continually running fully recurrent neural networks,
    Neural Computation 1(2), 1989.
"""

import haiku as hk
import jax
import jax.numpy as jnp

from learned_opt.core.types import Array


class Elman(hk.RNNCore):
    r"""One layer of units that sees its own last output.

    .. math::

        h_t = \tanh(W (x_t, h_{t-1}) + b)

    haiku's `VanillaRNN` has rectified units, which are not Elman's.

    Args:
        num_units: of the layer.
        truncated: whether the last output counts as a constant of the gradient, as in Elman's own training.
        name: of the module.

    Raises:
        ValueError: if there are no units.

    Example:
        >>> net = hk.without_apply_rng(hk.transform(lambda x: Elman(2)(x, jnp.zeros(2))))
        >>> output, state = net.apply(net.init(jax.random.key(0), jnp.ones(3)), jnp.ones(3))
        >>> output.shape
        (2,)
    """

    def __init__(self, num_units: int, *, truncated: bool = False, name: str | None = None):
        super().__init__(name=name)
        _check_units(num_units)
        self.num_units, self.truncated = num_units, truncated

    def __call__(self, inputs: Array, prev_state: Array) -> tuple[Array, Array]:
        """One step."""
        context = jax.lax.stop_gradient(prev_state) if self.truncated else prev_state
        hidden = jnp.tanh(hk.Linear(self.num_units)(jnp.concatenate([inputs, context], axis=-1)))
        return hidden, hidden

    def initial_state(self, batch_size: int | None) -> Array:
        """Zeros."""
        shape = () if batch_size is None else (batch_size,)
        return jnp.zeros((*shape, self.num_units), jnp.float32)


def fully_recurrent_step(w: Array, x: Array, y: Array) -> Array:
    """One step: the units' outputs f32[num_units], from inputs `x` and the units' last outputs `y`."""
    return jax.nn.sigmoid(w @ _presynaptic(x, y))


def fully_recurrent(w: Array, xs: Array, y: Array | None = None) -> Array:
    r"""A fully recurrent network along a sequence: every unit sees every input, every unit and a bias.

    .. math::

        y_{t} = \sigma(W (x_t, y_{t-1}, 1))

    Args:
        w: f32[num_units, num_inputs + num_units + 1].
        xs: f32[T, num_inputs].
        y: y_0, the units' outputs before; 0 by default.

    Returns:
        f32[T, num_units], the units' outputs.

    Example:
        >>> fully_recurrent(jnp.zeros((2, 6)), jnp.ones((4, 3))).shape
        (4, 2)
    """

    def step(y: Array, x: Array) -> tuple[Array, Array]:
        y = fully_recurrent_step(w, x, y)
        return y, y

    return jax.lax.scan(step, jnp.zeros(w.shape[0], jnp.float32) if y is None else y, xs)[1]


def init_fully_recurrent(key: Array, num_inputs: int, num_units: int) -> Array:
    """Fresh weights of a fully recurrent network.

    Args:
        key: for the weights.
        num_inputs: of the network.
        num_units: of the network.

    Returns:
        f32[num_units, num_inputs + num_units + 1], uniform, of the deviation of haiku's linear layers.

    Raises:
        ValueError: if there are no units.

    Example:
        >>> init_fully_recurrent(jax.random.key(0), 3, 2).shape
        (2, 6)
    """
    _check_units(num_units)
    fan_in = num_inputs + num_units + 1
    bound = (3 / fan_in) ** 0.5
    return jax.random.uniform(key, (num_units, fan_in), jnp.float32, -bound, bound)


def _presynaptic(x: Array, y: Array) -> Array:
    return jnp.concatenate([x, y, jnp.ones(1, jnp.float32)])


def _check_units(num_units: int) -> None:
    if num_units < 1:
        raise ValueError(f"num_units={num_units!r}: give at least one unit")
