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


def test_a_group_takes_the_mean_of_its_thresholds():
    means = jnp.repeat(THRESHOLDS.reshape(-1, 3).mean(axis=1), 3)
    expected = jnp.concatenate(
        [block_soft_threshold(X[i : i + 3], float(means[i]), 3) for i in range(0, 12, 3)]
    )
    np.testing.assert_allclose(block_soft_threshold(X, THRESHOLDS, 3), expected, atol=1e-6)


@every
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_derivatives_are_finite_even_at_zero(name: str, threshold: float):
    for x in (jnp.zeros(6), X[:6], jnp.full(6, threshold)):
        gradients = jax.grad(lambda x, t: jnp.sum(OPERATORS[name](x, t)), argnums=(0, 1))(
            x, jnp.float32(threshold)
        )
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
