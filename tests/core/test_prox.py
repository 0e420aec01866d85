import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from learned_opt.core.prox import block_soft_threshold, group_norms, hard_threshold, soft_threshold

X = jax.random.normal(jax.random.key(0), (12,))
THRESHOLDS = jax.random.uniform(jax.random.key(1), (12,))
OPERATORS = {
    "soft": soft_threshold,
    "hard": hard_threshold,
    "block": lambda x, t: block_soft_threshold(x, t, group_size=3),
}
every = pytest.mark.parametrize("name", OPERATORS)


@pytest.mark.parametrize("threshold", [0.3, THRESHOLDS])
@pytest.mark.parametrize(
    ("operator", "penalty"),
    [(soft_threshold, lambda z, t: t * np.abs(z)), (hard_threshold, lambda z, t: t**2 / 2 * (z != 0))],
)
def test_separable_operators_minimise_by_brute_force(operator, penalty, threshold):
    grid = np.linspace(-4, 4, 80_001)  # holds 0
    for x, t, found in zip(X, jnp.broadcast_to(threshold, (12,)), operator(X, threshold), strict=True):
        values = 0.5 * (grid - float(x)) ** 2 + penalty(grid, float(t))
        assert float(found) == pytest.approx(grid[np.argmin(values)], abs=2e-4)


def test_block_operator_minimises():
    for x in np.asarray(X, np.float64).reshape(-1, 3):
        value = scipy.optimize.minimize(
            lambda z, x=x: 0.5 * np.sum((z - x) ** 2) + 0.4 * np.sqrt(np.sum(z**2) + 1e-16),
            x,
            method="Nelder-Mead",
            options={"xatol": 1e-6, "fatol": 1e-12, "maxiter": 2000},
        ).x
        found = block_soft_threshold(jnp.asarray(x, jnp.float32), 0.4, group_size=3)
        np.testing.assert_allclose(found, value, atol=1e-4)


def test_moreau_identity():
    """X = prox(x) + projection onto the dual norm's ball of the threshold as its radius."""
    np.testing.assert_allclose(X - soft_threshold(X, 0.4), jnp.clip(X, -0.4, 0.4), atol=1e-7)
    groups = X.reshape(-1, 3)
    norms = jnp.linalg.norm(groups, axis=1, keepdims=True)
    projections = (groups * jnp.minimum(1, 0.4 / norms)).reshape(-1)
    np.testing.assert_allclose(X - block_soft_threshold(X, 0.4, 3), projections, atol=1e-6)


def test_groups_of_one_are_entries():
    entries = soft_threshold(X, THRESHOLDS)
    np.testing.assert_allclose(block_soft_threshold(X, THRESHOLDS, 1), entries, atol=1e-6)


def test_thresholds_of_their_own_are_a_metric():
    """What is kept satisfies the optimality condition, whatever the thresholds' spread; the rest is zero."""
    x = 3 * jax.random.normal(jax.random.key(2), (200, 3))
    t = jnp.exp(1.5 + 1.5 * jax.random.normal(jax.random.key(3), (200, 3)))
    z = block_soft_threshold(x.ravel(), t.ravel(), 3).reshape(-1, 3)
    norms = jnp.linalg.norm(z, axis=1, keepdims=True)
    kept = norms[:, 0] > 0
    assert 20 < kept.sum() < 180
    np.testing.assert_allclose(((x - z) / t)[kept], (z / norms)[kept], atol=2e-5)
    assert jnp.all(jnp.sum(jnp.square(x / t), axis=1)[~kept] <= 1)
    same = block_soft_threshold(X, jnp.full(12, 0.4), 3)
    np.testing.assert_allclose(same, block_soft_threshold(X, 0.4, 3), atol=1e-6)


def test_the_derivative_in_a_metric_is_that_of_differences():
    x, t = X[:6], THRESHOLDS[:6]
    for of in (0, 1):
        jacobian = jax.jacobian(lambda *a: block_soft_threshold(*a, 3), argnums=of)(x, t)
        for i in range(6):
            moved = [jnp.asarray(v).at[i].add(1e-2 * (k == of)) for k, v in enumerate((x, t))]
            back = [jnp.asarray(v).at[i].add(-1e-2 * (k == of)) for k, v in enumerate((x, t))]
            slope = (block_soft_threshold(*moved, 3) - block_soft_threshold(*back, 3)) / 2e-2
            np.testing.assert_allclose(jacobian[:, i], slope, atol=2e-3)


@every
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_derivatives_are_finite_even_at_zero(name: str, threshold: float):
    for x in (jnp.zeros(6), X[:6], jnp.full(6, threshold)):
        for t in (jnp.float32(threshold), jnp.full(6, threshold)):
            gradients = jax.grad(lambda x, t: jnp.sum(OPERATORS[name](x, t)), argnums=(0, 1))(x, t)
            chex.assert_tree_all_finite(gradients)


@every
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_keeps_dtype_and_vmaps(name: str, dtype):
    x = X.astype(dtype)
    for threshold in (0.25, jnp.float32(0.25), jnp.full(12, 0.25)):
        chex.assert_trees_all_equal_shapes_and_dtypes(OPERATORS[name](x, threshold), x)
    batched = jax.vmap(OPERATORS[name])(jnp.stack([x, 2 * x]), jnp.float32([0.25, 0.5]))
    chex.assert_trees_all_close(batched[1], OPERATORS[name](2 * x, 0.5), atol=1e-2)


def test_group_norms_by_hand():
    np.testing.assert_array_equal(group_norms(jnp.float32([3, 4, 0, 0]), 2), [5, 0])
    np.testing.assert_allclose(
        jax.grad(lambda x: jnp.sum(group_norms(x, 2)))(jnp.float32([3, 4, 0, 0])), [0.6, 0.8, 0, 0], atol=1e-6
    )
