"""The network with fixed weights follows the network that changes its weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.in_context import (
    NeuronRule,
    Neurons,
    delta_rule,
    fixed_neurons,
    fixed_weight_network,
    multiplying_neurons,
    run_changing_weight,
    run_fixed_weights,
    train_rule,
)

OJA = {(0, 0, 0, 1): 1.0, (1, 1, 0, 0): 0.3, (0, 2, 0, 1): -0.3}  # w + 0.3 y (x - y w)
DECAY = {(0, 0, 0, 1): 0.9, (1, 0, 1, 0): 0.5}  # 0.9 w + 0.5 x delta, which changes w even without an error


def polynomial(rule):
    def new_weight(x, y, delta, w):
        return sum(c * x**a * y**b * delta**d * w**e for (a, b, d, e), c in rule.items())

    return new_weight


def examples(sought, num):
    """Inputs and targets of a logistic unit of the weights sought, and both as a network sees them."""
    xs = jax.random.uniform(jax.random.key(0), (num, *sought.shape), minval=-1.0)
    targets = jax.nn.sigmoid((xs * sought[None]).reshape(num, -1).sum(axis=1))
    previous = jnp.concatenate([jnp.zeros(1), targets[:-1]])
    return xs, targets, jnp.concatenate([xs.reshape(num, -1), previous[:, None]], axis=1)


@pytest.mark.parametrize(
    ("rule", "squash", "weight"),
    [
        (delta_rule(2.0), jax.nn.sigmoid, -0.3),
        (OJA, jnp.tanh, -0.3),
        (DECAY, jnp.tanh, -0.3),
        (delta_rule(2.0), jax.nn.sigmoid, (-0.3, 0.0, 0.5)),
    ],
    ids=["delta", "oja", "decay", "three synapses"],
)
def test_it_follows_step_by_step(rule, squash, weight):
    weight = jnp.array(weight, jnp.float32)
    xs, targets, inputs = examples(jnp.full_like(weight, 1.5), 50)
    expected, weights = run_changing_weight(polynomial(rule), squash, weight, xs, targets)
    outputs, loop = jax.jit(
        lambda inputs: run_fixed_weights(fixed_weight_network(rule, squash), weight, inputs)
    )(inputs)
    np.testing.assert_allclose(loop, weights, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(outputs, expected, rtol=2e-6, atol=1e-6)
    assert np.ptp(weights, axis=0).min() > 0.2  # something was learned


@pytest.fixture(scope="module")
def neuron_rule():
    rule = polynomial(delta_rule(2.0))
    return train_rule(rule, jax.random.key(0), num_units=16, num_samples=512, num_steps=80)


def test_every_step_of_the_figure_follows_the_one_before(neuron_rule):
    """Neurons are off by what they were trained to, a product of neurons by less than 1e-3."""
    sought = jnp.array([1.5, -1.0, 0.5])
    xs, targets, inputs = examples(sought, 100)
    runs = [
        run_changing_weight(rule, jax.nn.sigmoid, jnp.zeros_like(sought), xs, targets)
        for rule in (polynomial(delta_rule(2.0)), neuron_rule)
    ]
    runs += [
        run_fixed_weights(fixed_neurons(neuron_rule, multiply=m), jnp.zeros_like(sought), inputs)
        for m in (None, multiplying_neurons(4.0))
    ]
    for (outputs, weights), (before, weights_before), tolerance in zip(
        runs[1:], runs, (20 * neuron_rule.error, 1e-3, 1e-3), strict=False
    ):
        np.testing.assert_allclose(weights, weights_before, atol=tolerance)
        np.testing.assert_allclose(outputs, before, atol=tolerance / 2)
    assert neuron_rule.error < 0.01
    np.testing.assert_allclose(runs[-1][1][-1], sought, atol=0.4)  # it has learned


def test_neurons_keep_the_weight_before_the_first_input():
    """A rule that changes weights whatever it sees, which at first it must not."""
    weights = jax.random.normal(jax.random.key(1), (4, 6))
    restless = Neurons(weights, jnp.linspace(-1, 1, 6), jnp.linspace(-0.5, 2, 6), jnp.float32(0.7))
    assert abs(restless(*jnp.zeros(4))) > 0.5
    network = fixed_neurons(NeuronRule(restless, 0.0))
    _, loop = run_fixed_weights(network, jnp.float32(0.25), jnp.zeros((2, 2)))
    changed = 0.25 + restless(jnp.float32(0), jnp.float32(0.5), jnp.float32(-0.5), jnp.float32(0.25))
    np.testing.assert_allclose(loop, [0.25, changed], atol=1e-4)


def test_four_neurons_multiply():
    w, x = (grid.ravel() for grid in jnp.meshgrid(jnp.linspace(-4, 4, 41), jnp.linspace(-2, 2, 41)))
    product = multiplying_neurons(4.0, 2.0)(w, x)
    np.testing.assert_allclose(product, w * x, atol=8e-4)


def test_what_is_no_bound():
    with pytest.raises(ValueError, match="bounds="):
        train_rule(lambda x, y, delta, w: w, jax.random.key(0), bounds=((0, 1), (1, 0), (0, 1), (0, 1)))


def test_the_delta_rule_is_the_gradient():
    def loss(w, x, target):
        return 0.5 * jnp.square(jax.nn.sigmoid(w * x) - target)

    w, x, target = jnp.float32(0.4), jnp.float32(-0.7), jnp.float32(0.9)
    y = jax.nn.sigmoid(w * x)
    step = polynomial(delta_rule(0.5))(x, y, target - y, w)
    assert step == pytest.approx(float(w - 0.5 * jax.grad(loss)(w, x, target)), rel=1e-6)


@pytest.mark.parametrize("rule", [{}, {(1, 0, 0): 1.0}, {(-1, 0, 0, 0): 1.0}])
def test_what_is_no_rule(rule):
    with pytest.raises(ValueError, match=r"no term|exponents="):
        fixed_weight_network(rule)
