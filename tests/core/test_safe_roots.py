import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.core.safe_roots import safe_sqrt, with_safe_roots


def test_values_are_those_of_the_root():
    x = jnp.array([0.0, 1e-36, 0.3, 2.0, 1e38, jnp.inf, jnp.nan])
    np.testing.assert_array_equal(safe_sqrt(x), jnp.sqrt(x))
    np.testing.assert_allclose(jax.vmap(jax.grad(safe_sqrt))(x[1:5]), 0.5 / np.sqrt(x[1:5]), rtol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_of_any_order_are_finite_at_0(order: int):
    function = safe_sqrt
    for _ in range(order):
        function = jax.grad(function)
    assert function(0.0) == 0


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_roots_inside_jitted_functions_are_found(transform):
    function = with_safe_roots(transform(lambda x: jax.jit(jnp.sqrt)(x * x) + jnp.where(x > 0, x, 0)))
    assert jax.grad(function)(0.0) == 0
    assert function(3.0) == 6


def test_what_is_closed_over_is_differentiated_too():
    def product(y):
        return with_safe_roots(lambda x: jnp.sqrt(x) * y)(4.0)

    assert jax.jit(jax.grad(product))(3.0) == 2


def test_updates_of_optax_are_the_same_to_the_bit():
    tx, params = optax.adamw(0.1), {"w": jnp.array([0.0, 1.0, -2.0]), "b": jnp.float32(0.3)}
    state = tx.init(params)
    plain = jax.jit(tx.update)(params, state, params)
    safe = jax.jit(with_safe_roots(lambda g, s: tx.update(g, s, params)))(params, state)
    jax.tree.map(np.testing.assert_array_equal, safe, plain)
