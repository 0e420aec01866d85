"""The compiled part of a run: its first state and its meta-steps, for one start or several side by side."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from learned_opt.core.kinds import Trainable
from learned_opt.core.remembered import remembered
from learned_opt.core.types import Data, Estimator, Key, Theta
from learned_opt.meta.job import Job, make_trainable
from learned_opt.meta.settings import Settings
from learned_opt.meta.sharding import compiled, replicated
from learned_opt.meta.step import MetaState, StepMetrics, initial_state, meta_steps

TRAINING_STREAM = 0x7A1  # of keys: no validation or evaluation of the same seed draws from it


def first_state(job: Job) -> MetaState:
    """The state that a run begins with, before the first meta-step."""
    return compiled_run(make_trainable(job), job.settings, job.start, None)[0]


def _training_key(settings: Settings) -> Key:
    return jax.random.fold_in(jax.random.key(settings.seed), TRAINING_STREAM)


# Of several starts, side by side: they make their steps together, and the best theta is one of all.
_STARTS: Any = MetaState(0, 0, 0, step=None, best_theta=None, best_loss=None)  # type: ignore[arg-type]


def compiled_run(
    trainable: Trainable, settings: Settings, start: Theta | None, mesh: Mesh | None
) -> tuple[MetaState, Callable[[MetaState, int], tuple[MetaState, StepMetrics]]]:
    """The first state, and what makes meta-steps; of several starts, with a leading axis."""
    key, data = replicated(mesh, (_training_key(settings), (start, trainable.data)))
    begin, steps = _functions(trainable.init, trainable.estimator, _of_programs(settings))
    return compiled(mesh, begin, steps, key, data)


def _of_programs(settings: Settings) -> Settings:
    """Settings without what runs of one program may differ in."""
    return dataclasses.replace(settings, seed=0, validate_every=1, steps_per_call=1)


@remembered
def _functions(
    init: Callable[[Key], Theta], estimator: Estimator, settings: Settings
) -> tuple[Callable[..., MetaState], Callable[..., tuple[MetaState, StepMetrics]]]:
    """What begins a run and what makes meta-steps; the data is the theta to start from and the task's."""
    outer, num_starts = settings.make_outer_optimizer(), settings.num_starts

    def begin(theta_key: Key, problem_key: Key, data: tuple[Theta | None, Data]) -> MetaState:
        start, task_data = data
        begun = init if start is None else lambda key: start
        return initial_state(theta_key, problem_key, begun, outer, estimator, task_data)

    def several_meta_steps(key: Key, state: MetaState, data: tuple[Theta | None, Data], num_steps: int):
        return meta_steps(key, state, data[1], outer, estimator, num_steps)

    def begin_one(key: Key, data: tuple[Theta | None, Data]) -> MetaState:
        theta_key, problem_key = jax.random.split(key)
        return begin(theta_key, problem_key, data)

    if num_starts == 1:
        return begin_one, several_meta_steps

    def of_starts(key: Key) -> Key:
        others = (jax.random.fold_in(key, i) for i in range(1, num_starts))
        return jnp.stack([key, *others])

    def begin_all(key: Key, data: tuple[Theta | None, Data]) -> MetaState:
        theta_key, problem_key = map(of_starts, jax.random.split(key))
        states = jax.vmap(begin, (0, 0, None), _STARTS._replace(best_theta=0))(theta_key, problem_key, data)
        return states._replace(best_theta=jax.tree.map(lambda x: x[0], states.best_theta))

    def meta_steps_of_all(key: Key, states: MetaState, data: tuple[Theta | None, Data], num_steps: int):
        def of_one(key: Key, state: MetaState):
            return several_meta_steps(key, state, data, num_steps)

        return jax.vmap(of_one, (0, _STARTS), (_STARTS, 0))(of_starts(key), states)

    return begin_all, meta_steps_of_all


def each_start(theta: Theta, num_starts: int) -> list[Theta]:
    """The theta of each start; of several they have a leading axis."""
    if num_starts == 1:
        return [theta]
    return [jax.tree.map(lambda leaf, i=i: leaf[i], theta) for i in range(num_starts)]
