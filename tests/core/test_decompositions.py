"""Decompositions under vmap, of many matrices at a time and several times in one program."""

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.decompositions import largest_eigenvalue, orthonormal_columns


def test_many_batches_in_one_program_end():
    """With a batched QR in the place of each this waits for ever on a machine of two to four cores."""
    keys = jax.random.split(jax.random.key(0), (4, 16))

    @jax.jit
    def decompose(keys):
        return [jax.vmap(lambda k: orthonormal_columns(jax.random.normal(k, (96, 64))))(own) for own in keys]

    for q in decompose(keys):
        products = np.asarray(jnp.matrix_transpose(q) @ q)
        np.testing.assert_allclose(products, np.broadcast_to(np.eye(64), products.shape), atol=1e-5)


def test_signs_are_those_of_a_positive_diagonal():
    a = np.random.default_rng(0).normal(size=(5, 7, 4)).astype(np.float32)
    q = np.asarray(jax.vmap(orthonormal_columns)(a))
    r = np.swapaxes(q, 1, 2) @ a
    assert np.all(np.diagonal(r, axis1=1, axis2=2) > 0)
    np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-5)


def test_largest_eigenvalues_of_a_batch():
    a = np.random.default_rng(0).normal(size=(5, 4, 4)).astype(np.float32)
    a = a @ np.swapaxes(a, 1, 2)
    expected = np.linalg.eigvalsh(a)[:, -1]
    np.testing.assert_allclose(jax.vmap(largest_eigenvalue)(a), expected, rtol=1e-5)
