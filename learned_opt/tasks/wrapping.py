"""What a task that wraps another is made of: the given task, with some of its fields replaced."""

from collections.abc import Callable
from typing import Any

from learned_opt.core.types import Batch, Data, Key, Params, Problem, Task


def wrap(
    task: Task,
    *,
    params_of: Callable[[Params, Problem], Params] = lambda params, problem: params,
    problem_of: Callable[[Problem], Problem] = lambda problem: problem,
    **changes: Any,
) -> Task:
    """A task like the given one, whose params and problems may hold more than the given task's.

    Fields that are not named in `changes` are the given task's, so that a new field of `Task` is passed on
    by itself. Its functions are given its own params and problems.

    Args:
        task: the given task.
        params_of: `params_of(params, problem)`, the given task's params in those of the new one.
        problem_of: the given task's problem in one of the new task's.
        **changes: fields of `Task` that are not the given task's. A wrapper that changes `problem_of`
            has to give `sample` and `init`; one that changes `params_of` has to give `prox` where the given
            task has one.

    Returns:
        The task, without a config.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> task = quadratic(dim=2)
        >>> wrap(task, loss=lambda params, problem, batch: 0.0).sample is task.sample
        True
    """

    def of_given(function: Callable[..., Any]) -> Callable[..., Any]:
        def given(params: Params, problem: Problem, other: Any) -> Any:
            return function(params_of(params, problem), problem_of(problem), other)

        return given

    def batch(key: Key, problem: Problem, data: Data) -> Batch:
        return task.batch(key, problem_of(problem), data)

    functions = {name: getattr(task, name) for name in ("loss", "smooth", "metrics")}
    given = {name: of_given(function) for name, function in functions.items() if function is not None}
    return task._replace(**{"batch": batch, "config": None} | given | changes)
