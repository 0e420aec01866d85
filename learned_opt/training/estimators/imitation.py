"""Imitation of a hand-designed optimizer: a start for meta-training.

Reference:
    Chen, Zhang, Zhou, Chang, Liu, Amini, Wang, Training stronger baselines for learning to optimize, NeurIPS
    2020: learned optimizers that are trained to imitate analytical ones.
"""

import dataclasses
from typing import Any, Literal, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.errors import check_above_zero
from learned_opt.core.types import Array, Data, Estimator, LearnedOptimizer, Params, Task, Theta
from learned_opt.training.estimators.bptt import by_truncations
from learned_opt.training.estimators.settings import TruncationSettings, registry
from learned_opt.training.estimators.truncation import (
    Inner,
    UnrollState,
    check_problem_clip_norm,
    truncated_unrolls,
)
from learned_opt.training.objectives import weighted_sum
from learned_opt.training.tune import BASELINES, with_prox


class ImitationState(NamedTuple):
    """State of a rule that is compared with its teacher, step by step.

    Attributes:
        rule: the learned optimizer's state.
        teacher: the teacher's state.
        count: i32[], steps made in this trajectory.
        size: f32[], the sum of the teacher's squared steps in it.
        error: f32[], the sum of the relative errors in this truncation.
    """

    rule: Any
    teacher: Any
    count: Array
    size: Array
    error: Array


def imitation(
    lopt: LearnedOptimizer,
    teacher: optax.GradientTransformation,
    task: Task,
    *,
    own_trajectories: bool = False,
    problem_clip_norm: float | None = None,
    **inner: Unpack[Inner],
) -> Estimator:
    r"""The gradient of how far a rule's updates are from those of another optimizer.

    Both are given the same gradients, with their states carried along. The meta-loss of a truncation is

    .. math::

        \frac{1}{K} \sum_{t=s+1}^{s+K} \frac{\|u_t(\theta) - v_t\|^2}{\frac{1}{t} \sum_{r=1}^{t} \|v_r\|^2}

    where u are the rule's updates and v the teacher's: the error in shares of the teacher's mean squared step
    so far, 1 for a rule that stands still while its teacher makes steps of one size. Steps before which the
    teacher has never moved count 0. The losses of the task have no part in it.

    It is supervised learning: unrolls through it do not explode, since the trajectory is a constant. It gives
    meta-training a start at which the rule does something sensible.

    Args:
        lopt: the learned optimizer.
        teacher: any optax transformation, whose updates are added to the params.
        task: what its problems are drawn from.
        own_trajectories: whether the params go where the rule's updates lead, and not the teacher's, so that
            the rule learns what the teacher would do where its own errors lead.
        problem_clip_norm: norm that each problem's gradient is clipped to; `None` for no clipping.
        **inner: `horizon`, `truncation` (K), `num_problems` and `random_phases`, as `truncated_bptt` has
            them.

    Returns:
        The estimator.

    Raises:
        ValueError: if a number is out of its range or the truncation does not divide the horizon.

    Example:
        >>> from learned_opt.optimizers import lstm
        >>> from learned_opt.tasks import quadratic
        >>> lopt, key = lstm(hidden_sizes=(4,)), jax.random.key(0)
        >>> estimator = imitation(
        ...     lopt, optax.adam(0.1), quadratic(dim=2), horizon=4, truncation=2, num_problems=3
        ... )
        >>> theta = lopt.init(key)
        >>> state = jax.jit(estimator.init)(key, theta, ())
        >>> meta_gradient, _ = jax.jit(estimator.estimate)(key, theta, state, ())
        >>> round(float(meta_gradient.loss), 1)  # a fresh LSTM hardly moves
        1.0

    Reference:
        Chen et al. 2020. Deviations: there imitation goes along with meta-training, here it comes before it
        and alone; and errors are relative to the teacher's steps, so that their size does not matter. Params
        that go where the learner leads while the teacher says what to do are as in Ross, Gordon, Bagnell, A
        reduction of imitation learning and structured prediction to no-regret online learning, AISTATS 2011.
    """
    check_problem_clip_norm(problem_clip_norm)
    unrolls = truncated_unrolls(
        _compared(lopt, teacher, own_trajectories),
        task,
        weighted_sum(),  # the losses of the task are not looked at
        **inner,
    )
    truncation = inner["truncation"]

    def unroll(theta: Theta, state: UnrollState, data: Data) -> tuple[Array, UnrollState]:
        before = state.inner.opt_state._replace(error=jnp.zeros([], jnp.float32))
        state = state._replace(inner=state.inner._replace(opt_state=before))
        _, state = unrolls.unroll(theta, state, data)
        return state.inner.opt_state.error / truncation, state

    imitating = unrolls._replace(unroll=unroll, unroll_all=jax.vmap(unroll, (None, 0, None)))
    return by_truncations(imitating, problem_clip_norm)


def _compared(
    lopt: LearnedOptimizer, teacher: optax.GradientTransformation, own_trajectories: bool
) -> LearnedOptimizer:
    """The teacher, or the rule, with both states and the error of the one against the other."""
    teacher = optax.with_extra_args_support(teacher)

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        rule = lopt.build(theta, num_steps=num_steps)

        def init_fn(params: Params) -> ImitationState:
            zero = jnp.zeros([], jnp.float32)
            return ImitationState(
                rule.init(params), teacher.init(params), jnp.zeros([], jnp.int32), zero, zero
            )

        def update_fn(updates, state, params=None, **extra_args):
            ours, rule_state = rule.update(updates, state.rule, params, **extra_args)
            theirs, teacher_state = teacher.update(updates, state.teacher, params, **extra_args)
            count = jnp.asarray(optax.safe_increment(state.count))
            size = state.size + _square(theirs)
            distance = _square(optax.tree.sub(ours, theirs))
            relative = distance * count.astype(jnp.float32) / jnp.where(size > 0, size, 1)
            error = state.error + jnp.where(size > 0, relative, 0)
            # Where the path leads is data: what is learned is what to do on it.
            path = jax.lax.stop_gradient(ours) if own_trajectories else theirs
            return path, ImitationState(rule_state, teacher_state, count, size, error)

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    return LearnedOptimizer(lopt.init, build)


def _square(tree: Any) -> Array:
    return jnp.asarray(optax.tree.norm(tree, squared=True), jnp.float32)


@registry.add
@dataclasses.dataclass(frozen=True, kw_only=True)
class Imitation(TruncationSettings):
    """Imitation of a teacher, by truncated backpropagation: `imitation` of a hand-made optimizer.

    Attributes:
        teacher: the optimizer that is imitated.
        teacher_learning_rate: its learning rate.
        own_trajectories: whether the learned optimizer's steps are followed, and not the teacher's.
    """

    name = "imitation"

    teacher: Literal["sgd", "momentum", "nag", "rmsprop", "adam"] = "adam"
    teacher_learning_rate: float = 0.01
    own_trajectories: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_above_zero(teacher_learning_rate=self.teacher_learning_rate)

    def make(self, lopt: LearnedOptimizer, task: Task) -> Estimator:
        """The estimator of the meta-gradient of a learned optimizer on a task."""
        teacher = with_prox(BASELINES[self.teacher], task)(self.teacher_learning_rate)
        return imitation(lopt, teacher, task, own_trajectories=self.own_trajectories, **self.unrolls())
