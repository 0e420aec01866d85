"""The pure part of meta-training: several meta-steps in one jitted call."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt.core.types import Array, Data, Estimator, Key, Theta

NO_LOSS = float(np.finfo(np.float32).max)  # an infinity would stop every run under `jax.debug_infs`


class MetaState(NamedTuple):
    """All that meta-training carries from one meta-step to the next; what a checkpoint holds.

    Attributes:
        theta: the meta-parameters.
        outer_state: the outer optimizer's state.
        estimator_state: where the inner problems stand.
        step: i32[], meta-steps made.
        best_theta: the meta-parameters of the best validation so far.
        best_loss: f32[], that validation's loss; `NO_LOSS` before there is one.
    """

    theta: Theta
    outer_state: optax.OptState
    estimator_state: Any
    step: Array
    best_theta: Theta
    best_loss: Array

    @property
    def least_loss(self) -> float:
        """The best validation's loss, infinite before there is one."""
        loss = float(self.best_loss)
        return loss if loss < NO_LOSS else math.inf


class StepMetrics(NamedTuple):
    """What each meta-step reports; a leading axis of meta-steps.

    Attributes:
        meta_loss: f32, the truncation's meta-loss.
        gradient_norm: f32, of the meta-gradient before clipping.
        last_loss: f32, the mean optimizee loss where the truncation ended.
        ends_trajectory: bool, whether that was the end of the trajectory.
    """

    meta_loss: Array
    gradient_norm: Array
    last_loss: Array
    ends_trajectory: Array


def initial_state(
    theta_key: Key,
    problem_key: Key,
    init_theta: Callable[[Key], Theta],
    outer: optax.GradientTransformation,
    estimator: Estimator,
    data: Data,
) -> MetaState:
    """The state before the first meta-step.

    Args:
        theta_key: makes theta.
        problem_key: makes the first problems.
        init_theta: the model's `init`.
        outer: the outer optimizer.
        estimator: of the meta-gradient.
        data: the task's data.

    Returns:
        The state.

    Example:
        >>> estimator = Estimator(init=lambda key, theta, data: (), estimate=lambda *args: None)
        >>> outer = optax.adam(1e-3)
        >>> keys = jax.random.split(jax.random.key(0))
        >>> state = initial_state(*keys, lambda key: jnp.zeros(3), outer, estimator, ())
        >>> int(state.step), state.least_loss
        (0, inf)
    """
    theta = init_theta(theta_key)
    return MetaState(
        theta,
        outer.init(theta),
        estimator.init(problem_key, theta, data),
        jnp.zeros([], jnp.int32),
        # A copy, since both are donated to the same jitted call.
        jax.tree.map(jnp.copy, theta),
        jnp.float32(NO_LOSS),
    )


def meta_steps(
    key: Key,
    state: MetaState,
    data: Data,
    outer: optax.GradientTransformation,
    estimator: Estimator,
    num_steps: int,
) -> tuple[MetaState, StepMetrics]:
    """Makes `num_steps` meta-steps.

    The randomness of a meta-step comes from `key` and its number alone, so that a run continued from a
    checkpoint repeats what an undisturbed one does.

    Args:
        key: the same for the whole run.
        state: where meta-training stands.
        data: the task's data.
        outer: the outer optimizer; static.
        estimator: of the meta-gradient; static.
        num_steps: meta-steps to make; static.

    Returns:
        The new state, and each meta-step's metrics, arrays [num_steps].

    Example:
        >>> from learned_opt.core.types import MetaGradient
        >>> estimator = Estimator(
        ...     init=lambda key, theta, data: (),
        ...     estimate=lambda key, theta, state, data: (
        ...         MetaGradient(theta, theta**2 / 2, theta, jnp.array(True)),
        ...         state,
        ...     ),
        ... )
        >>> key, outer = jax.random.key(0), optax.sgd(0.5)
        >>> state = initial_state(key, key, lambda key: jnp.float32(4), outer, estimator, ())
        >>> state, metrics = meta_steps(key, state, (), outer, estimator, 2)
        >>> float(state.theta), metrics.meta_loss.tolist()
        (1.0, [8.0, 2.0])
    """

    def body(state: MetaState, _) -> tuple[MetaState, StepMetrics]:
        step_key = jax.random.fold_in(key, state.step)
        meta_gradient, estimator_state = estimator.estimate(
            step_key, state.theta, state.estimator_state, data
        )
        # optax's schedules count on int and float promoting, whatever the user has set.
        with jax.numpy_dtype_promotion("standard"):
            updates, outer_state = outer.update(meta_gradient.grad, state.outer_state, state.theta)
        new_state = state._replace(
            theta=optax.apply_updates(state.theta, updates),
            outer_state=outer_state,
            estimator_state=estimator_state,
            step=state.step + 1,
        )
        metrics = StepMetrics(
            meta_gradient.loss,
            optax.tree.norm(meta_gradient.grad),
            meta_gradient.last_loss,
            meta_gradient.ends_trajectory,
        )
        return new_state, metrics

    return jax.lax.scan(body, state, length=num_steps)
