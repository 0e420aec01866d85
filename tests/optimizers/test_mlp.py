"""The arithmetic of the MLP rule, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.optimizers import mlp_rule
from learned_opt.optimizers.mlp import _first_layer, _inputs, _spread

KEY = jax.random.key(0)


def silent(lopt, direction: float, magnitude: float):
    """Theta of zeros but for the biases of the last layer: the network says the same whatever it sees."""
    theta = jax.tree.map(jnp.zeros_like, lopt.init(KEY))
    (last,) = (name for name, layer in theta.items() if layer["w"].shape[1] == 2)
    return theta | {last: {**theta[last], "b": jnp.float32([direction, magnitude])}}


def test_update_is_direction_times_exponential_of_magnitude():
    lopt = mlp_rule(output_scale=0.01, magnitude_scale=0.5)
    tx, params = lopt.build(silent(lopt, -3.0, 2.0)), jnp.ones((2, 3))
    updates, _ = jax.jit(tx.update)(params, tx.init(params))
    np.testing.assert_allclose(updates, -0.03 * np.exp(1.0), rtol=1e-5)
    bounded = lopt.build(silent(lopt, 1.0, 1e6))
    updates, _ = jax.jit(bounded.update)(params, bounded.init(params))
    np.testing.assert_allclose(updates, 0.01 * np.exp(10), rtol=1e-4)


def test_moments_by_hand():
    lopt = mlp_rule(decays=(0.5, 0.9), second_decay=0.75)
    tx, params = lopt.build(lopt.init(KEY)), {"w": jnp.zeros((2, 3)), "b": jnp.zeros(2), "s": jnp.zeros(())}
    g = {"w": jnp.float32([[1, 2, 3], [-4, 5, 6]]), "b": jnp.float32([2, -1]), "s": jnp.float32(3)}
    state, update = tx.init(params), jax.jit(tx.update)
    for _ in range(2):
        _, state = update(g, state)
    np.testing.assert_allclose(state.nu["w"], np.square(g["w"]) * (1 - 0.75**2), rtol=1e-5)
    squares = np.square(np.asarray(g["w"]))
    # After two equal gradients a mean of decay b is 1 - b^2 of the way.
    for way, mu, row, col in zip((0.75, 0.19), state.mu, state.row, state.col, strict=True):
        np.testing.assert_allclose(mu["w"], way * g["w"], rtol=1e-5)
        np.testing.assert_allclose(row["w"], way * squares.mean(1), rtol=1e-5)
        np.testing.assert_allclose(col["w"], way * squares.mean(0), rtol=1e-5)
        for moments in (row, col):  # nothing to factor
            np.testing.assert_allclose(moments["b"], way * np.float32([4, 1]), rtol=1e-5)
            np.testing.assert_allclose(moments["s"], way * 9, rtol=1e-5)


def inputs(g, mu, nu, row, col):
    """The inputs, f32[num_inputs, ...], all in the shape of the gradient."""
    groups = _inputs(g, mu, nu, row, col)
    return np.stack([_spread(x, axis, g) for values, axis in groups for x in values])


def test_factored_moments_of_rank_one_are_exact():
    """The factor then takes every gradient to size 1, in each matrix of a stack by itself."""
    a, b = np.float32([1, 2, 4]), np.float32([3, 0.5])
    g = np.stack([np.outer(a, b), 5 * np.outer(b[:1].repeat(3), a[:2])])
    row, col = np.square(g).mean(2), np.square(g).mean(1)
    adapted = inputs(jnp.float32(g), [jnp.float32(g)], jnp.square(g), [row], [col])[5]
    np.testing.assert_allclose(adapted, 1, rtol=2e-2)


@pytest.mark.parametrize("shape", [(5, 4), (20,)])
def test_inputs_are_normalised_over_the_tensor(shape):
    keys = jax.random.split(KEY, 5)
    g, nu = jax.random.normal(keys[0], shape), jnp.square(jax.random.normal(keys[1], shape))
    mu = list(jax.random.normal(keys[2], (2, *shape)))
    row, col = (
        list(jnp.square(jax.random.normal(key, (2, *(rest if len(shape) > 1 else shape)))))
        for key, rest in ((keys[3], shape[:1]), (keys[4], shape[1:]))
    )
    z = inputs(g, mu, nu, row, col)
    assert z.shape == (3 + 8 * 2, *shape)
    np.testing.assert_allclose(np.square(z).reshape(len(z), -1).mean(1), 1, rtol=1e-3)
    np.testing.assert_allclose(z[0], g / jnp.sqrt(jnp.mean(jnp.square(g))), rtol=1e-4)
    np.testing.assert_allclose(z[3], nu / jnp.sqrt(jnp.mean(jnp.square(nu))), rtol=1e-4)


@pytest.mark.parametrize("num_units", [5, 50])  # written out, and as a product
def test_first_layer_is_a_product_with_all_inputs(num_units: int):
    shape, keys = (4, 3), jax.random.split(KEY, 3)
    groups = [
        (list(jax.random.normal(keys[0], (2, *shape))), None),
        (list(jax.random.normal(keys[1], (3, 4))), -1),
        (list(jax.random.normal(keys[2], (1, 3))), -2),
    ]
    weights, bias = jax.random.normal(KEY, (6, num_units)), jnp.arange(float(num_units))
    whole = np.stack([_spread(x, axis, groups[0][0][0]) for values, axis in groups for x in values], axis=-1)
    units = _first_layer(weights, bias, groups)
    expected = whole @ np.asarray(weights) + np.asarray(bias)
    np.testing.assert_allclose(np.stack(units, axis=-1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-12, 1e6])
def test_blind_to_the_scale_of_the_loss(scale: float):
    lopt = mlp_rule()
    theta = jax.tree.map(lambda x: 3 * x, lopt.init(KEY))
    tx, params = lopt.build(theta), {"w": jnp.zeros((4, 3)), "b": jnp.zeros(3)}
    states, update = [tx.init(params)] * 2, jax.jit(tx.update)
    for key in jax.random.split(KEY, 3):
        keys = jax.random.split(key)
        g = {"w": jax.random.normal(keys[0], (4, 3)), "b": jax.random.normal(keys[1], (3,))}
        found = []
        for i, factor in enumerate((1.0, scale)):
            updates, states[i] = update(jax.tree.map(lambda x, f=factor: f * x, g), states[i])
            found.append(updates)
        jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, rtol=1e-2, atol=1e-6), *found)
    assert np.abs(found[0]["w"]).max() > 1e-4


def test_progress_tells_early_from_late():
    lopt = mlp_rule()
    tx = lopt.build(lopt.init(KEY))
    state, update = tx.init(jnp.zeros(3)), jax.jit(tx.update)
    early, _ = update(jnp.ones(3), state)
    late, _ = update(jnp.ones(3), state._replace(count=jnp.int32(5000)))
    assert np.all(np.abs(late - early) > 1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_sizes": ()}, r"hidden_sizes=\(\): give at least one layer"),
        ({"hidden_sizes": (4, 0)}, r"hidden_sizes=\(4, 0\)"),
        ({"decays": ()}, r"decays=\(\)"),
        ({"decays": (0.9, 1.0)}, r"decays=\(0.9, 1.0\).*give decay rates in \[0, 1\)"),
        ({"second_decay": -0.1}, "second_decay=-0.1"),
        ({"output_scale": 0.0}, "output_scale=0.0: it must be positive"),
        ({"magnitude_scale": -1.0}, "magnitude_scale=-1.0: it must be positive"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message: str):
    with pytest.raises(ValueError, match=message):
        mlp_rule(**arguments)
