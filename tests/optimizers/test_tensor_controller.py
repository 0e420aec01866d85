"""The tensor controller: blind to scale, at rest without gradients, bounded, and as cheap as it says."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.optimizers import diagnose, tensor_controller
from learned_opt.optimizers.tensor_controller import FEATURES, OUTPUTS

KEY = jax.random.key(0)
SHAPES = {"w": (6, 4), "k": (3, 3, 2, 5), "b": (4,), "s": ()}


@functools.cache
def transformation(num_steps=None, seed=None, **kwargs):
    lopt = tensor_controller(**kwargs)
    theta = lopt.init(KEY)
    if seed is not None:
        theta = jax.tree.map(lambda x: 0.2 * jax.random.normal(jax.random.key(seed), x.shape), theta)
    return lopt.build(theta, num_steps=num_steps)


def silent_except(output: str, feature: str, weight: float):
    zeros = jnp.zeros((len(FEATURES), len(OUTPUTS)))
    return {"controller": zeros.at[FEATURES.index(feature), OUTPUTS.index(output)].set(weight)}


def tree(seed: int, scale: float = 1.0):
    keys = jax.random.split(jax.random.key(seed), len(SHAPES))
    return {n: scale * jax.random.normal(k, s) for k, (n, s) in zip(keys, SHAPES.items(), strict=True)}


def run(tx, params, gradients):
    """Updates along a walk that they make."""
    state, all_updates, update = tx.init(params), [], jax.jit(tx.update)
    for g in gradients:
        updates, state = update(g, state, params)
        params = optax.apply_updates(params, updates)
        all_updates.append(updates)
    return all_updates, state


def rms(x):
    return np.sqrt(np.mean(np.square(np.asarray(x))))


@pytest.mark.parametrize("orthogonal", [True, False])
@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15, 1e30])
def test_blind_to_the_scale_of_the_gradients(scale: float, orthogonal: bool):
    tx, params = transformation(seed=1, orthogonal=orthogonal), tree(0)
    plain, _ = run(tx, params, [tree(i) for i in range(1, 30)])
    scaled, _ = run(tx, params, [tree(i, scale) for i in range(1, 30)])
    chex.assert_trees_all_close(scaled, plain, rtol=1e-2, atol=1e-6)


def test_without_gradients_it_rests_and_the_first_gradient_is_a_first_one():
    tx, params = transformation(seed=1), tree(0)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = run(tx, params, [zeros] * 5)
    assert all(np.all(np.asarray(u) == 0) for u in jax.tree.leaves(updates))
    late, _ = run(tx, params, [zeros] * 5 + [tree(1), tree(2)])
    soon, _ = run(tx, params, [tree(1), tree(2)])
    chex.assert_trees_all_close(late[5:], soon, rtol=1e-5)
    frozen = [{**tree(i), "w": zeros["w"]} for i in range(1, 4)]
    updates, _ = run(tx, params, frozen)
    assert all(np.all(np.asarray(u["w"]) == 0) for u in updates)
    assert all(rms(u["b"]) > 0 for u in updates)
    between, _ = run(tx, params, [tree(1), zeros, zeros, tree(2)])
    assert all(np.all(np.asarray(u) == 0) for u in jax.tree.leaves(between[1:3]))
    chex.assert_trees_all_close(between[3], soon[1], rtol=1e-2)


def test_matrices_move_along_orthogonal_directions_and_kernels_are_flattened():
    for name, shape in (("w", (6, 4)), ("k", (18, 5))):
        (updates,), _ = run(transformation(), tree(0), [tree(1)])
        values = np.linalg.svd(np.asarray(updates[name]).reshape(shape), compute_uv=False)
        assert values[0] < 2.5 * values[-1]
        (lite,), _ = run(transformation(orthogonal=False), tree(0), [tree(1)])
        np.testing.assert_allclose(np.sign(lite[name]), -np.sign(tree(1)[name]))


def test_no_step_is_longer_than_the_cap():
    lopt = tensor_controller(max_step=0.01)
    tx = lopt.build(silent_except("direct", "one", 4.0))
    updates, _ = run(tx, tree(0), [tree(1)] * 12)
    sizes = [max(rms(p), 0.5) for p in (tree(0)["b"], tree(0)["s"])]
    for u in updates:
        assert rms(u["w"]) <= 0.0101 * max(rms(tree(0)["w"]), 0.1) * 1.1**2
        assert rms(u["b"]) <= 0.0101 * sizes[0] * 1.1**2
    assert rms(updates[-1]["s"]) > 0.005 * sizes[1]


@pytest.mark.parametrize(("feature", "sign"), [("fast_up", 1), ("snr", 1)])
def test_controller_hears_agreement(feature: str, sign: int):
    tx, plain = tensor_controller().build(silent_except("rate", feature, 3.0)), transformation()
    same, _ = run(tx, tree(0), [tree(1)] * 20)
    usual, _ = run(plain, tree(0), [tree(1)] * 20)
    assert rms(same[-1]["w"]) > 1.5 * rms(usual[-1]["w"])


def test_num_steps_ends_at_zero():
    updates, _ = run(transformation(num_steps=10), tree(0), [tree(i) for i in range(12)])
    sizes = [rms(u["w"]) for u in updates]
    assert sizes[9] > 0
    assert sizes[10] == sizes[11] == 0
    assert sizes[9] < sizes[5]


def test_weight_decay_pulls_towards_zero():
    plain, _ = run(transformation(), tree(0), [tree(1)])
    decayed, _ = run(transformation(weight_decay=0.1), tree(0), [tree(1)])
    pull = np.asarray(decayed[0]["w"] - plain[0]["w"]) / np.asarray(tree(0)["w"])
    np.testing.assert_allclose(pull, pull[0, 0], rtol=1e-2)
    assert pull[0, 0] < 0


def test_a_spike_moves_little_and_is_forgotten():
    tx, params = transformation(seed=2), tree(0)
    gradients = [tree(i) for i in range(40)]
    calm, _ = run(tx, params, gradients)
    spiked = [jax.tree.map(lambda x: 1e6 * x, g) if i == 20 else g for i, g in enumerate(gradients)]
    updates, _ = run(tx, params, spiked)
    assert rms(updates[20]["w"]) < 3 * rms(calm[20]["w"])
    assert rms(updates[39]["w"]) > 0.2 * rms(calm[39]["w"])


def test_state_of_a_parameter_is_twelve_bytes():
    params = {"w": jnp.zeros((100, 100))}
    state = transformation().init(params)
    assert sum(x.nbytes for x in jax.tree.leaves(state)) < 12.1 * 100 * 100


def test_half_of_a_momentum_is_nearly_as_good():
    gradients = [tree(i) for i in range(1, 30)]
    plain, _ = run(transformation(seed=1), tree(0), gradients)
    halved, state = run(transformation(seed=1, momentum_dtype="bfloat16"), tree(0), gradients)
    for name in SHAPES:
        assert rms(halved[-1][name] - plain[-1][name]) < 0.03 * rms(plain[-1][name])
    large = jnp.zeros((100, 100))
    state = transformation(momentum_dtype="bfloat16").init(large)
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / large.size < 8.01
    with pytest.raises(ValueError, match="momentum_dtype='float16'"):
        tensor_controller(momentum_dtype="float16")


def test_matrices_of_one_shape_are_orthogonalized_together():
    """The program does not grow by a Newton-Schulz a leaf."""

    def products(n: int) -> int:
        params = {f"w{i}": jnp.ones((8, 4)) for i in range(n)}
        tx = transformation()
        return jax.jit(tx.update).lower(params, tx.init(params), params).as_text().count("dot_general")

    assert products(6) == products(2)


@pytest.mark.parametrize(("rows", "share"), [(1, 0.0), (4, 0.5), (6, 1.0), (10, 1.0)])
def test_rare_rows_move_along_adams_direction(rows: int, share: float):
    tx, params = transformation(), {"w": jnp.ones((10, 4))}
    everywhere = {"w": jax.random.normal(jax.random.key(1), (10, 4))}
    some = {"w": everywhere["w"].at[rows:].set(0)}
    _, state = run(tx, params, [everywhere, some])
    found = diagnose(state)["w"]
    np.testing.assert_allclose(found.orthogonal, share * (found.orthogonal + found.adam), rtol=0.05)
    # A row that has never had a gradient does not count.
    _, state = run(tx, params, [some, some])
    assert diagnose(state)["w"].orthogonal > 0.9


def test_each_direction_has_its_controller():
    lopt = tensor_controller(separate=True)
    assert sorted(lopt.init(KEY)) == ["adam", "controller"]
    slow = silent_except("direct", "one", -1.0)["controller"]
    zero = jnp.zeros_like(slow)

    def sizes(**theta):
        (updates,), _ = run(lopt.build(theta), tree(0), [tree(1)])
        return {name: rms(update) for name, update in updates.items()}

    plain = sizes(controller=zero, adam=zero)
    matrices, others = sizes(controller=slow, adam=zero), sizes(controller=zero, adam=slow)
    for name in SHAPES:
        shorter, same = (matrices, others) if name in ("w", "k") else (others, matrices)
        np.testing.assert_allclose(shorter[name], np.exp(-1) * plain[name], rtol=1e-5)
        np.testing.assert_allclose(same[name], plain[name], rtol=1e-5)


def test_converges_where_the_loss_can_vanish():
    def loss(x):
        return jnp.sum(jnp.square(x["w"] - 1) * jnp.arange(1.0, 13.0).reshape(3, 4))

    # The step is as long as the gradient, against all so far, and grows while gradients agree.
    weights = (("direct", "decline", 3.0), ("rate", "fast_up", 1.0), ("rate", "fast_down", 3.0))
    theta = jax.tree.map(lambda *leaves: sum(leaves), *(silent_except(*w) for w in weights))
    tx, params = tensor_controller().build(theta), {"w": jnp.zeros((3, 4))}

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, None, length=1000))((params, tx.init(params)))
    assert loss(params) < 1e-3
