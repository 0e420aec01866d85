"""What a step costs, beside Adam measured in the same breath."""

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt import training
from learned_opt.core.types import Task

SECONDS = 0.2  # that each of the two is timed for, at least
ROUNDS = 5
ADAM = optax.adam(1e-3)  # one object, so that jit knows it again


def step_costs(tx: optax.GradientTransformation, task: Task, *, num_steps: int) -> dict[str, Any]:
    """Seconds of an inner step on one problem and batch, bytes of state a parameter, and those of Adam."""
    steps = min(num_steps, 100)
    bare, problem, params, batch = _one_problem(task)
    ours, adams = interleaved(
        [functools.partial(_steps, t, bare, steps, problem, params, batch) for t in (tx, ADAM)]
    )
    return {
        "seconds": ours / steps,
        "adam_seconds": adams / steps,
        "state_bytes": state_bytes(tx, params) / count(params),
        "adam_state_bytes": state_bytes(ADAM, params) / count(params),
        "parameters": count(params),
    }


def solver_costs(solve: Callable[..., Any], task: Task, *, num_steps: int) -> dict[str, Any]:
    """Seconds of a solver's iteration, its preparations shared out over all, and of a step of Adam."""
    bare, problem, params, batch = _one_problem(task)
    # It may ask for the task's configuration, and for nothing that is large.
    solved = jax.jit(lambda problem, batch: solve(task._replace(data=()), problem, batch, num_steps))
    steps = min(num_steps, 100)
    ours, adams = interleaved(
        [
            functools.partial(solved, problem, batch),
            functools.partial(_steps, ADAM, bare, steps, problem, params, batch),
        ]
    )
    return {"seconds": ours / num_steps, "adam_seconds": adams / steps, "parameters": count(params)}


def _one_problem(task: Task) -> tuple[Task, Any, Any, Any]:
    """A task without its data, a problem, params and a batch."""
    keys = jax.random.split(jax.random.key(0), 3)
    problem = jax.jit(task.sample)(keys[0])
    params = jax.jit(task.init)(keys[1], problem)
    batch = jax.jit(task.batch)(keys[2], problem, task.data)
    return task._replace(data=(), metrics=None, config=None), problem, params, batch


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _steps(tx: optax.GradientTransformation, task: Task, num_steps: int, problem, params, batch):
    # The same batch throughout: to draw one is no part of an optimizer's cost, and takes long to compile.
    task = task._replace(batch=lambda key, problem, data: batch)
    state = training.InnerState(params, tx.init(params), jnp.zeros([], jnp.int32))
    return training.unroll(tx, task, jax.random.key(0), problem, (), state, num_steps)


def interleaved(calls: Sequence[Callable[[], Any]], seconds: float = SECONDS) -> list[float]:
    """Seconds of one call of each in the fastest of five rounds, compiled before.

    Timed in turns for at least `seconds` each, so that all see the same load.
    """
    repeats = []
    for call in calls:
        jax.block_until_ready(call())
        start = time.perf_counter()
        jax.block_until_ready(call())
        once = max(time.perf_counter() - start, 1e-7)
        repeats.append(max(1, math.ceil(seconds / ROUNDS / once)))
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, number, spent in zip(calls, repeats, times, strict=True):
            start = time.perf_counter()
            for _ in range(number):
                result = call()
            jax.block_until_ready(result)
            spent.append((time.perf_counter() - start) / number)
    return [min(spent) for spent in times]


def state_bytes(tx: optax.GradientTransformation, params: Any) -> int:
    """Bytes of an optimizer's state for given params."""
    state = jax.eval_shape(tx.init, params)
    return sum(math.prod(s.shape) * np.dtype(s.dtype).itemsize for s in jax.tree.leaves(state))


def count(params: Any) -> int:
    """The number of parameters."""
    return sum(math.prod(np.shape(leaf)) for leaf in jax.tree.leaves(params))
