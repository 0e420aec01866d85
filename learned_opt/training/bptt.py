"""Backpropagation through time, truncated or over the whole trajectory.

Reference:
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016,
    sections 2.1 and 3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.types import (
    Array,
    Data,
    Estimator,
    Key,
    LearnedOptimizer,
    MetaGradient,
    Problem,
    Task,
    Theta,
)
from learned_opt.training.objectives import HISTORY, Objective, initial_history
from learned_opt.training.unroll import InnerState, start, unroll


class BPTTState(NamedTuple):
    """Where the inner problems stand; a leading axis of `num_problems` on all but the step.

    Attributes:
        problems: the draws from the task.
        keys: what makes each problem's batches.
        inner: the trajectories' states.
        history: f32[num_problems, 3], the last losses, for objectives that look back.
        step: i32[], inner steps made; all trajectories walk together.
    """

    problems: Problem
    keys: Array
    inner: InnerState
    history: Array
    step: Array


def truncated_bptt(
    lopt: LearnedOptimizer,
    task: Task,
    objective: Objective,
    *,
    horizon: int,
    truncation: int,
    num_problems: int,
    second_order: bool = False,
    problem_clip_norm: float | None = None,
) -> Estimator:
    r"""The gradient of the objective's share of one truncation, averaged over problems.

    .. math::

        \hat\nabla = \frac{1}{P} \sum_{i=1}^{P} \min\left(1, \frac{c}{\|\nabla_i\|}\right) \nabla_i, \qquad
        \nabla_i = \frac{\partial}{\partial \theta}
            \sum_{t=s+1}^{s+K} \mathrm{contribution}_t(f^i_{t-3}, \dots, f^i_t)

    where the state at step s is a constant, and nothing is clipped unless c is given. After `horizon` steps
    new problems are drawn. With `truncation == horizon` it is backpropagation through the whole trajectory.

    Args:
        lopt: the learned optimizer.
        task: what its problems are drawn from.
        objective: the meta-objective of one trajectory.
        horizon: T, inner steps of a trajectory.
        truncation: K, inner steps differentiated at once; it divides the horizon.
        num_problems: P, problems unrolled side by side.
        second_order: whether to differentiate through the optimizee's gradients.
        problem_clip_norm: c, the norm that each problem's gradient is clipped to before the mean is taken;
            `None` for no clipping. Without it a few problems whose trajectories are chaotic can outweigh all
            others, the more so the longer the truncation. It biases the mean, and keeps `num_problems`
            gradients in memory.

    Returns:
        The estimator.

    Raises:
        ValueError: if a number is out of its range or the truncation does not divide the horizon.

    Example:
        >>> from learned_opt.optimizers import lstm
        >>> from learned_opt.tasks import quadratic
        >>> from learned_opt.training.objectives import weighted_sum
        >>> lopt, key = lstm(hidden_sizes=(4,)), jax.random.key(0)
        >>> estimator = truncated_bptt(
        ...     lopt, quadratic(dim=2), weighted_sum(), horizon=4, truncation=2, num_problems=3
        ... )
        >>> theta = lopt.init(key)
        >>> state = estimator.init(key, theta, ())
        >>> meta_gradient, state = estimator.estimate(key, theta, state, ())
        >>> int(state.step), bool(meta_gradient.ends_trajectory)
        (2, False)

    Reference:
        Andrychowicz et al. 2016, sections 2.1 and 3: 100 steps in truncations of 20, first order. Clipping
        each problem's gradient is an addition.
    """
    check_truncation(horizon, truncation)
    if num_problems < 1:
        raise ValueError(f"num_problems={num_problems!r}: it must be at least 1")
    if problem_clip_norm is not None and not problem_clip_norm > 0:
        raise ValueError(f"problem_clip_norm={problem_clip_norm!r}: it must be positive, or None")

    def init(key: Key, theta: Theta, data: Data) -> BPTTState:
        sample_keys, start_keys, batch_keys = jax.random.split(key, (3, num_problems))
        tx = lopt.build(theta)
        problems = jax.vmap(task.sample)(sample_keys)
        inner = jax.vmap(lambda k, p: start(tx, task, k, p))(start_keys, problems)

        # Only its last entry counts: the first loss of a truncation is computed again by the unroll.
        # Its dtype is named, since a weak one would have the second meta-step compiled anew.
        history = jnp.full((num_problems, HISTORY), jnp.nan, jnp.float32)
        return BPTTState(problems, batch_keys, inner, history, jnp.zeros([], jnp.int32))

    def estimate(key: Key, theta: Theta, state: BPTTState, data: Data):
        state = jax.lax.cond(state.step >= horizon, lambda: init(key, theta, data), lambda: state)

        def meta_loss(theta: Theta, problem, key, inner, history):
            inner, losses = unroll(
                lopt.build(theta), task, key, problem, data, inner, truncation, second_order=second_order
            )
            history = jnp.where(state.step == 0, initial_history(losses[0]), history)
            loss = objective.truncation(history, losses[1:], state.step, horizon)
            return loss, (inner, jnp.concatenate([history, losses[1:]])[-HISTORY:])

        walkers = (state.problems, state.keys, state.inner, state.history)
        if problem_clip_norm is None:

            def mean_loss(theta: Theta):
                losses, walked = jax.vmap(meta_loss, (None, 0, 0, 0, 0))(theta, *walkers)
                return jnp.mean(losses), walked

            (loss, walked), grad = jax.value_and_grad(mean_loss, has_aux=True)(theta)
        else:
            each = jax.vmap(jax.value_and_grad(meta_loss, has_aux=True), (None, 0, 0, 0, 0))
            (losses, walked), grads = each(theta, *walkers)
            grad_sum, _ = optax.per_example_global_norm_clip(grads, problem_clip_norm)
            loss, grad = jnp.mean(losses), jax.tree.map(lambda g: g / num_problems, grad_sum)

        inner, history = walked
        step = state.step + jnp.int32(truncation)
        meta_gradient = MetaGradient(grad, loss, jnp.mean(history[:, -1]), step >= horizon)
        return meta_gradient, BPTTState(state.problems, state.keys, inner, history, step)

    return Estimator(init, estimate)


def check_truncation(horizon: int, truncation: int) -> None:
    """`ValueError` unless both are positive and the truncation divides the horizon.

    Args:
        horizon: inner steps of a trajectory.
        truncation: inner steps differentiated at once.

    Raises:
        ValueError: naming the divisor of the horizon that is nearest to the truncation.

    Example:
        >>> check_truncation(horizon=100, truncation=20)
    """
    for name, value in (("horizon", horizon), ("truncation", truncation)):
        if value < 1:
            raise ValueError(f"{name}={value!r}: it must be at least 1")
    if horizon % truncation:
        divisors = [d for d in range(1, horizon + 1) if horizon % d == 0]
        raise ValueError(
            f"truncation={truncation} does not divide horizon={horizon}; "
            f"choose one that does, such as {min(divisors, key=lambda d: abs(d - truncation))}"
        )
