import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.tasks import Quadratic, quadratic


def sample(task, number: int, seed: int = 0) -> Quadratic:
    return jax.jit(jax.vmap(task.sample))(jax.random.split(jax.random.key(seed), number))


def test_loss_is_the_squared_residual():
    task = quadratic(dim=2)
    problem = Quadratic(w=jnp.float32([[1, 2], [0, 3]]), y=jnp.float32([1, -1]))
    x = jnp.float32([2, 1])
    assert task.loss(x, problem, ()) == (2 + 2 - 1) ** 2 + (3 + 1) ** 2
    expected = 2 * problem.w.T @ (problem.w @ x - problem.y)
    np.testing.assert_allclose(jax.grad(task.loss)(x, problem, ()), expected, rtol=1e-6)
    solution = jnp.linalg.solve(problem.w, problem.y)
    assert task.loss(solution, problem, ()) < 1e-10


def test_problems_are_standard_normal():
    problems = sample(quadratic(dim=10), 2000)
    for entries in (problems.w, problems.y):
        assert abs(float(entries.mean())) < 0.02
        assert float(entries.var()) == pytest.approx(1.0, abs=0.03)
    # Entries of W and y are not the same numbers.
    assert abs(np.corrcoef(problems.w[:, 0, 0], problems.y[:, 0])[0, 1]) < 0.1


def test_starting_points_have_the_given_deviation():
    keys = jax.random.split(jax.random.key(0), 2000)
    for deviation in (0.0, 0.01, 2.0):
        x = jax.vmap(lambda k, d=deviation: quadratic(start_deviation=d).init(k, None))(keys)
        assert x.shape == (2000, 10)
        assert float(x.std()) == pytest.approx(deviation, rel=0.03, abs=1e-9)


@pytest.mark.parametrize("condition_number", [1.0, 100.0, 1e4])
def test_hessian_has_the_condition_number(condition_number: float):
    task = quadratic(dim=5, condition_number=condition_number)
    problems = sample(task, 4)
    x = jnp.zeros((4, 5))
    hessians = np.asarray(jax.jit(jax.vmap(jax.hessian(task.loss), in_axes=(0, 0, None)))(x, problems, ()))
    eigenvalues = np.linalg.eigvalsh(hessians.astype(np.float64))
    np.testing.assert_allclose(eigenvalues[:, -1] / eigenvalues[:, 0], condition_number, rtol=2e-2)
    np.testing.assert_allclose(eigenvalues[:, -1], 2 * 5, rtol=1e-4)  # s_max^2 = dim
    ratios = eigenvalues[:, 1:] / eigenvalues[:, :-1]  # falling geometrically
    np.testing.assert_allclose(ratios, condition_number**0.25, rtol=2e-2)


def test_conditioned_problems_are_turned_at_random():
    problems = sample(quadratic(dim=3, condition_number=10.0), 500)
    assert float(jnp.abs(problems.w.mean(axis=0)).max()) < 0.2
    assert len(np.unique(np.asarray(problems.w[:, 0, 0]))) == 500


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("dim", 0),
        ("condition_number", 0.5),
        ("condition_number", float("nan")),
        ("start_deviation", -1.0),
    ],
)
def test_arguments_out_of_range_are_quoted(argument: str, value):
    with pytest.raises(ValueError, match=rf"^{argument}={value}"):
        quadratic(**{argument: value})
