r"""Any learned rule on objectives with a proximal operator: it corrects proximal gradient steps.

References:
    Parikh, Boyd, Proximal algorithms, Foundations and Trends in Optimization 1(3), 2014, section 4.2.
    Nesterov, Gradient methods for minimizing composite functions, Mathematical Programming 140, 2013,
    section 2: the gradient mapping.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.errors import check_above_zero
from learned_opt.core.trees import check_floating
from learned_opt.core.types import Array, LearnedOptimizer, Params, Theta
from learned_opt.optimizers.leaves import finite_gradient, map_unzipped
from learned_opt.optimizers.registry import registry
from learned_opt.optimizers.schedules import cosine_factor


class ProximalRuleState(NamedTuple):
    """State of a rule that corrects proximal gradient steps.

    Attributes:
        step: i32[], updates made so far.
        rule: the rule's state.
    """

    step: Array
    rule: Any


@registry.register
def proximal_rule(rule: LearnedOptimizer, step_size: float = 0.2) -> LearnedOptimizer:
    r"""Proximal gradient steps that a learned rule corrects, for objectives `smooth + nonsmooth`.

    With g the gradient of the smooth part:

    .. math::

        x_{t+1} = \operatorname{prox}_\eta(x_t - \eta\, g_t + u_t), \qquad
        G_t = \frac{x_t - \operatorname{prox}_\eta(x_t - \eta\, g_t)}{\eta}

    where u is the rule's update from the gradient mapping G in place of a gradient. G is zero at the
    stationary points of the objective and nowhere else. Where it has always been zero for a coordinate, most
    rules rest, so that the zeros of a sparse code stay zeros. While u is zero, as it nearly is of fresh
    meta-parameters, this is the proximal gradient method, ISTA where the nonsmooth part is the l1 norm.

    The operator is the extra argument `prox(params, step_size)` of `update`, which `learned_opt.unroll`
    passes for tasks that have one. Without it there is none, and G is g. A coordinate whose gradient is NaN
    or infinite gets a zero update. Given `num_steps`, `build` multiplies the t-th step size by
    `(1 + cos(pi t / num_steps)) / 2`, as the rule does its updates.

    Args:
        rule: what corrects the steps, such as `dnc()` or `lstm()`.
        step_size: eta, above 0; below 2 over the curvature the steps converge by themselves.

    Returns:
        A learned optimizer; theta is the rule's.

    Raises:
        ValueError: if the step size is not above 0; in `update`, if there is a proximal operator and no
            `params`.
        TypeError: in `update`, if gradients are not of a real floating-point dtype.

    Example:
        >>> from learned_opt.core import soft_threshold
        >>> from learned_opt.optimizers import lstm
        >>> lopt = proximal_rule(lstm((8,)), step_size=0.5)
        >>> tx = lopt.build(jax.tree.map(jnp.zeros_like, lopt.init(jax.random.key(0))))
        >>> x = jnp.float32([2.0, 0.1])  # of |x - (3, 0)|^2 / 2 + |x|_1
        >>> updates, _ = tx.update(x - jnp.float32([3.0, 0.0]), tx.init(x), x, prox=soft_threshold)
        >>> optax.apply_updates(x, updates)
        Array([2., 0.], dtype=float32)

    Reference:
        Parikh and Boyd 2014, section 4.2, the proximal gradient method; Nesterov 2013, equation 2.13. That a
        rule corrects it is not from a paper.
    """
    check_above_zero(step_size=step_size)

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        tx, factor = rule.build(theta, num_steps=num_steps), cosine_factor(num_steps)

        def init_fn(params: Params) -> ProximalRuleState:
            return ProximalRuleState(jnp.zeros([], jnp.int32), tx.init(params))

        def update_fn(updates, state, params=None, *, prox=None, **extra_args):
            check_floating(updates, "gradients")
            if prox is not None and params is None:
                raise ValueError("a proximal step needs the params: call update(updates, state, params)")
            g, finite = map_unzipped(finite_gradient, updates, num_results=2)
            seen = g if prox is None else _mapping(g, params, prox, step_size)
            seen = jax.tree.map(lambda m, ok: jnp.where(ok, m, jnp.nan), seen, finite)
            corrections, inner = tx.update(seen, state.rule, params, **extra_args)
            eta = step_size * factor(state.step)
            steps = jax.tree.map(lambda u, g: u - eta * g, corrections, g)
            if prox is not None:
                steps = _followed(steps, params, prox, eta)
            steps = jax.tree.map(lambda u, ok: jnp.where(ok, u, 0), steps, finite)
            updates = jax.tree.map(lambda u, g: u.astype(g.dtype), steps, updates)
            step = jnp.asarray(optax.safe_increment(state.step))
            return updates, ProximalRuleState(step, inner)

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    return LearnedOptimizer(rule.init, build)


def _mapping(g: Params, params: Params, prox: Any, eta: float) -> Params:
    """The gradient mapping, in float32."""
    steps = _followed(jax.tree.map(lambda g: -eta * g, g), params, prox, eta)
    return jax.tree.map(lambda step: -step / eta, steps)


def _followed(steps: Params, params: Params, prox: Any, eta: float | Array) -> Params:
    """Steps in float32 that the operator follows, with a step size for each tensor."""
    x = jax.tree.map(lambda p: p.astype(jnp.float32), params)
    moved = prox(jax.tree.map(jnp.add, x, steps), jax.tree.map(lambda _: eta, x))
    # x + (0 - x) is 0 to the bit, so that what the operator sets to zero is zero.
    return jax.tree.map(jnp.subtract, moved, x)
