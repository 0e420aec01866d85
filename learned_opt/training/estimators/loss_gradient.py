"""The exact gradient of a loss of theta: supervised meta-training, without an inner optimizer to unroll."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array, Data, Estimator, Key, MetaGradient, Theta

Loss = Callable[[Theta, Key], Array]


class LossState(NamedTuple):
    """What the next data is drawn from.

    Attributes:
        key: the same for the whole run.
        step: i32[], gradients taken.
    """

    key: Key
    step: Array


def loss_gradient(loss: Loss) -> Estimator:
    r"""The gradient of a loss on fresh data, by backpropagation.

    .. math::

        \hat\nabla_n = \frac{\partial}{\partial \theta}\, L(\theta; d_n), \qquad d_n \sim \mathrm{key}_n

    The data of step n comes from the key that the estimator was begun with and from n alone.

    Args:
        loss: `loss(theta, key) -> f32[]`, on data that it draws from the key.

    Returns:
        The estimator. It reports no last loss, since no trajectory ends.

    Example:
        >>> estimator, key = loss_gradient(lambda theta, key: theta**2), jax.random.key(0)
        >>> theta = jnp.float32(3)
        >>> meta_gradient, state = estimator.estimate(key, theta, estimator.init(key, theta, ()), ())
        >>> float(meta_gradient.grad), float(meta_gradient.loss), int(state.step)
        (6.0, 9.0, 1)
    """

    def init(key: Key, theta: Theta, data: Data) -> LossState:
        return LossState(key, jnp.zeros([], jnp.int32))

    def estimate(key: Key, theta: Theta, state: LossState, data: Data):
        value, grad = jax.value_and_grad(loss)(theta, jax.random.fold_in(state.key, state.step))
        no_trajectory = (jnp.zeros_like(value), jnp.array(False))
        return MetaGradient(grad, value, *no_trajectory), state._replace(step=state.step + 1)

    return Estimator(init, estimate)
