import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.core import soft_threshold
from learned_opt.core.types import LearnedOptimizer
from learned_opt.optimizers import dnc, proximal_rule

A = jnp.float32([[1.0, 0.5, 0.0], [0.0, 0.8, 0.6]])
Y = jnp.float32([1.0, -0.5])
SGD = LearnedOptimizer(lambda key: 0.1, lambda theta, num_steps=None: optax.sgd(theta))


def gradient(x):
    return A.T @ (A @ x - Y)


def prox(x, step_size):
    return soft_threshold(x, 0.1 * step_size)


def ista(x, num_steps, step_size=0.5):
    for _ in range(num_steps):
        x = prox(x - step_size * gradient(x), step_size)
    return x


def walk(lopt, theta, x, num_steps):
    tx = lopt.build(theta)
    state = tx.init(x)
    for _ in range(num_steps):
        updates, state = tx.update(gradient(x), state, x, prox=prox)
        x = x + updates
    return x


def test_meta_parameters_of_zero_are_ista():
    lopt = proximal_rule(dnc(hidden_size=2), step_size=0.5)
    theta = jax.tree.map(jnp.zeros_like, lopt.init(jax.random.key(0)))
    np.testing.assert_allclose(walk(lopt, theta, jnp.zeros(3), 5), ista(jnp.zeros(3), 5), atol=1e-6)


def test_step_by_hand():
    lopt = proximal_rule(SGD, step_size=0.5)
    x = jnp.float32([2.0, 0.0])
    tx = lopt.build(0.1)
    updates, _ = tx.update(jnp.float32([1.0, 0.5]), tx.init(x), x, prox=soft_threshold)
    # G = (2 - soft(2 - 0.5, 0.5)) / 0.5 = 2, and 0 in the other; then soft(2 - 0.5 - 0.1 * 2, 0.5) - 2
    np.testing.assert_allclose(updates, [-1.2, 0.0], rtol=1e-6)
    assert float(updates[1]) == 0  # exactly


@pytest.mark.parametrize("theta", [0.0, 0.05, 0.2])
def test_it_goes_to_the_optimum_of_the_whole(theta: float):
    end = walk(proximal_rule(SGD, step_size=0.3), theta, jnp.zeros(3), 300)
    np.testing.assert_allclose(end, ista(jnp.zeros(3), 3000), atol=1e-5)


def test_zeros_that_belong_there_stay_zeros():
    """Whatever theta is: the mapping of such a coordinate has always been zero, and the DNC rests."""
    lopt = proximal_rule(dnc(hidden_size=4))
    theta = jax.tree.map(lambda leaf: leaf + 0.3, lopt.init(jax.random.key(0)))
    x, tx = jnp.zeros(3), lopt.build(theta)
    state = tx.init(x)
    for _ in range(3):
        updates, state = tx.update(jnp.float32([1.0, 0.05, -0.05]), state, x, prox=prox)
        x = x + updates
    assert x[0] != 0
    np.testing.assert_array_equal(x[1:], 0)


def test_bad_arguments():
    with pytest.raises(ValueError, match="step_size=0"):
        proximal_rule(SGD, step_size=0)
    tx = proximal_rule(SGD).build(0.1)
    with pytest.raises(ValueError, match="needs the params"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)), prox=prox)
