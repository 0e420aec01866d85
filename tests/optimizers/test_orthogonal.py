"""Newton-Schulz against the singular value decomposition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.optimizers.orthogonal import COEFFICIENTS, orthogonalize


@pytest.mark.parametrize("shape", [(8, 8), (5, 20), (20, 5), (1, 7), (7, 1), (3, 6, 4)])
def test_singular_vectors_stay_and_singular_values_are_near_one(shape):
    matrix = jax.random.normal(jax.random.key(0), shape)
    values = np.linalg.svd(np.asarray(orthogonalize(matrix)), compute_uv=False)
    assert np.all(values > 0.3)  # the smallest of a square one may need more steps
    assert np.all(values < 1.3)
    u, s, vt = np.linalg.svd(np.asarray(matrix), full_matrices=False)
    s = s / np.linalg.norm(s, axis=-1, keepdims=True)
    a, b, c = COEFFICIENTS
    for _ in range(5):  # the same polynomial of each singular value
        s = a * s + b * s**3 + c * s**5
    np.testing.assert_allclose(orthogonalize(matrix), (u * s[..., None, :]) @ vt, atol=2e-5)


def test_zero_is_zero_and_has_a_finite_derivative():
    zero = jnp.zeros((3, 2))
    assert np.all(np.asarray(orthogonalize(zero)) == 0)
    gradient = jax.grad(lambda x: jnp.sum(orthogonalize(x)))(zero)
    assert np.all(np.isfinite(gradient))
