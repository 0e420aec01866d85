import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.core import block_soft_threshold, soft_threshold
from learned_opt.optimizers import proximal_lstm

A = jnp.float32([[1.0, 0.5, 0.0], [0.0, 0.8, 0.6]])
Y = jnp.float32([1.0, -0.5])


def gradient(x):
    return A.T @ (A @ x - Y)


def prox(x, step_size):
    return soft_threshold(x, 0.1 * step_size)


def walk(tx, x, num_steps, prox=prox):
    state, points = tx.init(x), [x]
    for _ in range(num_steps):
        updates, state = tx.update(gradient(x), state, x, prox=prox)
        x = x + updates
        points.append(x)
    return jnp.stack(points)


def zeros(lopt):
    return jax.tree.map(jnp.zeros_like, lopt.init(jax.random.key(0)))


def test_meta_parameters_of_zero_are_ista():
    lopt = proximal_lstm(hidden_sizes=(2,), step_size=0.5)
    x = jnp.zeros(3)
    points = walk(lopt.build(zeros(lopt)), x, 5)
    for point in points[1:]:
        x = prox(x - 0.5 * gradient(x), 0.5)
        np.testing.assert_allclose(point, x, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tied_an_optimum_is_where_it_stays(seed: int):
    """Whatever theta is."""
    x = jnp.zeros(3)
    for _ in range(3000):
        x = prox(x - 0.5 * gradient(x), 0.5)
    lopt = proximal_lstm(hidden_sizes=(4,), step_size=0.3)
    keys = jax.random.split(jax.random.key(seed), 3)
    theta = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(keys[0], leaf.shape), lopt.init(keys[1]))
    np.testing.assert_allclose(walk(lopt.build(theta), x, 3)[-1], x, atol=1e-5)


def test_tied_the_optimum_of_a_group_is_where_it_stays():
    """Though the step sizes of its coordinates differ."""

    def group_prox(x, step_size):
        return block_soft_threshold(x, 0.1 * step_size, 3)

    x = jnp.zeros(3)
    for _ in range(3000):
        x = group_prox(x - 0.5 * gradient(x), 0.5)
    assert jnp.all(x != 0)
    lopt = proximal_lstm(hidden_sizes=(4,), step_size=0.3)
    keys = jax.random.split(jax.random.key(0), 2)
    theta = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(keys[0], leaf.shape), lopt.init(keys[1]))
    np.testing.assert_allclose(walk(lopt.build(theta), x, 3, prox=group_prox)[-1], x, atol=1e-5)


@pytest.mark.parametrize(("curvature", "settles"), [(2.0, True), (2.2, True), (1e-5, False)])
def test_steps_that_turn_and_become_no_shorter_are_halved(curvature: float, settles: bool):
    """Gradient steps of size 1 on a parabola turn above a curvature of 1, and do not shrink from 2 on."""
    lopt = proximal_lstm(hidden_sizes=(2,), step_size=1.0)
    tx = lopt.build(zeros(lopt))

    def step(carry, _):
        x, state = carry
        updates, state = tx.update(curvature * x, state, x)
        return (x + updates, state), None

    x = jnp.float32([1.0])
    (x, state), _ = jax.jit(lambda x: jax.lax.scan(step, (x, tx.init(x)), length=400))(x)
    assert (state.halvings[0] > 0) == settles
    np.testing.assert_allclose(x, 0.0 if settles else (1 - curvature) ** 400, rtol=1e-4, atol=1e-6)


def test_free_thresholds_follow_the_gradient():
    """At meta-parameters of zero the operator's step size is the root mean square of the gradient."""
    lopt, seen = proximal_lstm(hidden_sizes=(2,), tied=False), []

    def spy(x, step_size):
        seen.append(step_size)
        return x

    walk(lopt.build(zeros(lopt)), jnp.float32([0.3, 0.2, -0.1]), 1, prox=spy)
    size = np.sqrt(np.mean(np.square(gradient(jnp.float32([0.3, 0.2, -0.1])))))
    np.testing.assert_allclose(seen[0], np.full(3, size), rtol=1e-6)


def test_scale_of_codes_and_measurements_does_not_matter():
    """A problem whose y, x and threshold are 100 times as large has its points 100 times as large."""
    lopt = proximal_lstm(hidden_sizes=(4,), tied=False)
    tx = lopt.build(lopt.init(jax.random.key(3)))

    def points(scale):
        x = jnp.zeros(3)
        state, found = tx.init(x), []
        for _ in range(6):
            updates, state = tx.update(A.T @ (A @ x - scale * Y), state, x, prox=soft_threshold)
            x = x + updates
            found.append(x / scale)
        return jnp.stack(found)

    np.testing.assert_allclose(points(100.0), points(1.0), rtol=1e-4, atol=1e-6)


def test_what_the_operator_sets_to_zero_is_zero():
    lopt = proximal_lstm(hidden_sizes=(2,), step_size=0.5)

    def group_prox(x, step_size):
        return block_soft_threshold(x, 10.0 * step_size, 3)

    points = walk(lopt.build(zeros(lopt)), jnp.float32([0.1, 0.7, -0.3]), 1, prox=group_prox)
    assert points[1].tolist() == [0.0, 0.0, 0.0]


def test_bad_step_size_is_refused():
    with pytest.raises(ValueError, match=r"step_size=0\.0"):
        proximal_lstm(step_size=0.0)
