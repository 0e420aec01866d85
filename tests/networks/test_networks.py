"""Recurrent networks against equations written out, and gradients against each other."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import networks
from learned_opt.networks.rtrl import sensitivities


def transformed(core, state):
    def run(xs):
        return hk.dynamic_unroll(core(), xs, state(core()))

    return hk.without_apply_rng(hk.transform(run))


def sequence(length: int = 7, width: int = 3):
    return jax.random.normal(jax.random.key(7), (length, width))


@pytest.mark.parametrize("forget_gate", [False, True])
def test_memory_cells_are_their_equations(forget_gate: bool):
    net = transformed(
        lambda: networks.MemoryCells(2, 1, forget_gate=forget_gate, forget_bias=0.5, gate_bias=-0.25),
        lambda core: core.initial_state(None),
    )
    xs = sequence()
    theta = net.init(jax.random.key(0), xs)
    outputs, _ = net.apply(theta, xs)

    w, b = np.asarray(theta["memory_cells/linear"]["w"]), np.asarray(theta["memory_cells"]["b"])
    expected_bias = [0, 0, -0.25, -0.25, -0.25, -0.25] + ([0.5, 0.5] if forget_gate else []) + [0]
    np.testing.assert_array_equal(b, np.float32(expected_bias))
    h, c, u = np.zeros(2), np.zeros(2), np.zeros(1)
    for x, output in zip(np.asarray(xs), np.asarray(outputs), strict=True):
        z = np.concatenate([x, h, u]) @ w + b
        g, i, o = np.tanh(z[:2]), *(1 / (1 + np.exp(-z[k : k + 2])) for k in (2, 4))
        f = 1 / (1 + np.exp(-z[6:8])) if forget_gate else 1.0
        c = f * c + i * g
        h, u = o * np.tanh(c), np.tanh(z[-1:])
        np.testing.assert_allclose(output, np.concatenate([h, u]), rtol=1e-5, atol=1e-6)


def test_with_a_forget_gate_it_is_haikus_lstm():
    """Haiku orders the gates i, g, f, o and adds 1 to the forget gate."""
    xs, n = sequence(), 4
    ours = transformed(
        lambda: networks.MemoryCells(n, forget_gate=True), lambda core: core.initial_state(None)
    )
    theirs = transformed(lambda: hk.LSTM(n), lambda core: core.initial_state(None))
    theta = theirs.init(jax.random.key(0), xs)
    i, g, f, o = jnp.split(theta["lstm/linear"]["w"], 4, axis=1)
    mine = {
        "memory_cells/linear": {"w": jnp.concatenate([g, i, o, f], axis=1)},
        "memory_cells": {"b": jnp.concatenate([jnp.zeros(3 * n), jnp.ones(n)])},
    }
    np.testing.assert_allclose(ours.apply(mine, xs)[0], theirs.apply(theta, xs)[0], rtol=1e-5, atol=1e-6)


def test_the_truncated_gradient_flows_along_the_cells_alone():
    """Forward nothing changes; backward only what a cell added to itself counts."""
    xs = sequence()

    def net(truncated):
        return transformed(
            lambda: networks.MemoryCells(2, truncated=truncated), lambda core: core.initial_state(None)
        )

    theta = net(False).init(jax.random.key(0), xs)

    def last(truncated):
        return lambda theta, xs: net(truncated).apply(theta, xs)[0][-1].sum()

    assert last(True)(theta, xs) == last(False)(theta, xs)
    whole, cut = (jax.grad(last(t))(theta, xs) for t in (False, True))
    assert not np.allclose(whole["memory_cells/linear"]["w"], cut["memory_cells/linear"]["w"], rtol=1e-2)

    # The carousel by hand: the recurrent inputs are numbers, and the gradient is that of what is left.
    hidden = jnp.concatenate([jnp.zeros((1, 2)), net(False).apply(theta, xs)[0][:-1]])

    def carousel(theta, xs):
        z = jnp.concatenate([xs, hidden], axis=1) @ theta["memory_cells/linear"]["w"]
        z = z + theta["memory_cells"]["b"][None, :]
        cell = (jnp.tanh(z[:, :2]) * jax.nn.sigmoid(z[:, 2:4])).sum(0)
        return (jax.nn.sigmoid(z[-1, 4:]) * jnp.tanh(cell)).sum()

    by_hand = jax.grad(carousel)(theta, xs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), cut, by_hand)


def test_a_batch_is_its_examples():
    core = hk.without_apply_rng(
        hk.transform(
            lambda x, n: networks.MemoryCells(2, 1)(x, networks.MemoryCells(2, 1).initial_state(n))[0]
        )
    )
    xs = sequence(4)
    theta = core.init(jax.random.key(0), xs[0], None)
    alone = jnp.stack([core.apply(theta, x, None) for x in xs])
    np.testing.assert_allclose(core.apply(theta, xs, 4), alone, rtol=1e-6)


def test_elman_sees_its_own_output():
    net = transformed(lambda: networks.Elman(2), lambda core: core.initial_state(None))
    xs = sequence()
    theta = net.init(jax.random.key(0), xs)
    outputs, _ = net.apply(theta, xs)
    w, h = np.asarray(theta["elman/linear"]["w"]), np.zeros(2)
    for x, output in zip(np.asarray(xs), np.asarray(outputs), strict=True):
        h = np.tanh(np.concatenate([x, h]) @ w)
        np.testing.assert_allclose(output, h, rtol=1e-5, atol=1e-6)


def test_elmans_own_gradient_goes_one_step_back():
    xs = sequence()
    whole, cut = (
        transformed(lambda t=t: networks.Elman(2, truncated=t), lambda core: core.initial_state(None))
        for t in (False, True)
    )
    theta = whole.init(jax.random.key(0), xs)

    def influence(net):
        return jax.grad(lambda xs: net.apply(theta, xs)[0][-1].sum())(xs)

    assert (np.abs(influence(whole)).sum(1) > 0).all()
    np.testing.assert_array_equal(np.abs(influence(cut)).sum(1) > 0, [False] * 6 + [True])


@pytest.mark.parametrize("seed", range(3))
def test_real_time_recurrent_learning_is_backpropagation_through_time(seed: int):
    """Two ways to the same number: they differ by rounding alone."""
    w_key, x_key, error_key = jax.random.split(jax.random.key(seed), 3)
    w = 3 * networks.init_fully_recurrent(w_key, 3, 5)
    xs, errors = jax.random.normal(x_key, (40, 3)), jax.random.normal(error_key, (40,))
    forward = jax.jit(jax.grad(lambda w: (errors * networks.rtrl_output(w, xs)).sum()))(w)
    backward = jax.jit(jax.grad(lambda w: (errors * networks.fully_recurrent(w, xs)[:, 0]).sum()))(w)
    np.testing.assert_allclose(forward, backward, rtol=1e-4, atol=1e-6)
    assert np.abs(backward).max() > 0.1


def test_real_time_recurrent_learning_by_hand():
    """One unit with one input: p' = f'(s) (w p + z), z = (x, y, 1)."""
    w = jnp.array([[0.5, -1.0, 0.25]])
    xs = jnp.array([[1.0], [-2.0]])
    outputs, p = sensitivities(w, xs)
    y1 = 1 / (1 + np.exp(-0.75))
    p1 = y1 * (1 - y1) * np.array([1.0, 0.0, 1.0])
    y2 = 1 / (1 + np.exp(-(-1.0 - y1 + 0.25)))
    p2 = y2 * (1 - y2) * (-1.0 * p1 + np.array([-2.0, y1, 1.0]))
    np.testing.assert_allclose(outputs, [y1, y2], rtol=1e-6)
    np.testing.assert_allclose(p[:, 0], [p1, p2], rtol=1e-5)


def test_nothing_of_a_network_without_units():
    with pytest.raises(ValueError, match="num_cells=0, num_units=0"):
        hk.transform(lambda: networks.MemoryCells(0)).init(jax.random.key(0))
    with pytest.raises(ValueError, match="num_units=0"):
        networks.init_fully_recurrent(jax.random.key(0), 3, 0)
