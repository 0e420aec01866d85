import os
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.optimizers import LSTMState, lstm
from learned_opt.optimizers.inputs import Inputs, log_sign

ROOT = Path(__file__).parents[2]


def run(tx, params, gradients):
    state, all_updates = tx.init(params), []
    for g in gradients:
        updates, state = jax.jit(tx.update)(g, state, params)
        all_updates.append(updates)
    return all_updates, state


# The inputs, with p = 10 and e^-10 = 4.54e-5.


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [
        (1.0, (0.0, 1.0)),
        (-np.exp(5.0), (0.5, -1.0)),
        (np.exp(-8.0), (-0.8, 1.0)),
        (-np.exp(-10.0), (-1.0, -1.0)),
        (np.exp(-11.0), (-1.0, np.exp(-1.0))),
        (-np.exp(-13.0), (-1.0, -np.exp(-3.0))),
        (0.0, (-1.0, 0.0)),
    ],
)
def test_log_sign_inputs(gradient: float, expected: tuple[float, float]):
    np.testing.assert_allclose(log_sign(jnp.float32(gradient)), expected, rtol=1e-5, atol=1e-6)


def test_log_sign_inputs_are_continuous_and_odd_or_even():
    edge = np.exp(-10.0)
    below, above = (log_sign(jnp.float32(edge * (1 + e))) for e in (-1e-5, 1e-5))
    np.testing.assert_allclose(below, above, atol=3e-5)
    g = jnp.logspace(-7, 3, 50)
    size, sign = jnp.moveaxis(log_sign(g), -1, 0)
    np.testing.assert_array_equal(log_sign(-g), jnp.stack([size, -sign], axis=-1))
    assert np.all(np.diff(size) >= 0)
    assert np.all(np.diff(sign) >= 0)


def test_normalized_inputs_are_adams_direction():
    betas = (0.9, 0.99)
    adam = optax.scale_by_adam(b1=betas[0], b2=betas[1], eps=1e-8)
    gradients = jax.random.normal(jax.random.key(0), (5, 3)) * jnp.array([1e-3, 1.0, 1e3])[None]
    state, m, v = adam.init(jnp.zeros(3)), jnp.zeros(3), jnp.zeros(3)
    for t, g in enumerate(gradients, start=1):
        direction, state = adam.update(g, state)
        z, (m, v) = Inputs("normalized_and_size", betas).of(g, (m, v), jnp.int32(t))
        np.testing.assert_allclose(z[:, 0], direction, rtol=1e-5)
        v_hat = optax.tree.bias_correction(state.nu, betas[1], state.count)
        np.testing.assert_allclose(z[:, 1], g / (jnp.sqrt(v_hat) + 1e-8), rtol=1e-5)
        np.testing.assert_allclose(z[:, 2], jnp.log(v_hat) / 20, rtol=1e-4)
    # On the first step both are the gradient's sign.
    z, _ = Inputs("normalized", betas).of(gradients[0], (jnp.zeros(3), jnp.zeros(3)), jnp.int32(1))
    np.testing.assert_allclose(z, jnp.sign(gradients[0])[:, None].repeat(2, axis=1), rtol=1e-4)


def test_normalized_rule_does_not_see_the_scale_and_is_bounded():
    lopt = lstm(hidden_sizes=(4,), inputs="normalized", output_scale=0.5)
    theta = jax.tree.map(lambda x: 30 * x, lopt.init(jax.random.key(0)))
    gradients = [jax.random.normal(jax.random.key(i), (20,)) for i in range(3)]
    updates, _ = run(lopt.build(theta), jnp.zeros(20), gradients)
    scaled, _ = run(lopt.build(theta), jnp.zeros(20), [1024 * g for g in gradients])
    chex.assert_trees_all_close(scaled, updates, rtol=1e-4)
    largest = max(float(jnp.abs(u).max()) for u in updates)
    assert 0.1 < largest <= 0.5


# The network.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_one_unit_by_hand():
    """One LSTM unit whose gates are worked out from the paper's equations, over three steps."""
    lopt = lstm(hidden_sizes=(1,), output_scale=0.1)
    # Rows: the two inputs, then the hidden state. Columns: input gate, candidate, forget and output gate.
    w = np.array([[0.5, -1.0, 0.3, 0.2], [1.0, 2.0, -0.4, 0.7], [-0.6, 0.9, 0.8, -0.1]])
    b = np.array([0.1, -0.2, 0.3, 0.4])
    w_out, b_out = 1.5, -0.25
    theta = {
        "lstm/linear": {"w": jnp.asarray(w, jnp.float32), "b": jnp.asarray(b, jnp.float32)},
        "linear": {"w": jnp.full((1, 1), w_out), "b": jnp.full(1, b_out)},
    }
    gradients = [2.0, -1e-3, 3e-5]  # the last one is on the small branch
    updates, state = run(lopt.build(theta), jnp.zeros(()), [jnp.float32(g) for g in gradients])

    h = c = 0.0
    for g, update in zip(gradients, updates, strict=True):
        z = (np.log(abs(g)) / 10, np.sign(g)) if abs(g) >= np.exp(-10) else (-1.0, np.exp(10) * g)
        i, candidate, f, o = np.array([*z, h]) @ w + b
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(candidate)  # haiku's forget bias of 1
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(update, 0.1 * (w_out * h + b_out), rtol=1e-5)
    np.testing.assert_allclose(state.hidden[0], [h], rtol=1e-5)
    np.testing.assert_allclose(state.cell[0], [c], rtol=1e-5)
    assert state.count == 3


def test_state_is_a_struct_of_params_shaped_trees():
    params = {"w": jnp.zeros((3, 2)), "b": jnp.zeros(())}
    lopt = lstm(hidden_sizes=(5, 4))
    state = lopt.build(lopt.init(jax.random.key(0))).init(params)
    assert isinstance(state, LSTMState)
    shapes = [{"w": (3, 2, n), "b": (n,)} for n in (5, 4)]
    for layers in (state.hidden, state.cell):
        assert [{k: leaf.shape for k, leaf in layer.items()} for layer in layers] == shapes
    assert (state.mu, state.nu) == ((), ())
    lopt = lstm(hidden_sizes=(5,), inputs="normalized")
    state = lopt.build(lopt.init(jax.random.key(0))).init(params)
    chex.assert_trees_all_equal_shapes(state.mu, params)
    chex.assert_trees_all_equal_shapes(state.nu, params)


def test_bfloat16_state_is_half_the_memory_and_close():
    kwargs = {"hidden_sizes": (8,), "inputs": "normalized"}
    full, half = lstm(**kwargs), lstm(**kwargs, state_dtype="bfloat16")
    theta = jax.tree.map(lambda x: 3 * x, full.init(jax.random.key(0)))
    gradients = [jax.random.normal(jax.random.key(i), (50,)) for i in range(20)]
    full_updates, full_state = run(full.build(theta), jnp.zeros(50), gradients)
    half_updates, half_state = run(half.build(theta), jnp.zeros(50), gradients)
    assert {leaf.dtype for leaf in (*half_state.hidden, *half_state.cell)} == {jnp.dtype("bfloat16")}
    assert half_state.mu.dtype == jnp.float32  # moments of squares would underflow
    difference = jnp.abs(jnp.stack(half_updates) - jnp.stack(full_updates)).max()
    assert 0 < difference < 0.02 * jnp.abs(jnp.stack(full_updates)).max()
    bytes_of = {
        state.hidden[0].dtype.name: sum(leaf.nbytes for leaf in (*state.hidden, *state.cell))
        for state in (full_state, half_state)
    }
    assert bytes_of == {"float32": 2 * 50 * 8 * 4, "bfloat16": 2 * 50 * 8 * 2}


def test_untrained_rule_hardly_moves():
    lopt = lstm()
    gradients = jax.random.normal(jax.random.key(1), (100,))
    (updates,), _ = run(lopt.build(lopt.init(jax.random.key(0))), gradients, [gradients])
    assert 0 < jnp.abs(updates).max() < 1e-3


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("hidden_sizes", ()),
        ("hidden_sizes", (20, 0)),
        ("hidden_sizes", (2.5,)),
        ("output_scale", 0.0),
        ("output_scale", float("nan")),
        ("betas", (0.9, 1.0)),
        ("betas", (-0.1, 0.9)),
        ("betas", (0.9,)),
        ("state_dtype", "float16"),
    ],
)
def test_arguments_out_of_range_are_quoted(argument: str, value):
    with pytest.raises(ValueError, match=rf"^{argument}=") as error:
        lstm(**{argument: value})
    assert repr(value) in str(error.value)


def test_unknown_inputs_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown inputs 'normalised'; did you mean 'normalized'"):
        lstm(inputs="normalised")


def test_theta_of_another_size_is_named():
    theta = lstm(hidden_sizes=(5,)).init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"theta\['linear'\]\['w'\] has shape \(5, 1\) but lstm's theta"):
        lstm(hidden_sizes=(4,)).build(theta)


def test_state_is_sharded_as_the_params_are():
    """In a process of its own, since the number of devices is fixed when jax starts."""
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["sharded"]


SHARDED = """
import functools, re
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec as P
from learned_opt.optimizers import lstm

mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
specs = {"w": P("a", "b"), "v": P("b"), "scalar": P()}
shardings = {name: NamedSharding(mesh, spec) for name, spec in specs.items()}
shapes = {"w": (4, 6), "v": (8,), "scalar": ()}
params = {name: jax.device_put(jnp.ones(shapes[name]), shardings[name]) for name in specs}
lopt = lstm(hidden_sizes=(4,), inputs="normalized")
tx = lopt.build(lopt.init(jax.random.key(0)))

def check(state):
    for tree in (*state.hidden, *state.cell, state.mu, state.nu):
        for name, leaf in tree.items():
            assert leaf.sharding.is_equivalent_to(shardings[name], leaf.ndim), (name, leaf.sharding)

state = tx.init(params)
check(state)
update = jax.jit(tx.update)
hlo = update.lower(params, state, params).compile().as_text()
moved = re.findall("all-gather|all-to-all|collective-permute|all-reduce", hlo)
assert not moved, moved
sizes = []
for _ in range(3):
    updates, state = update(params, state, params)
    check(state)
    for name, leaf in updates.items():
        assert leaf.sharding.is_equivalent_to(shardings[name], leaf.ndim), (name, leaf.sharding)
    sizes.append(update._cache_size())
# The count lies on one device at first, and then on all, as optax's counts do.
assert sizes[1] == sizes[2], sizes
print("sharded")
"""
