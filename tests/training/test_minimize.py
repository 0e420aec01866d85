"""The plain training loop against what can be computed by hand, and against itself in pieces."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt.training import minimize

KEY = jax.random.key(0)


def loss(params, step):
    return jnp.mean(jnp.square(params - jax.random.normal(jax.random.fold_in(KEY, step), params.shape)))


def test_gradient_descent_by_hand():
    found = minimize(
        lambda x, step: x**2 / 2, jnp.float32(8), optax.sgd(0.5), num_steps=3, report=lambda x: 2 * x
    )
    assert float(found.params) == 1
    np.testing.assert_array_equal(found.losses, [32, 8, 2])
    np.testing.assert_array_equal(found.reports, [8, 4, 2])


def test_pieces_make_the_whole():
    tx = optax.adam(optax.cosine_decay_schedule(0.1, 7))
    whole = minimize(loss, jnp.zeros(3), tx, num_steps=7)
    first = minimize(loss, jnp.zeros(3), tx, num_steps=3)
    rest = minimize(loss, first.params, tx, num_steps=4, opt_state=first.opt_state, first_step=3)
    chex.assert_trees_all_equal(rest.params, whole.params)
    np.testing.assert_array_equal(jnp.append(first.losses, rest.losses), whole.losses)


def test_learning_rates_side_by_side():
    def run(rate):
        return minimize(loss, jnp.ones(3), optax.sgd(rate), num_steps=5).params

    rates = jnp.array([0.1, 0.2])
    alone = jnp.stack([run(rate) for rate in rates])
    np.testing.assert_allclose(jax.jit(jax.vmap(run))(rates), alone, rtol=1e-6)
