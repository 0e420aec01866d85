"""Quadratics of two numbers: their monomials, and what scales each by its own range."""

import jax.numpy as jnp

from learned_opt.core.types import Array

# Of the coefficients of quadratics, each scaled by its own range: from a million draws.
SCALED_COVARIANCE = [
    [0.0172, 0, 0, 0, 0, -0.0136],
    [0, 0.0172, 0, 0, 0, -0.0136],
    [0, 0, 0.0149, 0, 0, 0],
    [0, 0, 0, 0.0140, 0, 0],
    [0, 0, 0, 0, 0.0140, 0],
    [-0.0136, -0.0136, 0, 0, 0, 0.0244],
]


def monomials(x: Array) -> Array:
    """Those of the two numbers x f32[..., 2] up to degree 2, f32[..., 6]."""
    x1, x2 = x[..., 0], x[..., 1]
    return jnp.stack([x1 * x1, x2 * x2, x1 * x2, x1, x2, jnp.ones_like(x1)], axis=-1)


def scaled_by_own_range(q: Array) -> Array:
    """The coefficients f32[6] of a quadratic, such that its values on [-1, 1]^2 just fill [-0.3, 0.3].

    Its least and its greatest value are at a corner, where the derivative along an edge is 0, or where both
    derivatives are. Where such a point is outside the square, the nearest one inside does no harm.
    """
    a, b, c, d, e, f = q
    sides = jnp.array([-1.0, 1.0])

    def ratio(x: Array, y: Array) -> Array:
        return jnp.where(y == 0, 0.0, x / jnp.where(y == 0, 1.0, y))

    corners = jnp.stack(jnp.meshgrid(sides, sides), axis=-1).reshape(4, 2)
    vertical = jnp.stack([sides, ratio(-(c * sides + e), 2 * b)], axis=-1)
    horizontal = jnp.stack([ratio(-(c * sides + d), 2 * a), sides], axis=-1)
    inside = ratio(jnp.stack([c * e - 2 * b * d, c * d - 2 * a * e]), 4 * a * b - c * c)[None, :]
    points = jnp.clip(jnp.concatenate([corners, vertical, horizontal, inside]), -1, 1)
    values = monomials(points) @ q
    factor = 0.6 / (values.max() - values.min())
    scaled = factor * q
    return scaled.at[5].set(factor * (f - (values.max() + values.min()) / 2))
