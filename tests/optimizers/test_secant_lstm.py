import functools

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import learned_opt
from learned_opt.optimizers import secant_lstm
from learned_opt.optimizers.secant_lstm import _direction

KEY = jax.random.key(0)


def zeros(lopt):
    return jax.tree.map(jnp.zeros_like, lopt.init(jax.random.key(0)))


def walk(tx, gradient, x, num_steps, after=lambda u: u):
    """The points x_0 to x_n of an optimizer."""
    state, points = tx.init(x), [x]
    for _ in range(num_steps):
        updates, state = jax.jit(tx.update)(gradient(x), state, x)
        x = optax.apply_updates(x, after(updates))
        points.append(x)
    return np.stack(points), state


@pytest.mark.parametrize("num_pairs", [1, 3])
def test_direction_is_the_dense_bfgs_matrix_times_the_gradient(num_pairs: int):
    rng = np.random.default_rng(0)
    hessian = np.diag([1.0, 3.0, 5.0, 9.0])
    steps = rng.normal(size=(num_pairs, 4))
    changes, g, gamma = steps @ hessian, rng.normal(size=4), 0.3
    h = gamma * np.eye(4)
    for s, y in zip(steps[::-1], changes[::-1], strict=True):  # the newest first
        v = np.eye(4) - np.outer(y, s) / (s @ y)
        h = v.T @ h @ v + np.outer(s, s) / (s @ y)
    arrays = [[jnp.asarray(v, jnp.float32) for v in vs] for vs in (steps, changes)]
    np.testing.assert_allclose(
        _direction(jnp.asarray(g, jnp.float32), jnp.float32(gamma), *arrays), h @ g, rtol=1e-4, atol=1e-5
    )


def test_a_pair_of_zeros_is_none():
    g, zero = jnp.float32([1, 2]), jnp.zeros(2)
    np.testing.assert_allclose(_direction(g, jnp.float32(0.5), [zero], [zero]), [0.5, 1.0])


def test_one_curvature_is_solved_in_two_steps():
    """On 7 |x|^2 / 2 the first step tells the curvature, and the second is Newton's."""
    lopt = secant_lstm(hidden_sizes=(2,), memory=1, first_step=0.01)
    points, _ = walk(lopt.build(zeros(lopt)), lambda x: 7 * x, jnp.float32([1.0, -1.0]), 2)
    np.testing.assert_allclose(points[1], [0.99, -0.99], rtol=1e-5)
    np.testing.assert_allclose(points[2], 0, atol=1e-5)


def test_memory_makes_up_for_condition():
    """Two curvatures, a million apart: hopeless for gradient descent in 30 steps."""
    curvatures = jnp.float32([1.0, 1e6])
    lopt = secant_lstm(hidden_sizes=(2,), memory=2)
    points, _ = walk(lopt.build(zeros(lopt)), lambda x: curvatures * x, jnp.float32([1.0, 1.0]), 30)
    losses = 0.5 * np.sum(np.asarray(curvatures) * points**2, axis=1)
    assert losses[-1] < 1e-6 * losses[0]


@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_scale_of_the_loss_does_not_matter(scale: float):
    curvatures = jnp.float32([1.0, 5.0, 30.0])
    lopt = secant_lstm(hidden_sizes=(4,))
    tx, x = lopt.build(lopt.init(jax.random.key(0))), jnp.float32([1.0, -1.0, 0.5])
    plain, _ = walk(tx, lambda x: curvatures * x, x, 8)
    scaled, _ = walk(tx, lambda x: scale * curvatures * x, x, 8)
    np.testing.assert_allclose(scaled, plain, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["shipped", "untrained"])
@pytest.mark.parametrize("shape", [(), (4,), (2, 2)])
@hypothesis.given(exponent=st.integers(-96, 98))
@hypothesis.settings(deadline=None, max_examples=25, derandomize=True)
def test_scale_of_the_gradient_from_1e_30_to_1e30_does_not_matter(name, shape, exponent):
    """A scale that is a power of two changes no digit: the first updates are the same to the bit."""
    updates = follow(name, shape)
    np.testing.assert_array_equal(updates(jnp.float32(2.0**exponent)), updates(jnp.float32(1)))


@functools.cache
def follow(name, shape):
    lopt = secant_lstm(hidden_sizes=(4,))
    tx = lopt.build(lopt.init(KEY)) if name == "untrained" else learned_opt.pretrained("lstm-quadratic")
    curvatures = jax.random.uniform(KEY, shape, jnp.float32, 0.5, 2.0)

    @jax.jit
    def updates(scale):
        def step(carry, _):
            x, state = carry
            u, state = tx.update(scale * (curvatures * x), state, x)
            return (x + u, state), u

        x = jnp.ones(shape)
        return jax.lax.scan(step, (x, tx.init(x)), length=7)[1]

    return updates


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e26])
def test_nothing_breaks_after_convergence(scale: float):
    curvatures = jnp.float32([1.0, 3.0, 10.0, 0.3])
    tx = learned_opt.pretrained("lstm-quadratic")
    x = jnp.float32([1.0, -1.0, 0.5, 2.0])
    (x, state), points = jax.lax.scan(
        lambda carry, _: (moved := descend(tx, jnp.float32(scale) * curvatures, *carry), moved[0]),
        (x, tx.init(x)),
        length=400,
    )
    assert np.all(np.isfinite(points))
    chex.assert_tree_all_finite(state)
    np.testing.assert_allclose(x, 0, atol=1e-6)


def descend(tx, curvatures, x, state):
    updates, state = tx.update(curvatures * x, state, x)
    return x + updates, state


def test_a_factor_on_the_updates_is_seen_in_the_params():
    """Half of each Newton step halves the distance; taking the steps as whole would double gamma."""
    lopt = secant_lstm(hidden_sizes=(2,), memory=1)
    points, state = walk(
        lopt.build(zeros(lopt)), lambda x: 7 * x, jnp.float32([1.0]), 4, after=lambda u: 0.5 * u
    )
    np.testing.assert_allclose(state.step_size, 1 / 7, rtol=1e-4)
    np.testing.assert_allclose(points[2:] / points[1:-1], 0.5, rtol=1e-3)


def test_an_update_grows_no_more_than_it_may():
    """Along a slope that does not change but for noise, the curvature looks like none."""
    lengths = {}
    for limit in (None, 3.0):
        lopt = secant_lstm(hidden_sizes=(2,), first_step=0.01, max_growth=limit)
        grads = iter(jnp.float32([[1.0, 1.0], [0.999, 1.0], [0.998, 1.0], [0.997, 1.0]]))
        points, _ = walk(lopt.build(zeros(lopt)), lambda _, grads=grads: next(grads), jnp.zeros(2), 3)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        lengths[limit] = steps[1:] / steps[:-1]
    assert lengths[None].max() > 100
    np.testing.assert_allclose(lengths[3.0], 3, rtol=1e-4)


def test_where_the_curvature_is_negative_the_last_step_size_stands():
    lopt = secant_lstm(hidden_sizes=(2,), first_step=0.01)
    points, state = walk(lopt.build(zeros(lopt)), lambda x: -2 * x, jnp.float32([1.0]), 3)
    np.testing.assert_allclose(state.step_size, 0.01 / 2, rtol=1e-5)  # the first gradient is -2
    assert np.all(np.diff(points[:, 0]) > 0)  # downhill all the same


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"memory": 0}, "memory=0"),
        ({"first_step": 0.0}, "first_step"),
        ({"max_growth": 0.5}, "max_growth=0.5"),
    ],
)
def test_bad_arguments_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        secant_lstm(**arguments)
