r"""Networks that solve partial differential equations: what they are to satisfy is their loss.

Reference:
    Raissi, Perdikaris, Karniadakis, Physics-informed neural networks, Journal of Computational Physics 378,
    2019. Burgers' equation is theirs. Deviation: points are drawn anew for each step.
    Basdevant et al., Spectral and finite difference solutions of the Burgers equation, Computers and Fluids
    14, 1986: the exact solution.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.errors import check_above_zero, check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.tasks.registry import registry

VISCOSITY = 0.01 / np.pi
GRID = 64  # points a side of what the error is measured on
_HERMITE_NODES = 100

Field = Callable[[Array], Array]  # point f32[2] -> f32[]


class Poisson(NamedTuple):
    r"""One Poisson equation on the unit square, by its solution.

    .. math:: u(x, y) = \sum_{jk} c_{jk} \sin(j \pi x) \sin(k \pi y)

    Attributes:
        coefficients: f32[K, K], c; u has the mean square 1.
    """

    coefficients: Array


class Points(NamedTuple):
    """Where a step looks at the network.

    Attributes:
        inside: f32[B, 2], where the equation is to hold.
        edge: f32[4 E, 2], or f32[3 E, 2] for Burgers' initial line and two walls, where values are given.
    """

    inside: Array
    edge: Array


@registry.register
def physics_informed(
    equation: Literal["poisson", "burgers"] = "poisson",
    hidden_sizes: tuple[int, ...] = (20, 20, 20),
    num_inside: int = 128,
    num_edge: int = 32,
    edge_weight: float = 10.0,
    num_frequencies: int = 2,
) -> Task:
    r"""The residual of a differential equation that a network is to solve, and of its boundary values.

    .. math::

        f(x) = \frac{1}{B s} \sum_{i=1}^{B} R[u_x](p_i)^2 + \frac{w}{E} \sum_{j=1}^{E} (u_x(q_j) - g(q_j))^2

    The network :math:`u_x` is fully connected with tanh between its layers. Poisson's equation has
    :math:`R[u] = -\Delta u - h` on the unit square, with h such that the solution is a known one, drawn for
    each problem, that vanishes on the edge; s is the mean square of h. Burgers' has
    :math:`R[u] = u_t + u u_x - \nu u_{xx}` with :math:`\nu = 0.01 / \pi`, :math:`u(0, x) = -\sin \pi x` and
    :math:`u(t, \pm 1) = 0`; s is 1, and all problems are one. Its points are (t, x), from [0, 1] and [-1, 1].

    Args:
        equation: `"poisson"` or `"burgers"`.
        hidden_sizes: units of each hidden layer.
        num_inside: B, random points inside for each step.
        num_edge: random points for each step on each side of the square, or of Burgers' initial line and two
            walls.
        edge_weight: w.
        num_frequencies: K, the frequencies along each side in Poisson's solutions.

    Returns:
        The task; params as haiku makes them; the metric `relative_error` is
        :math:`\lVert u_x - u \rVert / \lVert u \rVert` on a grid of 64 x 64 points.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> task = physics_informed()
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> problem = task.sample(keys[0])
        >>> params = task.init(keys[1], problem)
        >>> bool(task.metrics(params, problem, ())["relative_error"] > 0.5)
        True
    """
    hidden_sizes = tuple(hidden_sizes)
    if equation not in _EQUATIONS:
        raise ValueError(f"equation={equation!r}: choose 'poisson' or 'burgers'")
    check_at_least(
        1,
        num_inside=num_inside,
        num_edge=num_edge,
        num_frequencies=num_frequencies,
        **{f"hidden_sizes[{i}]": n for i, n in enumerate(hidden_sizes)},
    )
    check_above_zero(edge_weight=edge_weight)
    draw, residual, given, solution = _EQUATIONS[equation]
    network = hk.without_apply_rng(
        hk.transform(lambda point: hk.nets.MLP((*hidden_sizes, 1), activation=jnp.tanh)(point)[0])
    )

    def sample(key: Key) -> Poisson | tuple[()]:
        return _draw_poisson(key, num_frequencies) if equation == "poisson" else ()

    def init(key: Key, problem: Poisson | tuple[()]) -> Params:
        del problem
        return network.init(key, jnp.zeros(2))

    def batch(key: Key, problem: Poisson | tuple[()], data: tuple[()]) -> Points:
        del problem, data
        return draw(key, num_inside, num_edge)

    def loss(params: Params, problem: Poisson | tuple[()], batch: Points) -> Array:
        def u(point: Array) -> Array:
            return network.apply(params, point)

        inside = jax.vmap(lambda point: residual(u, point, problem))(batch.inside)
        edge = jax.vmap(u)(batch.edge) - jax.vmap(given)(batch.edge)
        return jnp.mean(jnp.square(inside)) + edge_weight * jnp.mean(jnp.square(edge))

    def metrics(params: Params, problem: Poisson | tuple[()], data: tuple[()]) -> dict[str, Array]:
        del data
        low = jnp.array([0.0, 0.0 if equation == "poisson" else -1.0])
        side = jnp.linspace(0, 1, GRID)
        grid = low[None] + (1 - low)[None] * jnp.stack(jnp.meshgrid(side, side, indexing="ij"), -1).reshape(
            -1, 2
        )
        exact = solution(problem, grid)
        error = jax.vmap(network.apply, (None, 0))(params, grid) - exact
        return {"relative_error": jnp.linalg.norm(error) / jnp.linalg.norm(exact)}

    return Task(sample, init, batch, loss, (), metrics)


def _draw_poisson(key: Key, num_frequencies: int) -> Poisson:
    drawn = jax.random.normal(key, (num_frequencies, num_frequencies))
    # A product of two sines has the mean square 1/4.
    return Poisson(2 * drawn / jnp.linalg.norm(drawn))


def _square_points(key: Key, num_inside: int, num_edge: int) -> Points:
    inside_key, edge_key = jax.random.split(key)
    along, zero, one = jax.random.uniform(edge_key, (4, num_edge)), jnp.zeros(num_edge), jnp.ones(num_edge)
    sides = ((along[0], zero), (along[1], one), (zero, along[2]), (one, along[3]))
    edge = jnp.concatenate([jnp.stack(side, axis=-1) for side in sides])
    return Points(jax.random.uniform(inside_key, (num_inside, 2)), edge)


def poisson_solution(problem: Poisson, points: Array) -> Array:
    """The solution at points f32[n, 2], f32[n]."""
    along_x, along_y = _sines(problem, points)
    return jnp.einsum("nj,nk,jk->n", along_x, along_y, problem.coefficients)


def _poisson_source(problem: Poisson, points: Array) -> Array:
    """Minus its Laplacian at points f32[n, 2], f32[n]."""
    along_x, along_y = _sines(problem, points)
    return jnp.einsum("nj,nk,jk->n", along_x, along_y, problem.coefficients * _curvatures(problem))


def _sines(problem: Poisson, points: Array) -> list[Array]:
    numbers = jnp.pi * jnp.arange(1, len(problem.coefficients) + 1, dtype=jnp.float32)
    return [jnp.sin(points[:, i, None] * numbers[None]) for i in range(2)]


def _curvatures(problem: Poisson) -> Array:
    squares = jnp.square(jnp.pi * jnp.arange(1, len(problem.coefficients) + 1, dtype=jnp.float32))
    return squares[:, None] + squares[None]


def poisson_residual(u: Field, point: Array, problem: Poisson) -> Array:
    """By how much a field misses Poisson's equation at a point, over the source's root mean square; f32[]."""
    mean_square = jnp.sum(jnp.square(problem.coefficients * _curvatures(problem))) / 4
    source = _poisson_source(problem, point[None])[0]
    laplacian = _second(u, point, 0) + _second(u, point, 1)
    return (-laplacian - source) / jnp.sqrt(mean_square)


def _burgers_points(key: Key, num_inside: int, num_edge: int) -> Points:
    inside_key, edge_key = jax.random.split(key)
    t, x = jax.random.uniform(inside_key, (2, num_inside))
    along, zero, one = jax.random.uniform(edge_key, (3, num_edge)), jnp.zeros(num_edge), jnp.ones(num_edge)
    sides = ((zero, 2 * along[0] - 1), (along[1], -one), (along[2], one))
    edge = jnp.concatenate([jnp.stack(side, axis=-1) for side in sides])
    return Points(jnp.stack([t, 2 * x - 1], axis=-1), edge)


def burgers_solution(points: Array) -> Array:
    r"""The exact solution of Burgers' equation at (t, x), f32[n, 2] -> f32[n].

    .. math::

        u(t, x) = -\frac{\int \sin \pi(x - \eta)\, F(x - \eta)\, e^{-\eta^2 / 4 \nu t} d\eta}
            {\int F(x - \eta)\, e^{-\eta^2 / 4 \nu t} d\eta}, \qquad
        F(y) = e^{-\cos(\pi y) / 2 \pi \nu}

    This is the transformation of Cole and Hopf. The integrals are Gauss-Hermite sums of 100 terms, with the
    largest exponent taken out.

    Example:
        >>> points = jnp.array([[0.0, 0.5], [0.5, 0.5]])
        >>> [round(float(u), 4) for u in burgers_solution(points)]
        [-1.0, -0.5928]
    """
    nodes, weights = np.polynomial.hermite.hermgauss(_HERMITE_NODES)
    t, x = points[:, 0, None], points[:, 1, None]
    y = x - jnp.sqrt(4 * VISCOSITY * t) * jnp.asarray(nodes, jnp.float32)[None]
    exponents = jnp.asarray(np.log(weights), jnp.float32)[None] - jnp.cos(jnp.pi * y) / (
        2 * np.pi * VISCOSITY
    )
    return -jnp.sum(jax.nn.softmax(exponents, axis=1) * jnp.sin(jnp.pi * y), axis=1)


def burgers_residual(u: Field, point: Array, problem: tuple[()]) -> Array:
    """By how much a field misses Burgers' equation at (t, x), f32[]."""
    del problem
    by_t, by_x = jax.grad(u)(point)
    return by_t + u(point) * by_x - VISCOSITY * _second(u, point, 1)


def _second(u: Field, point: Array, axis: int) -> Array:
    """The second derivative along an axis."""
    along = jnp.zeros(2).at[axis].set(1)

    def first(point: Array) -> Array:
        return jax.jvp(u, (point,), (along,))[1]

    return jax.jvp(first, (point,), (along,))[1]


_EQUATIONS: dict[str, Any] = {
    "poisson": (_square_points, poisson_residual, lambda point: 0 * point[0], poisson_solution),
    "burgers": (
        _burgers_points,
        burgers_residual,
        lambda point: jnp.where(point[0] == 0, -jnp.sin(jnp.pi * point[1]), 0),
        lambda problem, points: burgers_solution(points),
    ),
}
