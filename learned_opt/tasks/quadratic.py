"""Random quadratics.

Reference:
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016,
    section 3.1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Task
from learned_opt.tasks.registry import registry


class Quadratic(NamedTuple):
    """One problem: minimise `||W x - y||^2`.

    Attributes:
        w: W, f32[dim, dim].
        y: y, f32[dim].
    """

    w: Array
    y: Array


@registry.register
def quadratic(dim: int = 10, condition_number: float | None = None, start_deviation: float = 0.01) -> Task:
    r"""Gaussian quadratics in `dim` dimensions.

    .. math::

        f(x) = \|W x - y\|^2, \qquad W_{ij},\, y_i \sim N(0, 1), \qquad x_0 \sim N(0, \sigma^2 I)

    With a condition number, W is replaced by `U diag(s) V^T`, where U and V are random orthogonal matrices
    and the singular values fall geometrically from `sqrt(dim)` (the root mean square row norm of a
    Gaussian W) so that the Hessian `2 W^T W` has exactly that condition number.

    Args:
        dim: dimensions of x, y and both sides of W.
        condition_number: of the Hessian, at least 1; `None` for Gaussian W.
        start_deviation: sigma, the deviation of the starting point.

    Returns:
        The task; its params are one array f32[dim], its loss is deterministic.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> task = quadratic(dim=3, condition_number=100.0)
        >>> problem = task.sample(jax.random.key(0))
        >>> x = task.init(jax.random.key(1), problem)
        >>> bool(task.loss(x, problem, ()) > 0)
        True
        >>> round(float(jnp.linalg.cond(problem.w)))
        10

    Reference:
        Andrychowicz et al. 2016, section 3.1; paper and code differ in the distributions, so every number
        on quadratics says which it used. Here W and y are standard normal.
    """
    check_at_least(1, dim=dim)
    if condition_number is not None and not condition_number >= 1:
        raise ValueError(f"condition_number={condition_number!r}: it must be at least 1, or None")
    if not start_deviation >= 0:
        raise ValueError(f"start_deviation={start_deviation!r}: it must not be negative")

    def sample(key: Key) -> Quadratic:
        w_key, y_key, u_key, v_key = jax.random.split(key, 4)
        y = jax.random.normal(y_key, (dim,))
        if condition_number is None:
            return Quadratic(jax.random.normal(w_key, (dim, dim)), y)
        # The Hessian squares the singular values: its condition number is their ratio's square.
        decades = jnp.linspace(0.0, 0.5 * jnp.log(condition_number), dim)
        singular_values = jnp.sqrt(jnp.float32(dim)) * jnp.exp(-decades)
        u = jax.random.orthogonal(u_key, dim)
        v = jax.random.orthogonal(v_key, dim)
        return Quadratic((u * singular_values[None, :]) @ v.T, y)

    def init(key: Key, problem: Quadratic) -> Array:
        del problem
        return start_deviation * jax.random.normal(key, (dim,))

    def loss(params: Array, problem: Quadratic, batch: tuple[()]) -> Array:
        del batch
        return jnp.sum(jnp.square(problem.w @ params - problem.y))

    return Task(sample, init, batch=lambda key, problem, data: (), loss=loss)
