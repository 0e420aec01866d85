import haiku as hk
import jax
import jax.numpy as jnp
import jmp
import numpy as np
import pytest

import learned_opt
from learned_opt.optimizers import lstm, mlp_rule
from learned_opt.optimizers.lstm_stack import lstm_stack

KEY = jax.random.key(3)


def of_haiku(hidden_sizes, num_outputs):
    def network(z, states):
        for size, state in zip(hidden_sizes, states, strict=True):
            z, _ = hk.LSTM(size)(z, state)
        w_init = hk.initializers.TruncatedNormal(0.01 / hidden_sizes[-1] ** 0.5)
        return hk.Linear(num_outputs, w_init=w_init)(z)

    return hk.without_apply_rng(hk.transform(network))


@pytest.mark.parametrize("hidden_sizes", [(4,), (5, 3, 2)])
def test_it_is_haikus_network(hidden_sizes):
    stack, reference = lstm_stack(hidden_sizes, 3, 2), of_haiku(hidden_sizes, 2)
    hidden = [jnp.linspace(-1, 1, n) for n in hidden_sizes]
    cell = [0.5 * h for h in hidden]
    states = list(map(hk.LSTMState, hidden, cell))
    expected = reference.init(KEY, jnp.ones(3), states)
    theta = stack.init(KEY)
    assert jax.tree.structure(theta) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, theta, expected)
    out, _, _ = stack.apply(theta, jnp.ones(3), hidden, cell)
    np.testing.assert_allclose(out, reference.apply(theta, jnp.ones(3), states), rtol=1e-6)


@pytest.fixture
def half_precision():
    policy = jmp.get_policy("params=float16,compute=bfloat16,output=float16")
    for module in (hk.Linear, hk.LSTM):
        hk.mixed_precision.set_policy(module, policy)
    yield
    for module in (hk.Linear, hk.LSTM):
        hk.mixed_precision.clear_policy(module)


def updates_and_thetas(name: str):
    g = jnp.array([1.0, -2.0, 0.5])
    tx = learned_opt.pretrained(name)
    return tx.update(g, tx.init(g), g), [lopt.init(KEY) for lopt in (lstm((4,)), mlp_rule())]


RULES = ("lstm-general", "lstm-quadratic", "lstm-sparse-coding", "mlp-general")


@pytest.fixture(scope="module")
def undisturbed():
    return {name: updates_and_thetas(name) for name in RULES}


@pytest.mark.parametrize("name", RULES)
def test_a_users_policy_for_haikus_modules_does_not_reach_a_rule(name, undisturbed, half_precision):
    jax.tree.map(np.testing.assert_array_equal, updates_and_thetas(name), undisturbed[name])


@pytest.mark.parametrize("name", RULES)
def test_a_users_interceptors_and_getters_do_not_reach_a_rule(name, undisturbed):
    def intercept(next_method, args, kwargs, context):
        return jax.tree.map(jnp.zeros_like, next_method(*args, **kwargs))

    def get(next_getter, value, context):
        return jnp.zeros_like(next_getter(value))

    def network():
        with hk.custom_getter(get):
            return updates_and_thetas(name)

    with hk.intercept_methods(intercept):
        found = hk.transform(network).apply({}, None)
    jax.tree.map(np.testing.assert_array_equal, found, undisturbed[name])
