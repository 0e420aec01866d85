"""The network with fixed weights follows the network that changes its weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.in_context import delta_rule, fixed_weight_network, run_changing_weight, run_fixed_weights

OJA = {(0, 0, 0, 1): 1.0, (1, 1, 0, 0): 0.3, (0, 2, 0, 1): -0.3}  # w + 0.3 y (x - y w)
DECAY = {(0, 0, 0, 1): 0.9, (1, 0, 1, 0): 0.5}  # 0.9 w + 0.5 x delta, which changes w even without an error


def polynomial(rule):
    def new_weight(x, y, delta, w):
        return sum(c * x**a * y**b * delta**d * w**e for (a, b, d, e), c in rule.items())

    return new_weight


@pytest.mark.parametrize(
    ("rule", "squash"),
    [(delta_rule(2.0), jax.nn.sigmoid), (OJA, jnp.tanh), (DECAY, jnp.tanh)],
    ids=["delta", "oja", "decay"],
)
def test_it_follows_step_by_step(rule, squash):
    xs = jax.random.uniform(jax.random.key(0), (50,), minval=-1.0)
    targets = jax.nn.sigmoid(1.5 * xs)
    weight = jnp.float32(-0.3)
    expected, weights = run_changing_weight(polynomial(rule), squash, weight, xs, targets)
    inputs = jnp.stack([xs, jnp.concatenate([jnp.zeros(1), targets[:-1]])], axis=1)
    outputs, loop = jax.jit(
        lambda inputs: run_fixed_weights(fixed_weight_network(rule, squash), weight, inputs)
    )(inputs)
    np.testing.assert_allclose(loop, weights, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(outputs, expected, rtol=2e-6, atol=1e-6)
    assert np.ptp(weights) > 0.2  # something was learned


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
