"""Gradients that are zero at first, in between or for ever, as of low-rank adapters and dead units."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import learned_opt
from tests.conformance.under_test import OWN, build

NUM_ZEROS, NUM_STEPS = 5, 20

every_rule = pytest.mark.parametrize("name", [*OWN, *learned_opt.available()])


def rule(name: str) -> optax.GradientTransformationExtraArgs:
    return build(name) if name in OWN else learned_opt.pretrained(name)


@functools.cache
def follow(name: str):
    """Updates f32[T, ...] of a tree of params along a sequence of gradients."""
    tx = rule(name)

    def step(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        return (optax.apply_updates(params, updates), state), updates

    @jax.jit
    def updates(params, gradients):
        return jax.lax.scan(step, (params, tx.init(params)), gradients)[1]

    return updates


PARAMS = {"w": jnp.ones((2, 3))}
GRADIENTS = jax.random.normal(jax.random.key(1), (NUM_STEPS, 2, 3))


def size(updates):
    return float(np.sqrt(np.mean(np.square(updates))))


@every_rule
def test_coordinates_that_never_have_a_gradient_rest(name: str):
    gradients = GRADIENTS.at[:, 0, 1].set(0.0).at[:, :, 2].set(0.0)
    updates = follow(name)(PARAMS, {"w": gradients})["w"]
    resting = np.all(np.asarray(gradients) == 0, axis=0)
    assert np.all(np.asarray(updates)[:, resting] == 0)
    assert np.all(np.asarray(updates)[0, ~resting] != 0)


@every_rule
def test_tensors_that_never_have_a_gradient_rest(name: str):
    updates = follow(name)(PARAMS, {"w": jnp.zeros_like(GRADIENTS)})["w"]
    assert np.all(np.asarray(updates) == 0)


@every_rule
def test_first_step_is_of_the_usual_size_after_zeros(name: str):
    usual = follow(name)(PARAMS, {"w": GRADIENTS})["w"]
    late = jnp.concatenate([jnp.zeros_like(GRADIENTS)[:NUM_ZEROS], GRADIENTS[:-NUM_ZEROS]])
    updates = follow(name)(PARAMS, {"w": late})["w"]
    assert np.all(np.asarray(updates[:NUM_ZEROS]) == 0)
    assert 0.1 < size(updates[NUM_ZEROS]) / size(usual[0]) < 10
    assert np.abs(updates).max() < 10 * np.abs(usual).max()


@every_rule
def test_zeros_in_between_do_no_harm(name: str):
    usual = follow(name)(PARAMS, {"w": GRADIENTS})["w"]
    updates = follow(name)(PARAMS, {"w": GRADIENTS.at[5:10].set(0.0)})["w"]
    assert np.all(np.isfinite(updates))
    assert np.abs(updates).max() < 10 * np.abs(usual).max()


@every_rule
def test_product_of_which_one_factor_starts_at_zero(name: str):
    """The gradient of `a` is zero until `b` has moved, as in a low-rank adapter."""
    tx, params = rule(name), {"a": jnp.ones(3), "b": jnp.zeros(3)}

    def loss(p):
        return 0.05 * jnp.sum(jnp.square(p["a"] * p["b"] - jnp.arange(3.0)))

    def step(carry, _):
        params, state = carry
        value, grad = jax.value_and_grad(loss)(params)
        updates, state = tx.update(grad, state, params)
        return (optax.apply_updates(params, updates), state), value

    losses = jax.jit(lambda p: jax.lax.scan(step, (p, tx.init(p)), length=50)[1])(params)
    assert np.all(np.isfinite(losses))
    assert losses[-1] < 10 * losses[0]
    if name == "lstm-quadratic":
        assert losses[-1] < 1e-3
