"""Losses of a family of rules on a task: all lanes and seeds in one compiled call."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.suites.generalization.rules import Family
from benchmarks.suites.generalization.tasks.trial import at
from learned_opt import training
from learned_opt.core.types import Array, Data, Key, Params, Problem, Task
from learned_opt.training.evaluate import draw_problems

POINTS = 48  # at which losses are measured, log-spaced
FIRST_SEED = 2000


class Curves(NamedTuple):
    """Losses at some steps, f[lanes, seeds, points] each; `test` is `None` where nothing is held out."""

    steps: np.ndarray
    train: np.ndarray
    test: np.ndarray | None

    def of(self, lanes: slice) -> "Curves":
        """Those of some lanes."""
        return Curves(self.steps, self.train[lanes], None if self.test is None else self.test[lanes])


def log_spaced(num_steps: int, points: int = POINTS) -> np.ndarray:
    """Steps from 0 to the last, spread geometrically."""
    return np.unique(np.round(np.append(0, np.geomspace(1, num_steps, points))).astype(np.int32))


def measure(family: Family, task: Task, steps: np.ndarray, num_seeds: int) -> Curves:
    """The losses of every lane of a family, its rules one after the other, on the same problems."""
    lanes = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *map(_float32, family.numbers.values()))
    bare = task._replace(data=(), config=None)
    # optax's own optimizers count on int and float promoting, and the tasks on biases that broadcast,
    # whatever the user has set.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        draws = draw_problems(bare, training.evaluation_keys(FIRST_SEED, num_seeds))
        losses = _run(family, bare, int(steps[-1]), lanes, draws, jnp.asarray(steps), task.data)
    losses = {name: np.asarray(values) for name, values in losses.items()}
    return Curves(steps, losses["train"], losses.get("test"))


def _float32(numbers: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), numbers)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _run(
    family: Family, task: Task, num_steps: int, lanes: Any, draws: Any, steps: Array, data: Data
) -> dict[str, Array]:
    def one(numbers: Any, draw: tuple[Problem, Params, Key]) -> dict[str, Array]:
        problem, params, batch_key = draw
        tx = family.build(numbers, num_steps)
        state = training.InnerState(params, tx.init(params), jnp.zeros([], jnp.int32))

        def step(_, state: training.InnerState) -> training.InnerState:
            return training.unroll(tx, task, batch_key, at(problem, state.step), data, state, 1)[0]

        def measured(state: training.InnerState, span: tuple[Array, Array]):
            state = jax.lax.fori_loop(*span, step, state)
            params = family.evaluated(state.opt_state, state.params)
            return state, task.metrics(params, at(problem, state.step), data)  # type: ignore[misc]

        before = jnp.concatenate([jnp.zeros(1, steps.dtype), steps[:-1]])
        return jax.lax.scan(measured, state, (before, steps))[1]

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(lanes, draws)
