"""What a task that wraps another is made of: the given task, with some of its fields replaced."""

from collections.abc import Callable
from typing import Any

from learned_opt.core.types import Batch, Data, Key, Params, Problem, Task


def wrap(
    task: Task,
    *,
    params_of: Callable[[Params, Problem], Params] | None = None,
    problem_of: Callable[[Problem], Problem] | None = None,
    **changes: Any,
) -> Task:
    """A task like the given one, whose params and problems may hold more than the given task's.

    The given task's functions get its own params and problem, `params_of(params, problem)` and
    `problem_of(problem)`. Fields not named in `changes` are the given task's; with `problem_of` give `sample`
    and `init` too, with `params_of` a `prox` where the task has one. The result has no config.
    """
    if params_of is None and problem_of is None:
        return task._replace(**{"config": None, "parts": ()} | changes)
    params_of = params_of or (lambda params, problem: params)
    problem_of = problem_of or (lambda problem: problem)

    def of_given(function: Callable[..., Any]) -> Callable[..., Any]:
        def given(params: Params, problem: Problem, other: Any) -> Any:
            return function(params_of(params, problem), problem_of(problem), other)

        return given

    def batch(key: Key, problem: Problem, data: Data) -> Batch:
        return task.batch(key, problem_of(problem), data)

    functions = {name: getattr(task, name) for name in ("loss", "smooth", "metrics")}
    given = {name: of_given(function) for name, function in functions.items() if function is not None}
    return task._replace(**{"batch": batch, "config": None, "parts": ()} | given | changes)
