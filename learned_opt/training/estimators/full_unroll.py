r"""Backpropagation through whole trajectories in little memory.

Reference:
    Chen, Xu, Zhang, Guestrin, Training deep nets with sublinear memory cost, arXiv:1604.06174, 2016.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Data, Estimator, Key, LearnedOptimizer, Task, Theta
from learned_opt.training.estimators.bptt import mean_gradient
from learned_opt.training.estimators.first_order import goes_by_blocks
from learned_opt.training.estimators.settings import ObjectiveSettings, registry
from learned_opt.training.estimators.truncation import (
    UnrollFunction,
    UnrollState,
    check_problem_clip_norm,
    divisors,
    report,
    truncated_unrolls,
)
from learned_opt.training.objectives import Memory, Objective


def full_unroll(
    lopt: LearnedOptimizer,
    task: Task,
    objective: Objective,
    *,
    horizon: int,
    num_problems: int,
    segment: int | None = None,
    second_order: bool = False,
    problem_clip_norm: float | None = None,
) -> Estimator:
    r"""The gradient of the objective of whole trajectories, averaged over problems.

    It is that of `truncated_bptt` with a truncation as long as the horizon, in less memory: the trajectory
    is cut into segments of S steps, only the states at their seams are kept, and the backward pass unrolls
    each segment once more. It holds

    .. math::

        T / S + S \ \text{ states instead of } T, \qquad
        \text{the fewest, } 2 \sqrt T, \text{ with } S = \sqrt T

    at the price of one more forward unroll. The first-order gradient of a coordinatewise rule goes by blocks
    of coordinates instead, unless S is given: it holds T gradients and no states. Each estimate draws new
    problems and carries nothing over.

    Args:
        lopt: the learned optimizer.
        task: what its problems are drawn from.
        objective: the meta-objective of one trajectory.
        horizon: T, inner steps of a trajectory.
        num_problems: problems unrolled side by side.
        segment: S, which divides the horizon; by default the divisor with the fewest states, so that a
            horizon with divisors near its root is a good choice.
        second_order: whether to differentiate through the optimizee's gradients.
        problem_clip_norm: norm that each problem's gradient is clipped to before the mean is taken; `None`
            for no clipping.

    Returns:
        The estimator.

    Raises:
        ValueError: if a number is out of its range or the segment does not divide the horizon.

    Example:
        >>> from learned_opt.optimizers import lstm
        >>> from learned_opt.tasks import quadratic
        >>> from learned_opt.training.objectives import weighted_sum
        >>> lopt, key = lstm(hidden_sizes=(4,)), jax.random.key(0)
        >>> estimator = full_unroll(lopt, quadratic(dim=2), weighted_sum(), horizon=9, num_problems=3)
        >>> theta = lopt.init(key)
        >>> state = jax.jit(estimator.init)(key, theta, ())
        >>> meta_gradient, _ = jax.jit(estimator.estimate)(key, theta, state, ())
        >>> bool(meta_gradient.ends_trajectory)
        True

    Reference:
        Chen et al. 2016, for the steps of an unroll in place of layers.
    """
    check_problem_clip_norm(problem_clip_norm)
    if segment is None:
        # A derivative that goes by blocks keeps little of the steps in any case.
        whole = not second_order and goes_by_blocks(lopt, task)
        segment = horizon if whole else best_segment(horizon)
    unrolls = truncated_unrolls(
        lopt,
        task,
        objective,
        horizon=horizon,
        truncation=segment,
        num_problems=num_problems,
        second_order=second_order,
        through_state=segment < horizon,
    )

    def init(key: Key, theta: Theta, data: Data) -> tuple[()]:
        return ()

    def estimate(key: Key, theta: Theta, state: tuple[()], data: Data):
        def meta_loss(unroll: UnrollFunction, theta: Theta, states: UnrollState) -> tuple[Array, UnrollState]:
            # Only what changes is carried: all that is carried is kept at every seam.
            def one_segment(carry: tuple[Any, Array, Memory], _):
                inner, history, memory = carry
                begun = states._replace(inner=inner, history=history, memory=memory)
                loss, reached = unroll(theta, begun, data)
                return (reached.inner, reached.history, reached.memory), loss

            one_segment = jax.checkpoint(one_segment, prevent_cse=False)
            carry = (states.inner, states.history, states.memory)
            carry, losses = jax.lax.scan(one_segment, carry, length=horizon // segment)
            inner, history, memory = carry
            return jnp.sum(losses, axis=0), states._replace(inner=inner, history=history, memory=memory)

        states = unrolls.begin(key, theta)
        grad, loss, states = mean_gradient(unrolls, meta_loss, theta, states, problem_clip_norm)
        return report(grad, loss, states), state

    return Estimator(init, estimate)


def best_segment(horizon: int) -> int:
    """The divisor S of the horizon T with the smallest T / S + S; of two, the larger."""
    check_at_least(1, horizon=horizon)
    return min(divisors(horizon), key=lambda s: (horizon // s + s, -s))


@registry.add
@dataclasses.dataclass(frozen=True, kw_only=True)
class Full(ObjectiveSettings):
    """Backpropagation through whole trajectories in little memory: `full_unroll` with an objective.

    Attributes:
        segment: inner steps between the states that are kept; the fewest states by default.
        second_order: whether to differentiate through the optimizee's gradients.
    """

    name = "full"

    segment: int | None = None
    second_order: bool = False

    def make(self, lopt: LearnedOptimizer, task: Task) -> Estimator:
        """The estimator of the meta-gradient of a learned optimizer on a task."""
        return full_unroll(
            lopt,
            task,
            self.objective(),
            horizon=self.horizon,
            num_problems=self.num_problems,
            segment=self.segment,
            second_order=self.second_order,
            problem_clip_norm=self.problem_clip_norm,
        )
