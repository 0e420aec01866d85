"""Several tasks in one."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array, Batch, Key, Params, Problem, Task
from learned_opt.tasks.registry import registry


class Mixed(NamedTuple):
    """One problem of a mixture.

    Attributes:
        index: i32[], whose problem it is.
        problems: one draw from each task, of which that one counts.
    """

    index: Array
    problems: tuple[Problem, ...]


@registry.register
def mixture(tasks: tuple[Task, ...]) -> Task:
    r"""Draws each problem from one of several tasks, all with the same chance.

    .. math::

        f = f^{(k)}, \qquad k \sim U\{1, \dots, K\}

    A rule meta-trained on a mixture has to tell the tasks apart by what it sees. Side by side, problems
    compute the losses of all tasks and keep one.

    Where the params of all tasks have the same structure and shapes, and the tasks the same proximal
    operator, they are the mixture's. Otherwise the mixture's params are a tuple of them, one tree for each
    task, of which a problem's loss sees its own task's: the others have zero gradients, and the rule is run
    on them in vain.

    The estimator `families_es` takes a mixture apart and unrolls each task by itself, with its own params
    alone.

    Losses of different sizes count as they are. To have tasks count alike, wrap each in `normalized_loss`.

    Args:
        tasks: at least one task.

    Returns:
        The task; its data is the tasks' in a tuple. It has the metrics that all of them have.

    Raises:
        ValueError: if there is no task.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> task = mixture((quadratic(dim=3), quadratic(dim=3, condition_number=100.0)))
        >>> problem = task.sample(jax.random.key(0))
        >>> x = task.init(jax.random.key(1), problem)
        >>> bool(task.loss(x, problem, task.batch(jax.random.key(2), problem, task.data)) > 0)
        True

    Reference:
        Meta-training over many tasks at once is as in Metz et al., Tasks, stability, architecture, and
        compute: training more effective learned optimizers, and using them to train themselves, arXiv
        2009.11243, 2020.
    """
    tasks = tuple(tasks)
    if not tasks:
        raise ValueError("tasks=(): give at least one task")
    operators = [t.prox for t in tasks]
    alike = len({_form(jax.eval_shape(functools.partial(_start, t))) for t in tasks}) == 1
    shared = alike and all(operator is operators[0] for operator in operators)

    def part(params: Params, index: int) -> Params:
        return params if shared else params[index]

    def sample(key: Key) -> Mixed:
        index_key, *keys = jax.random.split(key, 1 + len(tasks))
        index = jax.random.randint(index_key, (), 0, len(tasks))
        return Mixed(index, tuple(t.sample(k) for t, k in zip(tasks, keys, strict=True)))

    def init(key: Key, problem: Mixed) -> Params:
        if not shared:
            keys = jax.random.split(key, len(tasks))
            return tuple(t.init(k, p) for t, k, p in zip(tasks, keys, problem.problems, strict=True))
        return _switch(problem, [lambda p, t=t: t.init(key, p) for t in tasks])

    def batch(key: Key, problem: Mixed, data: tuple) -> tuple[Batch, ...]:
        return tuple(t.batch(key, p, d) for t, p, d in zip(tasks, problem.problems, data, strict=True))

    def mixed(losses: list):
        def loss(params: Params, problem: Mixed, batch: tuple[Batch, ...]) -> Array:
            branches = [lambda p, i=i, f=f: f(part(params, i), p, batch[i]) for i, f in enumerate(losses)]
            return _switch(problem, branches)

        return loss

    def metrics(params: Params, problem: Mixed, data: tuple) -> dict[str, Array]:
        every = [
            t.metrics(part(params, i), p, d) if t.metrics else {}
            for i, (t, p, d) in enumerate(zip(tasks, problem.problems, data, strict=True))
        ]
        names = [name for name in every[0] if all(name in m for m in every)]
        return {name: jnp.stack([m[name] for m in every])[problem.index] for name in names}

    def prox(params: Params, step_size: Any) -> Params:
        # One number for all, or a tree of them like the params.
        alike = jax.tree.structure(step_size) == jax.tree.structure(params)
        sizes = step_size if alike else [step_size] * len(tasks)
        return tuple(
            operator(p, size) if operator else p
            for operator, p, size in zip(operators, params, sizes, strict=True)
        )

    return Task(
        sample,
        init,
        batch,
        mixed([t.loss for t in tasks]),
        tuple(t.data for t in tasks),
        metrics if all(t.metrics for t in tasks) else None,
        smooth=mixed([t.smooth or t.loss for t in tasks]) if any(t.smooth for t in tasks) else None,
        prox=operators[0] if shared else prox if any(operators) else None,
        parts=tuple(t._replace(data=()) for t in tasks),  # what jit knows a task by is hashable
    )


def _form(tree: Any) -> Any:
    """The structure of a tree and the shapes of its leaves."""
    return jax.tree.structure(tree), tuple(leaf.shape for leaf in jax.tree.leaves(tree))


def _start(task: Task) -> Params:
    key = jax.random.key(0)
    return task.init(key, task.sample(key))


def _switch(problem: Mixed, branches: list):
    """The branch of the task that the problem is from, on that task's draw."""
    return jax.lax.switch(
        problem.index,
        [lambda problems, i=i, b=b: b(problems[i]) for i, b in enumerate(branches)],
        problem.problems,
    )
