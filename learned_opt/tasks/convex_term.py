"""A convex function beside the losses of any task.

Reference:
    Lv, Jiang, Li, Learning gradient descent: better generalization and longer horizons, ICML 2017,
    section 4.2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_above_zero, check_at_least
from learned_opt.core.types import Array, Batch, Key, Params, Task
from learned_opt.tasks.registry import registry
from learned_opt.tasks.wrapping import wrap


class WithConvexTerm(NamedTuple):
    """What a task has, and beside it what the convex function has of it.

    Attributes:
        given: the task's params, or its problem.
        convex: the convex function's point x, or its minimum v; f32[dim].
    """

    given: Any
    convex: Array


@registry.register
def convex_term(task: Task, dim: int = 10, weight: float = 1.0) -> Task:
    r"""The same losses, to which a convex function of further coordinates is added.

    .. math::

        F(\theta, x) = f(\theta) + \frac{\lambda}{n} \|x - v\|^2, \qquad
        x_0,\, v \sim U(-1, 1)^n

    A rule meta-trained on F meets, in every trajectory, coordinates that have a minimum which can be reached
    whatever the others do: it cannot forget how to converge.

    Args:
        task: any task.
        dim: n, the further coordinates.
        weight: lambda, of the function.

    Returns:
        The task; its data and metrics are the given task's.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> task = convex_term(quadratic(dim=2), dim=3)
        >>> problem = task.sample(jax.random.key(0))
        >>> params = task.init(jax.random.key(1), problem)
        >>> params.given.shape, params.convex.shape
        ((2,), (3,))

    Reference:
        Lv et al. 2017, section 4.2. The weight is an addition.
    """
    check_at_least(1, dim=dim)
    check_above_zero(weight=weight)

    def uniform(key: Key) -> Array:
        return jax.random.uniform(key, (dim,), jnp.float32, -1, 1)

    def sample(key: Key) -> WithConvexTerm:
        given_key, convex_key = jax.random.split(key)
        return WithConvexTerm(task.sample(given_key), uniform(convex_key))

    def init(key: Key, problem: WithConvexTerm) -> WithConvexTerm:
        given_key, convex_key = jax.random.split(key)
        return WithConvexTerm(task.init(given_key, problem.given), uniform(convex_key))

    given = wrap(
        task,
        params_of=lambda params, problem: params.given,
        problem_of=lambda problem: problem.given,
        sample=sample,
        init=init,
    )

    def with_term(function):
        def total(params: WithConvexTerm, problem: WithConvexTerm, batch: Batch) -> Array:
            term = weight * jnp.mean(jnp.square(params.convex - problem.convex))
            return function(params, problem, batch) + term

        return total

    def prox(params: WithConvexTerm, step_size: Any) -> Params:
        assert task.prox is not None
        return WithConvexTerm(task.prox(params.given, step_size), params.convex)

    return given._replace(
        loss=with_term(given.loss),
        smooth=with_term(given.smooth) if given.smooth else None,
        prox=prox if task.prox else None,
    )
