"""SMORMS3: RMSprop whose memory and step size follow the agreement of recent gradients.

Funk, RMSprop loses to SMORMS3: beware the epsilon!, 2015.

Deviations: the published rule is one of numpy arrays in float64; this one is written so that squares that
underflow in float32 give a ratio of 0 and no division by zero.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.errors import check_above_zero
from learned_opt.core.trees import check_floating, check_same_structure
from learned_opt.core.types import Array, Params


class SMORMS3State(NamedTuple):
    """What SMORMS3 remembers; each a tree like the params, in float32 at least.

    Attributes:
        memory: about how many gradients the means are taken over.
        mean: of the gradients.
        mean_square: of their squares.
    """

    memory: Params
    mean: Params
    mean_square: Params


def smorms3(learning_rate: float = 1e-3, *, eps: float = 1e-16) -> optax.GradientTransformation:
    r"""SMORMS3, which shortens its memory where gradients agree and steps no further than they allow.

    .. math::

        r = \frac{1}{m + 1}, \quad
        g \leftarrow (1 - r)\, g + r\, \nabla, \quad
        s \leftarrow (1 - r)\, s + r\, \nabla^2, \quad
        \rho = \frac{g^2}{s + \epsilon}

        \theta \leftarrow \theta - \nabla\, \frac{\min(\eta, \rho)}{\sqrt{s} + \epsilon}, \quad
        m \leftarrow 1 + m (1 - \rho)

    with m = 1 and g = s = 0 at first, all of it elementwise.

    Args:
        learning_rate: eta, the largest step in units of the gradients' root mean square; positive.
        eps: against division by zero; positive. Where it is below what float32 adds to s, it still keeps
            the quotients finite.

    Returns:
        An optax transformation.

    Raises:
        ValueError: if a number is not positive.

    Example:
        >>> tx = smorms3(0.1)
        >>> params = {"w": jnp.ones(2)}
        >>> updates, state = tx.update({"w": jnp.array([3.0, -4.0])}, tx.init(params))
        >>> [round(float(u), 4) for u in updates["w"]]
        [-0.1414, 0.1414]

    Reference:
        Funk, RMSprop loses to SMORMS3: beware the epsilon!, 2015.
    """
    check_above_zero(learning_rate=learning_rate, eps=eps)

    def init(params: Params) -> SMORMS3State:
        check_floating(params, "params")
        mean, mean_square = (jax.tree.map(_zeros_like, params) for _ in range(2))
        return SMORMS3State(jax.tree.map(lambda zero: zero + 1, mean), mean, mean_square)

    def update(updates: Params, state: Any, params: Params | None = None) -> tuple[Params, SMORMS3State]:
        del params
        check_same_structure(updates, state.mean, "gradients", "params")

        def mix(old: Array, new: Array, memory: Array) -> Array:
            rate = 1 / (memory + 1)
            return (1 - rate) * old + rate * new.astype(old.dtype)

        mean = jax.tree.map(mix, state.mean, updates, state.memory)
        mean_square = jax.tree.map(
            lambda old, new, memory: mix(old, jnp.square(new.astype(old.dtype)), memory),
            state.mean_square,
            updates,
            state.memory,
        )
        # By Jensen's inequality at most 1, up to rounding, which must not make a memory negative.
        ratio = jax.tree.map(lambda g, s: jnp.minimum(jnp.square(g) / (s + eps), 1), mean, mean_square)

        def step(u: Array, s: Array, r: Array) -> Array:
            return (-u.astype(s.dtype) * jnp.minimum(learning_rate, r) / (jnp.sqrt(s) + eps)).astype(u.dtype)

        steps = jax.tree.map(step, updates, mean_square, ratio)
        memory = jax.tree.map(lambda m, r: 1 + m * (1 - r), state.memory, ratio)
        return steps, SMORMS3State(memory, mean, mean_square)

    return optax.GradientTransformation(init, update)


def _zeros_like(param: Array) -> Array:
    # In half precision squares of ordinary gradients, and eps, would be 0.
    return jnp.zeros_like(param, jnp.float64 if param.dtype == jnp.float64 else jnp.float32)
