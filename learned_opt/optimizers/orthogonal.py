"""Newton-Schulz orthogonalisation: the direction that moves all of a matrix's singular directions alike.

References:
    Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein, Muon: an optimizer for hidden layers in neural
    networks, 2024: the quintic iteration and its coefficients.
"""

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array

# They maximise the slope at 0, so that small singular values grow quickly; large ones end within 0.7 to 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrix: Array, num_steps: int = 5) -> Array:
    r"""A matrix with the same singular vectors, and singular values that are roughly one.

    .. math::

        X_0 = M / \lVert M \rVert_F, \qquad
        X_{k+1} = a X_k + (b A_k + c A_k^2) X_k, \qquad A_k = X_k X_k^\top

    Args:
        matrix: f32[..., n, m]; a stack of them is one batched product. Entries of order one.
        num_steps: of the iteration.

    Returns:
        f32[..., n, m]; zero where the matrix is.

    Example:
        >>> values = jnp.diagonal(orthogonalize(jnp.diag(jnp.array([3.0, 0.1]))))
        >>> [round(float(x), 1) for x in values]
        [0.7, 1.1]
    """
    a, b, c = COEFFICIENTS
    wide = matrix.shape[-2] <= matrix.shape[-1]
    x = matrix if wide else jnp.swapaxes(matrix, -1, -2)
    square = jnp.sum(jnp.square(x), (-2, -1), keepdims=True)
    # The derivative of a root at zero is not finite.
    x = x / jnp.sqrt(jnp.where(square > 0, square, 1))

    def step(x: Array, _: None) -> tuple[Array, None]:
        gram = x @ jnp.swapaxes(x, -1, -2)
        return a * x + (b * gram + c * (gram @ gram)) @ x, None

    x, _ = jax.lax.scan(step, x, None, length=num_steps)
    return x if wide else jnp.swapaxes(x, -1, -2)
