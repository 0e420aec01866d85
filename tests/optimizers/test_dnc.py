"""The DNC optimizer against its own parts, put together by hand for a single memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.networks import access, empty_memory, interface
from learned_opt.optimizers import dnc
from learned_opt.optimizers.inputs import log_sign

SIZES = {"hidden_size": 3, "num_slots": 4, "word_size": 2, "num_reads": 2}
THETA = jax.tree.map(lambda x: x + 0.1, dnc(**SIZES).init(jax.random.key(0)))
GRADIENTS = jax.random.normal(jax.random.key(1), (3, 2))


def controller(z, h, c):
    w, b = (np.asarray(THETA["controller"][name]) for name in "wb")
    gates = np.concatenate([z, h]) @ w + b
    i, g, f, o = np.split(gates, 4)
    c = c / (1 + np.exp(-f - 1)) + np.tanh(g) / (1 + np.exp(-i))
    return np.tanh(c) / (1 + np.exp(-o)), c


@pytest.mark.parametrize("memory", ["coordinate", "tensor"])
def test_steps_of_two_coordinates_are_their_equations(memory: str):
    h, c = np.zeros((2, 3)), np.zeros((2, 3))
    memories, reads = [empty_memory(4, 2, 2)] * 2, np.zeros((2, 4))
    expected = []
    for g in GRADIENTS:
        z = np.concatenate([log_sign(g), reads], axis=1)
        h, c = map(np.stack, zip(*map(controller, z, h, c), strict=True))
        told = h if memory == "coordinate" else np.tile(h.mean(0), (2, 1))
        said = told @ np.asarray(THETA["interface"]["w"]) + np.asarray(THETA["interface"]["b"])
        steps = [
            jax.jit(access)(m, interface(jnp.asarray(s, jnp.float32), word_size=2, num_reads=2))
            for m, s in zip(memories, said, strict=True)
        ]
        reads, memories = np.stack([np.ravel(r) for r, _ in steps]), [m for _, m in steps]
        out = np.concatenate([h, reads], axis=1) @ np.asarray(THETA["linear"]["w"])[:, 0]
        expected.append(0.1 * (out + float(THETA["linear"]["b"][0])))

    tx = dnc(memory, **SIZES).build(THETA)
    state, found = tx.init(jnp.ones(2)), []
    for g in GRADIENTS:
        updates, state = jax.jit(tx.update)(g, state)
        found.append(updates)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_coordinates_hear_of_each_other_through_their_tensors_memory_alone():
    for memory, same in (("coordinate", True), ("tensor", False)):
        tx = dnc(memory, **SIZES).build(THETA)
        found = []
        for other in (1.0, -100.0):
            params = {"w": jnp.ones(2), "b": jnp.ones(2)}
            gradients = {"w": jnp.array([1.0, other]), "b": jnp.ones(2)}
            found.append(tx.update(gradients, tx.init(params))[0])
        assert np.array_equal(found[0]["w"][0], found[1]["w"][0]) == same
        np.testing.assert_array_equal(found[0]["b"], found[1]["b"])


def test_a_tensor_at_rest_keeps_its_memory():
    tx = dnc("tensor", **SIZES).build(THETA)
    state = tx.init(jnp.ones(2))
    _, after = tx.update(jnp.zeros(2), state)
    np.testing.assert_array_equal(after.memory.usage, 0)
    np.testing.assert_array_equal(after.memory.write_weights, 0)


def test_normalized_inputs_hide_the_scale_and_bound_the_update():
    lopt = dnc(**SIZES, inputs="normalized", output_scale=0.5)
    tx = lopt.build(jax.tree.map(lambda x: 100 * x, lopt.init(jax.random.key(0))))
    state = small_state = tx.init(jnp.ones(2))
    for g in GRADIENTS:
        updates, state = jax.jit(tx.update)(g, state)
        small, small_state = jax.jit(tx.update)(1e-3 * g, small_state)
        np.testing.assert_allclose(updates, small, rtol=1e-2)
        assert jnp.max(jnp.abs(updates)) <= 0.5
    np.testing.assert_allclose(state.mu, 1e3 * small_state.mu, rtol=1e-4)


def test_other_kinds_of_memory_are_refused():
    with pytest.raises(ValueError, match="memory='row': choose 'coordinate' or 'tensor'"):
        dnc("row")  # pyright: ignore[reportArgumentType]
