"""The inner problems of every estimator, unrolled one truncation at a time.

Each of `num_problems` places holds one problem and its trajectory. Where a trajectory has reached its end a
new problem takes the place. Estimators see the inner problems through `Truncation` alone: they differ in the
theta that a problem is unrolled with, and in what they make of its losses.
"""

from collections.abc import Callable
from typing import NamedTuple, NotRequired, TypedDict, TypeVar, Unpack

import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_at_least
from learned_opt.core.sharding import split_by_problem
from learned_opt.core.types import Array, Data, Key, LearnedOptimizer, MetaGradient, Problem, Task, Theta
from learned_opt.training.estimators.first_order import blockwise_unroll, goes_by_blocks
from learned_opt.training.objectives import HISTORY, Memory, Objective, initial_history
from learned_opt.training.unroll import InnerState, start, unroll

S = TypeVar("S")
Horizon = int | Callable[[Key, Array], Array]


class UnrollState(NamedTuple):
    """Where some unrolls stand; all arrays have a leading axis of `num_problems`.

    Attributes:
        problems: the draws from the task.
        keys: what makes each problem's batches.
        inner: the trajectories' states.
        history: f32[num_problems, 3], the last losses, for objectives that look back.
        end: i32[num_problems], the step after which a new problem comes.
        horizon: i32[num_problems], the length of the whole trajectory, as the objective counts it.
        truncations: i32[num_problems], truncations made in this place, by all the problems that it has held.
        memory: what else the objective remembers of the trajectories.
    """

    problems: Problem
    keys: Array
    inner: InnerState
    history: Array
    end: Array
    horizon: Array
    truncations: Array
    memory: Memory = ()

    @property
    def step(self) -> Array:
        """i32[num_problems], inner steps made."""
        return self.inner.step

    @property
    def ended(self) -> Array:
        """bool[num_problems], whether the trajectory is at its end."""
        return self.step >= self.end


UnrollFunction = Callable[[Theta, UnrollState, Data], tuple[Array, UnrollState]]


class Truncation(NamedTuple):
    """What an estimator knows of the inner problems.

    Attributes:
        begin: `begin(key, theta, truncations=None) -> states`, all at step 0; `truncations` are those that
            were made before in the places that they take.
        unroll: `unroll(theta, state, data) -> (loss, state)`, one truncation of one problem: its share in the
            meta-loss, f32[], and where it stands then. Vmap it over problems, and over theta.
        unroll_all: `unroll_all(theta, states, data) -> (losses, states)`, the same of all problems with one
            theta, f32[num_problems]; quicker to differentiate.
        num_problems: problems unrolled side by side.
        full: whether every truncation is a full trajectory, so that no state is ever needed twice.
    """

    begin: Callable[..., UnrollState]
    unroll: UnrollFunction
    unroll_all: UnrollFunction
    num_problems: int
    full: bool


class Inner(TypedDict):
    """The inner problems' arguments, which all estimators by truncations hand on to `truncated_unrolls`."""

    horizon: Horizon
    truncation: int
    num_problems: int
    random_phases: NotRequired[bool]


class _InnerArguments(NamedTuple):
    """`Inner` with defaults; one that is missing is named by Python's own error."""

    horizon: Horizon
    truncation: int
    num_problems: int
    random_phases: bool = False


def truncated_unrolls(
    lopt: LearnedOptimizer,
    task: Task,
    objective: Objective,
    *,
    second_order: bool = False,
    through_state: bool = False,
    **inner: Unpack[Inner],
) -> Truncation:
    """The inner problems of an estimator: how they begin, and how they go on by one truncation.

    The state that a trajectory starts from is made with theta as it is and counts as a constant.

    Args:
        lopt: the learned optimizer.
        task: what problems are drawn from.
        objective: the meta-objective of one trajectory.
        second_order: whether the optimizee's gradients are differentiated too.
        through_state: whether the state that a truncation ends in is differentiated too, and not its losses
            alone.
        **inner: `horizon`, inner steps of a trajectory, or `horizon(key, truncations) -> i32[]`, drawn for
            each trajectory from the number of truncations made before it in its place, and rounded up to
            whole truncations; `truncation`, inner steps of one, which divides the horizon; `num_problems`,
            unrolled side by side; `random_phases`, whether the first trajectory of each place is cut short
            at random, so that later ones do not all begin and end together.

    Returns:
        The functions.

    Raises:
        ValueError: if a number is out of its range or the truncation does not divide the horizon.

    Example:
        >>> from learned_opt.optimizers import lstm
        >>> from learned_opt.tasks import quadratic
        >>> from learned_opt.training.objectives import weighted_sum
        >>> lopt, key = lstm(hidden_sizes=(4,)), jax.random.key(0)
        >>> unrolls = truncated_unrolls(
        ...     lopt, quadratic(dim=2), weighted_sum(), horizon=4, truncation=2, num_problems=3
        ... )
        >>> theta = lopt.init(key)
        >>> losses, states = unrolls.unroll_all(theta, unrolls.begin(key, theta), ())
        >>> losses.shape, states.step.tolist(), states.ended.tolist()
        ((3,), [2, 2, 2], [False, False, False])
    """
    horizon, truncation, num_problems, random_phases = _InnerArguments(**inner)
    if isinstance(horizon, int):
        check_truncation(horizon, truncation)
    check_at_least(1, truncation=truncation, num_problems=num_problems)

    def length(key: Key, truncations: Array) -> Array:
        if isinstance(horizon, int):
            return jnp.int32(horizon)
        parts = -(-horizon(key, truncations) // jnp.int32(truncation))
        return truncation * jnp.maximum(parts, 1)

    def begin_one(keys: Array, theta: Theta, truncations: Array) -> UnrollState:
        sample_key, start_key, batch_key, horizon_key, phase_key = keys
        problem = task.sample(sample_key)
        inner = start(lopt.build(theta), task, start_key, problem)
        # Of no influence: the unroll begins it anew, from the first loss.
        history = jnp.zeros(HISTORY, jnp.float32)
        total = end = length(horizon_key, truncations)
        if random_phases:
            cut = truncation * jax.random.randint(phase_key, (), 1, total // truncation + 1, jnp.int32)
            end = jnp.where(truncations == 0, cut, total)
        memory = objective.start(jnp.zeros((), jnp.float32))  # made anew with the first loss
        return UnrollState(problem, batch_key, inner, history, end, total, truncations, memory)

    def begin(key: Key, theta: Theta, truncations: Array | None = None) -> UnrollState:
        keys = jax.random.split(key, (5, num_problems))
        truncations = jnp.zeros(num_problems, jnp.int32) if truncations is None else truncations
        return split_by_problem(jax.vmap(begin_one, (1, None, 0))(keys, theta, truncations))

    by_blocks = not (second_order or through_state) and goes_by_blocks(lopt, task)

    def unroll_one(theta: Theta, state: UnrollState, data: Data) -> tuple[Array, UnrollState]:
        if by_blocks:
            losses, states = unroll_all(theta, jax.tree.map(lambda x: x[jnp.newaxis], state), data)
            return losses[0], jax.tree.map(lambda x: x[0], states)
        inner_problem = (task, state.keys, state.problems, data, state.inner, truncation)
        return recorded(state, *unroll(lopt.build(theta), *inner_problem, second_order=second_order))

    def unroll_all(theta: Theta, states: UnrollState, data: Data) -> tuple[Array, UnrollState]:
        if not by_blocks:
            return jax.vmap(unroll_one, (None, 0, None))(theta, states, data)
        inner_problems = (task, states.keys, states.problems, data, states.inner, truncation)
        return jax.vmap(recorded)(states, *blockwise_unroll(lopt, theta, *inner_problems))

    def recorded(state: UnrollState, inner: InnerState, losses: Array) -> tuple[Array, UnrollState]:
        """The meta-loss of a truncation, and the state after it."""
        history = jnp.where(state.step == 0, initial_history(losses[0]), state.history)
        # A plain number where it is one: weights given one by one can be checked against it.
        total = horizon if isinstance(horizon, int) else state.horizon
        fresh = objective.start(losses[0])
        memory = jax.tree.map(lambda new, old: jnp.where(state.step == 0, new, old), fresh, state.memory)
        loss, memory = objective.truncation(memory, history, losses[1:], state.step, total)
        history = jnp.concatenate([history, losses[1:]])[-HISTORY:]
        truncations = state.truncations + 1
        return loss, state._replace(inner=inner, history=history, truncations=truncations, memory=memory)

    return Truncation(begin, unroll_one, unroll_all, num_problems, horizon == truncation)


def replace(where: Array, fresh: Callable[[], S], state: S) -> S:
    """A state with the entries where bool[n] says so made anew; nothing is computed where there are none."""

    def mixed() -> S:
        def choose(new: Array, old: Array) -> Array:
            return jnp.where(where.reshape(where.shape + (1,) * (old.ndim - 1)), new, old)

        return jax.tree.map(choose, fresh(), state)

    return jax.lax.cond(jnp.any(where), mixed, lambda: state)


def report(grad: Theta, loss: Array, states: UnrollState) -> MetaGradient:
    """A meta-gradient, with the mean last loss of the trajectories that ended, or of all if none did."""
    last, ended = states.history[..., -1], states.ended
    any_ended = jnp.any(ended)
    counted = ended | ~any_ended
    # The losses may be of several trajectories of a problem.
    counted = jnp.broadcast_to(counted.reshape(counted.shape + (1,) * (last.ndim - counted.ndim)), last.shape)
    last_loss = jnp.sum(jnp.where(counted, last, 0)) / jnp.sum(counted).astype(last.dtype)
    return MetaGradient(grad, loss, last_loss, any_ended)


def check_truncation(horizon: int, truncation: int) -> None:
    """`ValueError` unless both are positive and the truncation divides the horizon."""
    check_at_least(1, horizon=horizon, truncation=truncation)
    if horizon % truncation:
        nearest = min(divisors(horizon), key=lambda d: abs(d - truncation))
        raise ValueError(
            f"truncation={truncation} does not divide horizon={horizon}; "
            f"choose one that does, such as {nearest}"
        )


def check_problem_clip_norm(problem_clip_norm: float | None) -> None:
    """`ValueError` unless it is positive or `None`."""
    if problem_clip_norm is not None and not problem_clip_norm > 0:
        raise ValueError(f"problem_clip_norm={problem_clip_norm!r}: it must be positive, or None")


def divisors(number: int) -> list[int]:
    """All divisors of a positive number, in order."""
    return [d for d in range(1, number + 1) if number % d == 0]
