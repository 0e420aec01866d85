"""Newton-Schulz orthogonalisation: the direction that moves all of a matrix's singular directions alike.

References:
    Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein, Muon: an optimizer for hidden layers in neural
    networks, 2024: the quintic iteration and its coefficients.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array
from learned_opt.optimizers.tensor_blocks import stored

# They maximise the slope at 0, so that small singular values grow quickly; large ones end within 0.7 to 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SMALL = 2**14  # entries of a matrix that may be filled up with zeros to share a stack with others


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
    wide = _is_wide(matrix)
    x = matrix if wide else jnp.swapaxes(matrix, -1, -2)
    square = jnp.sum(jnp.square(x), (-2, -1), keepdims=True)
    # The derivative of a root at zero is not finite.
    x = x / jnp.sqrt(jnp.where(square > 0, square, 1))

    def step(x: Array, _: None) -> tuple[Array, None]:
        gram = x @ jnp.swapaxes(x, -1, -2)
        return a * x + (b * gram + c * (gram @ gram)) @ x, None

    x, _ = jax.lax.scan(step, x, None, length=num_steps)
    return x if wide else jnp.swapaxes(x, -1, -2)


def orthogonalize_all(matrices: Sequence[Array], always: Array) -> list[Array]:
    """`orthogonalize` of each matrix, with as few stacks as possible, which are made once (see `stored`).

    Those of one shape, or of one shape and its transpose, are one stack. So are small ones whose sides round
    up to the same powers of two: rows and columns of zeros change nothing in the others.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, x in enumerate(matrices):
        sides = sorted(x.shape)
        key = tuple((n - 1).bit_length() for n in sides) if x.size <= SMALL else (*sides, "alone")
        groups.setdefault(key, []).append(i)
    done: list[Any] = [None] * len(matrices)
    for indices in groups.values():
        wide = [matrices[i] if _is_wide(matrices[i]) else matrices[i].T for i in indices]
        rows, columns = (max(x.shape[axis] for x in wide) for axis in (0, 1))
        stack = jnp.stack([jnp.pad(x, ((0, rows - x.shape[0]), (0, columns - x.shape[1]))) for x in wide])
        if len(indices) > 1:
            (stack,) = stored([stack], always)
        for i, x, y in zip(indices, wide, orthogonalize(stack), strict=True):
            y = y[: x.shape[0], : x.shape[1]]
            done[i] = y if _is_wide(matrices[i]) else y.T
    return done


def _is_wide(matrix: Array) -> bool:
    return matrix.shape[-2] <= matrix.shape[-1]
