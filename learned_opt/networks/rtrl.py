r"""Real-time recurrent learning: the gradient of a fully recurrent network, computed forward in time.

Reference:
    Williams and Zipser, A learning algorithm for continually running fully recurrent neural networks,
    Neural Computation 1(2), 1989. The gradient is the exact one of the whole sequence: the weights do not
    change on the way, as they do in the paper's online form.
"""

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array
from learned_opt.networks.simple import _presynaptic, fully_recurrent, fully_recurrent_step


@jax.custom_vjp
def rtrl_output(w: Array, xs: Array) -> Array:
    r"""The output unit of a fully recurrent network, unit 0, its gradient by real-time recurrent learning.

    The sensitivities of all units to all weights are carried along the sequence,

    .. math::

        p^k_{ij}(t) = f'(s_k(t)) \Big[\sum_l w_{kl}\, p^l_{ij}(t-1) + \delta_{ik} z_j(t)\Big],
        \qquad z(t) = (x_t, y_{t-1}, 1),

    and those of the output unit make the gradient. They cost O(units^4) a step, and nothing of the states
    is stored to go back through; what is stored are the output unit's sensitivities, since `jax.grad` says
    only afterwards what each output's error was. The inputs have no gradient.

    Args:
        w: f32[num_units, num_inputs + num_units + 1].
        xs: f32[T, num_inputs].

    Returns:
        f32[T], the same as `fully_recurrent(w, xs)[:, 0]`, whose gradient goes back through time.

    Example:
        >>> w, xs = 0.1 * jnp.ones((2, 6)), jnp.ones((4, 3))
        >>> forward = jax.grad(lambda w: rtrl_output(w, xs).sum())(w)
        >>> backward = jax.grad(lambda w: fully_recurrent(w, xs)[:, 0].sum())(w)
        >>> bool(jnp.allclose(forward, backward, rtol=1e-6))
        True
    """
    return fully_recurrent(w, xs)[:, 0]


def sensitivities(w: Array, xs: Array) -> tuple[Array, Array]:
    """The output unit along a sequence, f32[T], and its derivatives by all weights, f32[T, *w.shape]."""
    num_units, num_inputs = w.shape[0], xs.shape[1]
    recurrent = w[:, num_inputs : num_inputs + num_units]

    def step(carry: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        y, p = carry
        own = jnp.eye(num_units, dtype=w.dtype)[:, :, None] * _presynaptic(x, y)[None, None, :]
        y = fully_recurrent_step(w, x, y)
        slope = y * (1 - y)
        p = slope[:, None, None] * (jnp.tensordot(recurrent, p, axes=1) + own)
        return (y, p), (y[0], p[0])

    start = (jnp.zeros(num_units, w.dtype), jnp.zeros((num_units, *w.shape), w.dtype))
    return jax.lax.scan(step, start, xs)[1]


def _forward(w: Array, xs: Array) -> tuple[Array, tuple[Array, Array]]:
    outputs, derivatives = sensitivities(w, xs)
    return outputs, (derivatives, xs)


def _backward(residuals: tuple[Array, Array], errors: Array) -> tuple[Array, Array]:
    derivatives, xs = residuals
    return jnp.tensordot(errors, derivatives, axes=1), jnp.zeros_like(xs)


rtrl_output.defvjp(_forward, _backward)
