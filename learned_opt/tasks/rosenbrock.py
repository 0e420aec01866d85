"""Rosenbrock's valley.

Reference:
    Rosenbrock, An automatic method for finding the greatest or least value of a function, The Computer
    Journal 3, 1960; chained over more than two coordinates.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_above_zero, check_at_least
from learned_opt.core.types import Array, Key, Task
from learned_opt.tasks.registry import registry


class Valley(NamedTuple):
    """One problem.

    Attributes:
        scales: s, f32[dim].
        curvature: c, f32[].
    """

    scales: Array
    curvature: Array


@registry.register
def rosenbrock(dim: int = 10, curvature: float = 100.0, log_range: float = 0.0) -> Task:
    r"""Rosenbrock's function, a curved valley with a flat floor, in coordinates of random size.

    .. math::

        f(x) = \frac{1}{d - 1} \sum_{i=1}^{d - 1} c\, (z_{i+1} - z_i^2)^2 + (1 - z_i)^2, \qquad
        z = s \odot x, \quad \log s_i \sim N(0, .3^2), \quad x_0 \sim N(0, .5^2 I)

    Args:
        dim: d, at least 2.
        curvature: c, the largest.
        log_range: R; c is multiplied by `exp(-r)`, with r uniform from 0 to R.

    Returns:
        The task; its params are one array f32[dim], its loss is deterministic with a minimum of 0.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> task = rosenbrock(dim=2)
        >>> problem = Valley(jnp.ones(2), jnp.float32(100))
        >>> float(task.loss(jnp.array([-1.0, 2.0]), problem, ()))
        104.0
    """
    check_at_least(2, dim=dim)
    check_above_zero(curvature=curvature)
    check_at_least(0, log_range=log_range)

    def sample(key: Key) -> Valley:
        scale_key, curvature_key = jax.random.split(key)
        fall = jax.random.uniform(curvature_key, (), maxval=log_range) if log_range else jnp.zeros(())
        return Valley(jnp.exp(0.3 * jax.random.normal(scale_key, (dim,))), curvature * jnp.exp(-fall))

    def init(key: Key, problem: Valley) -> Array:
        del problem
        return 0.5 * jax.random.normal(key, (dim,))

    def loss(params: Array, problem: Valley, batch: tuple[()]) -> Array:
        del batch
        z = params * problem.scales
        across, along = z[1:] - jnp.square(z[:-1]), 1 - z[:-1]
        return jnp.mean(problem.curvature * jnp.square(across) + jnp.square(along))

    return Task(sample, init, batch=lambda key, problem, data: (), loss=loss)
