"""The known solutions satisfy their equations, and the loss says so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import tasks
from learned_opt.tasks.physics_informed import (
    VISCOSITY,
    Poisson,
    burgers_residual,
    burgers_solution,
    poisson_residual,
    poisson_solution,
)

POINTS = jnp.array([[0.3, 0.2], [0.5, 0.01], [0.9, 0.3], [0.1, 0.8]])


def test_the_steepest_slope_of_burgers_solution_is_that_of_the_literature():
    """Basdevant et al. 1986: the slope at x = 0 is steepest at t = 1.6037 / pi, and -152.00516 there."""

    def u(x):
        return burgers_solution(jnp.array([[1.6037 / np.pi, 0.0]]).at[0, 1].set(x))[0]

    assert float(jax.jit(jax.grad(u))(0.0)) == pytest.approx(-152.00516, rel=1e-5)


def test_the_exact_solutions_leave_no_residual_and_have_their_boundary_values():
    poisson = Poisson(jnp.array([[0.5, -1.0], [1.0, 0.25]]))
    for residual, solution, problem in (
        (burgers_residual, lambda points: burgers_solution(points), ()),
        (poisson_residual, lambda points: poisson_solution(poisson, points), poisson),
    ):

        def missed(point, residual=residual, solution=solution, problem=problem):
            return residual(lambda p: solution(p[None])[0], point, problem)

        np.testing.assert_allclose(jax.jit(jax.vmap(missed))(POINTS), 0, atol=2e-3)
    edge = jnp.array([[0.0, 0.4], [1.0, 0.7], [0.6, 0.0], [0.2, 1.0]])
    np.testing.assert_allclose(poisson_solution(poisson, edge), 0, atol=1e-6)
    start = jnp.array([[0.0, 0.25], [0.7, 1.0], [0.7, -1.0]])
    np.testing.assert_allclose(burgers_solution(start), [-np.sin(np.pi / 4), 0, 0], atol=1e-5)


def test_residuals_of_a_polynomial():
    """U = t^2 x^3, by hand: u_t = 2 t x^3, u_x = 3 t^2 x^2, u_xx = 6 t^2 x; Laplace u = 2 x^3 + 6 t^2 x."""

    def u(point):
        return point[0] ** 2 * point[1] ** 3

    t, x = 0.5, 2.0
    burgers = 2 * t * x**3 + t**2 * x**3 * 3 * t**2 * x**2 - VISCOSITY * 6 * t**2 * x
    assert float(burgers_residual(u, jnp.array([t, x]), ())) == pytest.approx(burgers, rel=1e-6)
    flat = Poisson(jnp.array([[1.0]]))  # the source 2 pi^2 sin(pi t) sin(pi x) is 0 at x = 2
    laplacian = 2 * x**3 + 6 * t**2 * x
    expected = -laplacian / np.pi**2  # over the source's root mean square 2 pi^2 / 2
    assert float(poisson_residual(u, jnp.array([t, x]), flat)) == pytest.approx(expected, rel=1e-5)


def test_solutions_have_the_mean_square_one_and_a_network_of_zeros_misses_all_of_them():
    task = tasks.physics_informed(hidden_sizes=(4,), num_inside=4000, num_frequencies=3)
    problem = task.sample(jax.random.key(0))
    points = task.batch(jax.random.key(1), problem, ())
    assert float(jnp.mean(poisson_solution(problem, points.inside) ** 2)) == pytest.approx(1, rel=0.1)
    zeros = jax.tree.map(jnp.zeros_like, task.init(jax.random.key(2), problem))
    assert float(task.metrics(zeros, problem, ())["relative_error"]) == pytest.approx(1)
    assert float(task.loss(zeros, problem, points)) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("equation", ["poisson", "burgers"])
def test_points_lie_where_they_belong(equation):
    task = tasks.physics_informed(equation, num_inside=50, num_edge=5)
    inside, edge = task.batch(jax.random.key(0), (), ())
    low = 0 if equation == "poisson" else -1
    assert inside[:, 1].min() < low + 0.1
    assert np.all((inside[:, 0] > 0) & (inside[:, 0] < 1) & (inside[:, 1] > low) & (inside[:, 1] < 1))
    on_edge = (edge[:, 0] == 0) | (edge[:, 1] == 1) | (edge[:, 1] == low)
    assert np.all(on_edge | ((edge[:, 0] == 1) & (equation == "poisson")))
    assert len(edge) == (20 if equation == "poisson" else 15)


def test_an_unknown_equation_is_refused():
    with pytest.raises(ValueError, match="equation='heat'"):
        tasks.physics_informed("heat")  # type: ignore[arg-type]
