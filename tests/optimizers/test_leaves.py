import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.optimizers import leaves

PARAMS = {"w": jnp.ones((3, 2), jnp.bfloat16)}


def test_states_have_the_shapes_of_the_params():
    assert leaves.zeros_like(PARAMS, (5,))["w"].shape == (3, 2, 5)
    layers = leaves.layers_like(PARAMS, (5, 4))
    assert [layer["w"].shape for layer in layers] == [(3, 2, 5), (3, 2, 4)]
    assert leaves.coordinates(layers[0])["w"].shape == (3, 2)
    copies = leaves.copies_like(PARAMS)
    assert copies["w"].dtype == jnp.float32
    assert np.all(copies["w"] == 1)


def test_gradients_that_are_not_finite_are_zero():
    g, finite = leaves.finite_gradient(jnp.array([jnp.nan, jnp.inf, 1e20, 2.0]))
    np.testing.assert_array_equal(g, jnp.float32([0, 0, 1e15, 2]))
    assert finite.tolist() == [False, False, True, True]


def test_coordinates_are_touched_by_a_gradient_or_their_memory():
    g, memory = jnp.array([0.0, 0.0, 1.0]), jnp.array([[0.0, 0.0], [0.0, 0.5], [0.0, 0.0]])
    assert leaves.touched(g, memory).tolist() == [False, True, True]
    assert leaves.touched(g).tolist() == [False, False, True]


def test_state_is_kept_where_the_gradient_was_not_finite():
    finite = jnp.array([True, False])
    new, old = jnp.ones((2, 3)), jnp.zeros((2, 3), jnp.bfloat16)
    kept = leaves.keep_unless(finite, new, old)
    assert kept.dtype == old.dtype
    assert kept[:, 0].tolist() == [1, 0]
    assert [k[0, 0].item() for k in leaves.keep_all_unless(finite, [new, 2 * new], [old, old])] == [1, 2]


def test_a_tree_for_each_result():
    assert leaves.map_unzipped(lambda a, b: (a + b, a * b), {"w": 2}, {"w": 3}) == [{"w": 5}, {"w": 6}]
    assert leaves.map_unzipped(lambda a, b: (a, b), {}, {}) == [{}, {}]


def test_sequences_are_cut():
    assert leaves.split("abcd", (2, 0, 1, 1)) == [("a", "b"), (), ("c",), ("d",)]


def test_units_are_powers_of_two():
    assert [float(leaves.unit(jnp.array([0.0, x]))) for x in (5.0, -0.3, 0.0)] == [4.0, 0.25, 1.0]


@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30])
def test_sizes_and_angles_of_tensors_of_any_scale(size: float):
    v = size * jnp.array([3.0, -3.0])
    assert float(leaves.root_mean_square(v)) == pytest.approx(3 * size, rel=1e-6)
    assert float(leaves.cosine(v, jnp.array([1e30, 0.0]))) == pytest.approx(0.5**0.5, rel=1e-6)
    assert leaves.cosine(v, jnp.zeros(2)) == 0
    for gradient in jax.grad(leaves.cosine, (0, 1))(jnp.zeros(2), jnp.zeros(2)):
        np.testing.assert_array_equal(gradient, 0)


def test_zeros_are_made_positive():
    np.testing.assert_array_equal(leaves.positive(jnp.array([0.0, 2.0])), jnp.float32([1e-30, 2.0]))
    assert float(leaves.root_mean_square(jnp.zeros(2))) == pytest.approx(1e-15)
