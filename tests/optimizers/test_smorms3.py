"""SMORMS3 against its published update rule."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.optimizers import smorms3


def published(gradients: np.ndarray, learning_rate: float) -> np.ndarray:
    """The rule as its author gives it, in float64; returns the parameter after each step, from 0."""
    eps, mem, g, g2, param, found = 1e-16, 1.0, 0.0, 0.0, 0.0, []
    for grad in gradients:
        r = 1 / (mem + 1)
        g = (1 - r) * g + r * grad
        g2 = (1 - r) * g2 + r * grad**2
        param -= grad * min(learning_rate, g * g / (g2 + eps)) / (np.sqrt(g2) + eps)
        mem = 1 + mem * (1 - g * g / (g2 + eps))
        found.append(param)
    return np.array(found)


@pytest.mark.parametrize("learning_rate", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize("mean", [0.0, 0.3, 3.0])
def test_smorms3_follows_the_published_rule(learning_rate, mean):
    rng = np.random.default_rng(0)
    gradients = rng.normal(mean, 1.0, (40, 5)).astype(np.float32)
    tx = smorms3(learning_rate)

    def step(carry, gradient):
        params, state = carry
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    params = jnp.zeros(5)
    _, found = jax.lax.scan(step, (params, tx.init(params)), gradients)
    expected = np.stack([published(column, learning_rate) for column in gradients.T.astype(np.float64)], 1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_first_step_by_hand():
    # r = 1/2, g = 3/2, s = 9/2, so the ratio is 1/2 and the step 3 min(0.1, 1/2) / sqrt(9/2).
    tx = smorms3(0.1)
    updates, state = tx.update(jnp.array([3.0]), tx.init(jnp.zeros(1)))
    np.testing.assert_allclose(updates, [-0.3 / np.sqrt(4.5)], rtol=1e-6)
    np.testing.assert_allclose(state.memory, [1.5], rtol=1e-6)


@pytest.mark.parametrize("gradient", [0.0, 1e-30, 1e-10, 1e10])
def test_extreme_gradients_give_finite_updates(gradient):
    tx = smorms3(0.1)
    state = tx.init(jnp.zeros(3))
    for _ in range(5):
        updates, state = tx.update(jnp.full(3, gradient), state)
    assert jnp.all(jnp.isfinite(updates))
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(state))
    assert jnp.all(state.memory >= 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_half_precision_is_float32_rounded(dtype):
    gradients = jnp.array([0.0, 1e-4, -3.0, 200.0])
    tx = smorms3(0.1)
    updates, state = tx.update(gradients.astype(dtype), tx.init(gradients.astype(dtype)))
    expected, _ = tx.update(gradients, tx.init(gradients))
    assert updates.dtype == dtype
    assert state.mean_square.dtype == jnp.float32
    np.testing.assert_allclose(updates.astype(jnp.float32), expected, rtol=1e-2)


def test_agreeing_gradients_shorten_the_memory():
    tx = smorms3(0.1)
    steady, noisy = tx.init(jnp.zeros(1)), tx.init(jnp.zeros(1))
    for i in range(30):
        _, steady = tx.update(jnp.ones(1), steady)
        _, noisy = tx.update(jnp.array([1.0 if i % 2 else -1.0]), noisy)
    assert float(steady.memory[0]) < 3 < 10 < float(noisy.memory[0])


def test_minimises_a_quadratic_and_keeps_dtypes():
    tx = smorms3(0.1)
    params = {"w": jnp.array([1.0, -2.0]), "b": jnp.array([0.5], jnp.bfloat16)}
    state = tx.init(params)
    step = jax.jit(tx.update)
    for _ in range(200):
        updates, state = step(params, state)  # the gradient of half the squared norm
        chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
        params = optax.apply_updates(params, updates)
    assert float(jnp.max(jnp.abs(params["w"]))) < 1e-2


@pytest.mark.parametrize(("name", "value"), [("learning_rate", 0.0), ("eps", -1.0)])
def test_bad_numbers_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        smorms3(**{name: value})
