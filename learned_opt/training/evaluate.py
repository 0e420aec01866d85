"""Loss curves of optimizers on fresh problems."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt.core.errors import check_at_least
from learned_opt.core.sharding import each_its_share
from learned_opt.core.types import Array, Data, Key, Params, Problem, Task, Theta
from learned_opt.training.unroll import InnerState, unroll

# Evaluation draws its problems from another stream of keys than meta-training with the same seed does.
EVALUATION_STREAM = 0xE7A1


def evaluate(
    tx: optax.GradientTransformation,
    task: Task,
    *,
    num_steps: int,
    num_problems: int = 128,
    seed: int = 0,
    chunk: int = 64,
) -> np.ndarray:
    """The loss curves of an optimizer on fresh problems.

    Args:
        tx: any optax transformation.
        task: what the problems are drawn from.
        num_steps: updates a problem.
        num_problems: problems to draw.
        seed: the same seed gives the same problems, starting points and batches for every optimizer.
        chunk: problems run side by side; it bounds the memory, not the result.

    Returns:
        f32[num_problems, num_steps + 1], the loss before the first update to the loss after the last.

    Raises:
        ValueError: if a number is below its least value.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> evaluate(optax.adam(0.1), quadratic(dim=2), num_steps=5, num_problems=3).shape
        (3, 6)
    """
    return evaluate_with_metrics(
        tx, task, num_steps=num_steps, num_problems=num_problems, seed=seed, chunk=chunk
    )[0]


def evaluate_with_metrics(
    tx: optax.GradientTransformation,
    task: Task,
    *,
    num_steps: int,
    num_problems: int = 128,
    seed: int = 0,
    chunk: int = 64,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """As `evaluate`, with the task's metrics after the last update.

    Args:
        tx: any optax transformation.
        task: what the problems are drawn from.
        num_steps: updates a problem.
        num_problems: problems to draw.
        seed: makes the problems, starting points and batches.
        chunk: problems run side by side.

    Returns:
        The curves f32[num_problems, num_steps + 1], and each metric f32[num_problems]; no metrics where
        the task has none.

    Raises:
        ValueError: if a number is below its least value.

    Example:
        >>> from learned_opt.tasks import classification
        >>> task = classification("digits")
        >>> _, metrics = evaluate_with_metrics(optax.adam(0.1), task, num_steps=2, num_problems=2)
        >>> metrics["test_accuracy"].shape
        (2,)
    """
    check_at_least(0, num_steps=num_steps)
    check_at_least(1, num_problems=num_problems, chunk=chunk)
    keys = evaluation_keys(seed, num_problems)
    curves, metrics = trajectories(_constant(tx), task, num_steps, (), keys, chunk=chunk)
    return np.asarray(curves), {k: np.asarray(v) for k, v in metrics.items()}


def evaluation_keys(seed: int, num_problems: int) -> Key:
    """The keys of fresh problems, one a problem, disjoint from meta-training's.

    Args:
        seed: any int.
        num_problems: how many.

    Returns:
        A key array [num_problems].

    Example:
        >>> evaluation_keys(0, 3).shape
        (3,)
    """
    return jax.random.split(jax.random.fold_in(jax.random.key(seed), EVALUATION_STREAM), num_problems)


def trajectories(
    build: Callable[[Theta], optax.GradientTransformation],
    task: Task,
    num_steps: int,
    theta: Theta,
    keys: Key,
    *,
    chunk: int = 64,
) -> tuple[Array, dict[str, Array]]:
    """Whole trajectories in one jitted call; compiled once for a `build`, whatever theta.

    Args:
        build: makes the optimizer from theta.
        task: what the problems are drawn from.
        num_steps: updates a problem.
        theta: meta-parameters, or hyperparameters.
        keys: a key array [num_problems].
        chunk: problems run side by side.

    Returns:
        The curves f32[num_problems, num_steps + 1] and the task's metrics, each f32[num_problems].

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> curves, _ = trajectories(optax.sgd, quadratic(dim=2), 5, 0.1, evaluation_keys(0, 3))
        >>> curves.shape
        (3, 6)
    """
    return run_draws(build, task, num_steps, theta, draw_problems(task, keys, chunk), chunk)


def draw_problems(task: Task, keys: Key, chunk: int = 64) -> tuple[Problem, Params, Key]:
    """Problems, starting points and keys of the batches, one a key.

    Compiled apart from the trajectories, once for all optimizers: random numbers take longer to compile than
    an optimizer does. Not to be called inside vmap.
    """
    return _draw(task.sample, task.init, chunk, keys)


def run_draws(
    build: Callable[[Theta], optax.GradientTransformation],
    task: Task,
    num_steps: int,
    theta: Theta,
    draws: tuple[Problem, Params, Key],
    chunk: int = 64,
) -> tuple[Array, dict[str, Array]]:
    """As `trajectories`, on what `draw_problems` gave."""
    # What jit hashes must not hold arrays: the data goes in as an argument.
    bare = task._replace(data=(), config=None)
    return _trajectories(build, bare, num_steps, chunk, theta, draws, task.data)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _draw(sample, init, chunk: int, keys: Key) -> tuple[Problem, Params, Key]:
    def one_problem(key):
        sample_key, start_key, batch_key = jax.random.split(key, 3)
        problem = sample(sample_key)
        return problem, init(start_key, problem), batch_key

    return each_its_share(lambda keys: _in_chunks(one_problem, keys, chunk), keys)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _trajectories(build, task: Task, num_steps: int, chunk: int, theta, draws, data: Data):
    def several(draws, theta, data: Data):
        tx = build(theta)

        def one_problem(draw):
            problem, params, batch_key = draw
            state = InnerState(params, tx.init(params), jnp.zeros([], jnp.int32))
            state, losses = unroll(tx, task, batch_key, problem, data, state, num_steps)
            return losses, task.metrics(state.params, problem, data) if task.metrics else {}

        return _in_chunks(one_problem, draws, chunk)

    return each_its_share(several, draws, theta, data, combine="gather")


def _in_chunks(one_problem: Callable[[Any], Any], draws: Any, chunk: int) -> Any:
    count = jax.tree.leaves(draws)[0].shape[0]
    return jax.lax.map(one_problem, draws, batch_size=min(chunk, count))


@functools.lru_cache(maxsize=256)
def _constant(tx: optax.GradientTransformation) -> Callable[[Any], optax.GradientTransformation]:
    """The same function for the same optimizer, so that jit does not compile it anew."""
    return lambda theta: tx
