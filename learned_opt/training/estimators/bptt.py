"""Backpropagation through time, truncated or over the whole trajectory.

Reference:
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016,
    sections 2.1 and 3.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.types import Array, Data, Estimator, Key, LearnedOptimizer, Task, Theta
from learned_opt.training.estimators.settings import ObjectiveSettings, TruncationSettings, registry
from learned_opt.training.estimators.truncation import (
    Inner,
    Truncation,
    UnrollFunction,
    UnrollState,
    check_problem_clip_norm,
    replace,
    report,
    truncated_unrolls,
)
from learned_opt.training.objectives import Objective


def truncated_bptt(
    lopt: LearnedOptimizer,
    task: Task,
    objective: Objective,
    *,
    second_order: bool = False,
    problem_clip_norm: float | None = None,
    **inner: Unpack[Inner],
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
        second_order: whether to differentiate through the optimizee's gradients.
        problem_clip_norm: c, the norm that each problem's gradient is clipped to before the mean is taken;
            `None` for no clipping. Without it a few problems whose trajectories are chaotic can outweigh all
            others, the more so the longer the truncation. It biases the mean, and keeps `num_problems`
            gradients in memory.
        **inner: `horizon`, T, inner steps of a trajectory, or a function that draws it, such as
            `log_uniform(10, 1000)`; `truncation`, K, inner steps differentiated at once, which divides the
            horizon; `num_problems`, P, unrolled side by side; `random_phases`, whether the first
            trajectories are cut short at random, so that later ones do not all begin and end together.

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
        >>> state = jax.jit(estimator.init)(key, theta, ())
        >>> meta_gradient, state = jax.jit(estimator.estimate)(key, theta, state, ())
        >>> state.step.tolist(), bool(meta_gradient.ends_trajectory)
        ([2, 2, 2], False)

    Reference:
        Andrychowicz et al. 2016, sections 2.1 and 3: 100 steps in truncations of 20, first order. Clipping
        each problem's gradient is an addition.
    """
    check_problem_clip_norm(problem_clip_norm)
    unrolls = truncated_unrolls(lopt, task, objective, second_order=second_order, **inner)
    return by_truncations(unrolls, problem_clip_norm)


def by_truncations(unrolls: Truncation, problem_clip_norm: float | None = None) -> Estimator:
    """Backpropagation through one truncation after the other; new problems where trajectories have ended."""

    def init(key: Key, theta: Theta, data: Data) -> UnrollState:
        return unrolls.begin(key, theta)

    def estimate(key: Key, theta: Theta, state: UnrollState, data: Data):
        states = replace(state.ended, lambda: unrolls.begin(key, theta, state.truncations), state)

        def meta_loss(unroll: UnrollFunction, theta: Theta, states: UnrollState) -> tuple[Array, UnrollState]:
            return unroll(theta, states, data)

        grad, loss, states = mean_gradient(unrolls, meta_loss, theta, states, problem_clip_norm)
        return report(grad, loss, states), states

    return Estimator(init, estimate)


def mean_gradient(
    unrolls: Truncation,
    meta_loss: Callable[[UnrollFunction, Theta, UnrollState], tuple[Array, UnrollState]],
    theta: Theta,
    states: UnrollState,
    problem_clip_norm: float | None = None,
) -> tuple[Theta, Array, UnrollState]:
    """The gradient of the mean over problems, or the mean of the clipped ones; the mean loss; the new states.

    `meta_loss(unroll, theta, states) -> (losses, states)` is of one problem where `unroll` is
    `unrolls.unroll`, and of all of them where it is `unrolls.unroll_all`.
    """
    if problem_clip_norm is None:

        def mean_loss(theta: Theta):
            losses, reached = meta_loss(unrolls.unroll_all, theta, states)
            return jnp.mean(losses), reached

        (loss, states), grad = jax.value_and_grad(mean_loss, has_aux=True)(theta)
        return grad, loss, states
    one = functools.partial(meta_loss, unrolls.unroll)
    (losses, states), grads = jax.vmap(jax.value_and_grad(one, has_aux=True), (None, 0))(theta, states)
    grad_sum, _ = optax.per_example_global_norm_clip(grads, problem_clip_norm)
    return jax.tree.map(lambda g: g / losses.size, grad_sum), jnp.mean(losses), states


@registry.add
@dataclasses.dataclass(frozen=True, kw_only=True)
class Bptt(TruncationSettings, ObjectiveSettings):
    """Truncated backpropagation through time: `truncated_bptt` with an objective.

    Attributes:
        second_order: whether to differentiate through the optimizee's gradients.
    """

    name = "tbptt"

    second_order: bool = False

    def make(self, lopt: LearnedOptimizer, task: Task) -> Estimator:
        """The estimator of the meta-gradient of a learned optimizer on a task."""
        return truncated_bptt(lopt, task, self.objective(), second_order=self.second_order, **self.unrolls())
