"""Global averaging cells: one step written out, and what coordinates can and cannot know of each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.optimizers import averaging_lstm, lstm

LOPT = averaging_lstm((3, 2), averaging_cells=1)
THETA = LOPT.init(jax.random.key(0))
PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.ones(3)}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def layer(theta, z, h, c):
    gates = np.concatenate([z, h], axis=1) @ np.asarray(theta["w"]) + np.asarray(theta["b"])
    i, g, f, o = np.split(gates, 4, axis=1)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    h[:, 0] = h[:, 0].mean()
    return h, c


def test_two_steps_are_their_equations():
    """All seven coordinates of both tensors as the rows of one matrix."""
    tx = LOPT.build(THETA)
    state, first, second = tx.init(PARAMS), (np.zeros((7, 3)),) * 2, (np.zeros((7, 2)),) * 2
    for seed in range(2):
        g = np.array(jax.random.normal(jax.random.key(seed), (7,)))
        gradients = {"b": jnp.array(g[:3]), "w": jnp.array(g[3:]).reshape(2, 2)}
        updates, state = jax.jit(tx.update)(gradients, state)
        z = np.stack([np.log(np.abs(g)) / 10, np.sign(g)], axis=1)
        first = layer(THETA["lstm/linear"], z, *first)
        second = layer(THETA["lstm_1/linear"], first[0], *second)
        expected = 0.1 * second[0] @ np.asarray(THETA["linear"]["w"])[:, 0]
        found = np.concatenate([updates["b"], updates["w"].ravel()])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-8)


def test_resting_coordinates_are_left_out_of_the_mean():
    tx = LOPT.build(THETA)
    alone, _ = tx.update({"w": jnp.full(1, 2.0)}, tx.init({"w": jnp.ones(1)}))
    gradients = {"w": jnp.array([2.0, 0.0, jnp.nan])}
    among_others, _ = tx.update(gradients, tx.init({"w": jnp.ones(3)}))
    np.testing.assert_allclose(among_others["w"], [alone["w"][0], 0, 0], rtol=1e-5)


def test_a_plain_lstm_does_not_know_of_others_and_this_one_does():
    for lopt, same in ((lstm((3, 2)), True), (LOPT, False)):
        tx = lopt.build(THETA)
        found = []
        for other in (1.0, -100.0):
            updates, _ = tx.update({"w": jnp.full((2, 2), other), "b": jnp.ones(3)}, tx.init(PARAMS))
            found.append(updates["b"])
        assert np.array_equal(*found) == same


def test_more_averaging_cells_than_cells_are_refused():
    with pytest.raises(ValueError, match="averaging_cells=3: give 1 to 2"):
        averaging_lstm((3, 2), averaging_cells=3)


@pytest.mark.parametrize("inputs", ["log_sign", "normalized", "normalized_and_size"])
def test_a_coordinate_that_is_alone_is_updated_as_by_a_plain_lstm(inputs: str):
    plain, own = (
        make((3, 2), inputs=inputs) for make in (lstm, functools.partial(averaging_lstm, averaging_cells=1))
    )
    theta = plain.init(jax.random.key(1))
    txs = [lopt.build(theta) for lopt in (plain, own)]
    states = [tx.init(jnp.ones(())) for tx in txs]
    for g in (2.0, -0.3):
        found = [tx.update(jnp.float32(g), state) for tx, state in zip(txs, states, strict=True)]
        states = [state for _, state in found]
        np.testing.assert_allclose(*[update for update, _ in found], rtol=1e-5)
    np.testing.assert_allclose(*[jnp.asarray(state.nu) for state in states], rtol=1e-6)
