"""Proximal steps for any optax optimizer.

Reference:
    Parikh, Boyd, Proximal algorithms, Foundations and Trends in Optimization 1(3), 2014, section 4.2.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.trees import is_traced
from learned_opt.core.types import Array, Params


class ProximalState(NamedTuple):
    """State of `proximal`.

    Attributes:
        count: i32[], updates made so far.
        inner: the wrapped optimizer's state.
    """

    count: Array
    inner: Any


def proximal(
    tx: optax.GradientTransformation,
    prox: Callable[[Params, Any], Params] | None = None,
    *,
    step_size: float | Array | Params | Callable[[Array], Any],
) -> optax.GradientTransformationExtraArgs:
    r"""Follows each step of an optimizer by a proximal operator, for objectives `smooth + nonsmooth`.

    .. math::

        x_{t+1} = \operatorname{prox}_{\eta_t}(x_t + u_t), \qquad
        \operatorname{prox}_\eta(v) = \operatorname*{argmin}_z \tfrac{1}{2\eta} \|z - v\|^2 + r(z)

    where u is the wrapped optimizer's update from the gradient of the smooth part and r the nonsmooth part.
    Around `optax.sgd(eta)` with the same step size it is the proximal gradient method, and ISTA where r is
    the l1 norm.

    Args:
        tx: the optimizer of the smooth part.
        prox: `prox(params, step_size) -> params`; `None` for the one that `update` is given as the extra
            argument `prox`, as `learned_opt.training.unroll` does for tasks that have one.
        step_size: eta, above 0: a number, a schedule (a function of the updates made so far), or what else
            the operator takes, such as one number for each coordinate. It should be what the optimizer
            moves a coordinate by for a gradient of 1.

    Returns:
        A transformation that needs `params` in `update`; it hands all extra arguments on.

    Raises:
        ValueError: if the step size is a number that is not above 0; in `update`, if `params` is missing or
            no proximal operator is known.

    Example:
        >>> from learned_opt.core import soft_threshold
        >>> tx = proximal(optax.sgd(0.5), soft_threshold, step_size=0.5)
        >>> params = jnp.float32([2.0, 0.1])  # of |x - (3, 0)|^2 / 2 + |x|_1
        >>> gradient = params - jnp.float32([3.0, 0.0])
        >>> updates, _ = tx.update(gradient, tx.init(params), params)
        >>> optax.apply_updates(params, updates)
        Array([2., 0.], dtype=float32)
    """
    if isinstance(step_size, int | float) and not is_traced(step_size) and not step_size > 0:
        raise ValueError(f"step_size={step_size!r}: it must be above 0")
    inner = optax.with_extra_args_support(tx)

    def init_fn(params: Params) -> ProximalState:
        return ProximalState(jnp.zeros([], jnp.int32), inner.init(params))

    def update_fn(updates, state, params=None, **extra_args):
        operator = prox if prox is not None else extra_args.get("prox")
        if params is None:
            raise ValueError("a proximal step needs the params: call update(updates, state, params)")
        if operator is None:
            raise ValueError(
                "no proximal operator: give one as proximal(tx, prox, ...) or as update(..., prox=prox)"
            )
        steps, inner_state = inner.update(updates, state.inner, params, **extra_args)
        eta = step_size(state.count) if callable(step_size) else step_size
        moved = operator(optax.apply_updates(params, steps), eta)
        # x + (0 - x) is 0 to the bit, so that what the operator sets to zero is zero.
        updates = jax.tree.map(lambda z, p, u: (z - p).astype(u.dtype), moved, params, steps)
        return updates, ProximalState(state.count + 1, inner_state)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)
