"""The arithmetic of the MLP rule, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.optimizers import mlp_rule
from learned_opt.optimizers.mlp import _inputs, _spread

KEY = jax.random.key(0)


def silent(lopt, direction: float, magnitude: float):
    """Theta of zeros but for the biases of the last layer: the network says the same whatever it sees."""
    theta = jax.tree.map(jnp.zeros_like, lopt.init(KEY))
    (last,) = (name for name, layer in theta.items() if layer["w"].shape[1] == 2)
    return theta | {last: {**theta[last], "b": jnp.float32([direction, magnitude])}}


def test_update_is_direction_times_exponential_of_magnitude():
    lopt = mlp_rule(output_scale=0.01, magnitude_scale=0.5)
    tx, params = lopt.build(silent(lopt, -3.0, 2.0)), jnp.ones((2, 3))
    updates, _ = tx.update(params, tx.init(params))
    np.testing.assert_allclose(updates, -0.03 * np.exp(1.0), rtol=1e-5)
    bounded = lopt.build(silent(lopt, 1.0, 1e6))
    np.testing.assert_allclose(bounded.update(params, bounded.init(params))[0], 0.01 * np.exp(10), rtol=1e-4)


def test_moments_by_hand():
    lopt = mlp_rule(decays=(0.5, 0.9), second_decay=0.75)
    tx, params = lopt.build(lopt.init(KEY)), {"w": jnp.zeros((2, 3)), "b": jnp.zeros(2), "s": jnp.zeros(())}
    g = {"w": jnp.float32([[1, 2, 3], [-4, 5, 6]]), "b": jnp.float32([2, -1]), "s": jnp.float32(3)}
    state = tx.init(params)
    for _ in range(2):
        _, state = tx.update(g, state)
    # After two equal gradients a mean of decay b is 1 - b^2 of the way.
    ways = np.float32([0.75, 0.19])
    np.testing.assert_allclose(state.mu["w"], g["w"][..., None] * ways[None, None], rtol=1e-5)
    np.testing.assert_allclose(state.nu["w"], np.square(g["w"]) * (1 - 0.75**2), rtol=1e-5)
    squares = np.square(np.asarray(g["w"]))
    np.testing.assert_allclose(state.row["w"], squares.mean(1)[:, None] * ways[None], rtol=1e-5)
    np.testing.assert_allclose(state.col["w"], squares.mean(0)[:, None] * ways[None], rtol=1e-5)
    for moments in (state.row, state.col):  # nothing to factor
        np.testing.assert_allclose(moments["b"], np.float32([4, 1])[:, None] * ways[None], rtol=1e-5)
        np.testing.assert_allclose(moments["s"], 9 * ways, rtol=1e-5)


def test_factored_moments_of_rank_one_are_exact():
    """The factor then takes every gradient to size 1, in each matrix of a stack by itself."""
    a, b = np.float32([1, 2, 4]), np.float32([3, 0.5])
    squares = np.stack([np.outer(a, b), 5 * np.outer(b[:1].repeat(3), a[:2])]) ** 2
    row, col = jnp.float32(squares.mean(2)[..., None]), jnp.float32(squares.mean(1)[..., None])
    *_, factor = _spread(row, col, ndim=3)
    np.testing.assert_allclose(factor[..., 0] * np.sqrt(squares), 1, rtol=2e-2)


def test_inputs_are_normalised_over_the_tensor():
    keys = jax.random.split(KEY, 4)
    g, nu = jax.random.normal(keys[0], (5, 4)), jnp.square(jax.random.normal(keys[1], (5, 4)))
    mu = jax.random.normal(keys[2], (5, 4, 2))
    moments = jnp.square(jax.random.normal(keys[3], (5, 4, 2)))
    z = _inputs(g, mu, nu, moments, moments, moments)
    assert z.shape == (5, 4, 3 + 8 * 2)
    np.testing.assert_allclose(jnp.mean(jnp.square(z), (0, 1)), 1, rtol=1e-3)
    np.testing.assert_allclose(z[..., 0], g / jnp.sqrt(jnp.mean(jnp.square(g))), rtol=1e-4)


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
    state = tx.init(jnp.zeros(3))
    early, _ = tx.update(jnp.ones(3), state)
    late, _ = tx.update(jnp.ones(3), state._replace(count=jnp.int32(5000)))
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
