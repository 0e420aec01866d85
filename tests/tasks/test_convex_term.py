import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.tasks import classification, convex_term, quadratic

KEY = jax.random.key(0)


def test_the_term_is_added_and_pulls_at_its_own_coordinates_alone():
    plain = quadratic(dim=2, start_deviation=1.0)
    task = convex_term(plain, dim=4, weight=3.0)
    problem = task.sample(KEY)
    params = task.init(KEY, problem)
    distance = params.convex - problem.convex
    term = 3 * jnp.mean(jnp.square(distance))
    np.testing.assert_allclose(
        task.loss(params, problem, ()), plain.loss(params.given, problem.given, ()) + term, rtol=1e-6
    )
    grad = jax.grad(task.loss)(params, problem, ())
    np.testing.assert_allclose(grad.convex, 3 * 2 * distance / 4, rtol=1e-5)
    np.testing.assert_allclose(grad.given, jax.grad(plain.loss)(params.given, problem.given, ()), rtol=1e-5)


def test_start_and_minimum_are_uniform_and_apart():
    task = convex_term(quadratic(dim=2), dim=50)
    problem = task.sample(KEY)
    params = task.init(jax.random.key(1), problem)
    for values in (problem.convex, params.convex):
        assert -1 <= values.min() < -0.8
        assert 0.8 < values.max() <= 1
    assert not np.any(np.isclose(problem.convex, params.convex))


def test_the_rest_is_the_given_tasks():
    plain = classification("digits", hidden_sizes=(3,), batch_size=4)
    task = convex_term(plain)
    assert task.data is plain.data
    problem = task.sample(KEY)
    params = task.init(KEY, problem)
    ours, theirs = (
        t.metrics(p, q, t.data) for t, p, q in ((task, params, problem), (plain, params.given, problem.given))
    )
    assert ours == theirs


def test_smooth_part_and_proximal_operator():
    plain = quadratic(dim=2)._replace(
        smooth=lambda x, problem, batch: jnp.sum(x), prox=lambda x, step_size: x - step_size
    )
    task = convex_term(plain, dim=3)
    problem = task.sample(KEY)
    params = task.init(KEY, problem)
    moved = task.prox(params, 0.5)
    np.testing.assert_array_equal(moved.convex, params.convex)
    np.testing.assert_allclose(moved.given, params.given - 0.5)
    expected = jnp.sum(params.given) + jnp.mean(jnp.square(params.convex - problem.convex))
    np.testing.assert_allclose(task.smooth(params, problem, ()), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"), [({"dim": 0}, "dim=0"), ({"weight": 0.0}, "weight=0.0: it must be positive")]
)
def test_arguments_out_of_range_are_refused(arguments, message: str):
    with pytest.raises(ValueError, match=message):
        convex_term(quadratic(dim=2), **arguments)
