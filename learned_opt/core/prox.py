"""Proximal operators of the penalties of sparse coding.

Reference:
    Parikh, Boyd, Proximal algorithms, Foundations and Trends in Optimization 1(3), 2014, chapter 6.
"""

import jax.numpy as jnp

from learned_opt.core.types import Array


def soft_threshold(x: Array, threshold: Array | float) -> Array:
    r"""The proximal operator of the l1 norm.

    .. math::

        \operatorname*{argmin}_z \tfrac12 \|z - x\|^2 + \sum_i t_i |z_i|
        = \operatorname{sign}(x) \max(|x| - t, 0)

    Args:
        x: any shape.
        threshold: t, at least 0: a number, or an array of x's shape with one for each entry.

    Returns:
        An array of x's shape and dtype.

    Example:
        >>> soft_threshold(jnp.float32([3.0, -0.5, -2.0]), 1.0)
        Array([ 2.,  0., -1.], dtype=float32)
    """
    t = jnp.asarray(threshold, x.dtype)
    return x - jnp.clip(x, -t, t)


def hard_threshold(x: Array, threshold: Array | float) -> Array:
    r"""Keeps the entries above a threshold, which is the proximal operator of the l0 penalty.

    .. math::

        \operatorname*{argmin}_z \tfrac12 \|z - x\|^2 + \sum_i \tfrac{t_i^2}{2} [z_i \ne 0]
        = \begin{cases} x_i & |x_i| > t_i \\ 0 & \text{otherwise} \end{cases}

    The derivative is 1 where an entry is kept and 0 elsewhere; none reaches the threshold.

    Args:
        x: any shape.
        threshold: t, at least 0: a number, or an array of x's shape with one for each entry.

    Returns:
        An array of x's shape and dtype.

    Example:
        >>> hard_threshold(jnp.float32([3.0, -0.5, -2.0]), 1.0)
        Array([ 3.,  0., -2.], dtype=float32)
    """
    return jnp.where(jnp.abs(x) > jnp.asarray(threshold, x.dtype), x, jnp.zeros_like(x))


def block_soft_threshold(x: Array, threshold: Array | float, group_size: int) -> Array:
    r"""The proximal operator of the group norm l1,2, whose groups are `group_size` neighbours each.

    .. math::

        \operatorname*{argmin}_z \tfrac12 \|z - x\|^2 + \sum_g t_g \|z_g\|
        = \Big(\max\big(1 - t_g / \|x_g\|, 0\big)\, x_g\Big)_g

    Args:
        x: [n]; n is a multiple of `group_size`.
        threshold: t, at least 0: a number, or [n]; the threshold of a group is the mean of its entries'.
        group_size: entries in a group.

    Returns:
        An array of x's shape and dtype; its derivative is finite everywhere.

    Example:
        >>> block_soft_threshold(jnp.float32([3.0, 4.0, 0.1, 0.0]), 1.0, group_size=2)
        Array([2.4, 3.2, 0. , 0. ], dtype=float32)
    """
    t = jnp.asarray(threshold, x.dtype)
    if t.ndim:
        t = jnp.mean(t.reshape(-1, group_size), axis=1)
    norms = group_norms(x, group_size)
    kept = norms > t
    factors = jnp.where(kept, 1 - t / jnp.where(kept, norms, 1), 0)
    return (x.reshape(-1, group_size) * factors[:, None]).reshape(x.shape)


def group_norms(x: Array, group_size: int) -> Array:
    """The norm of each group of neighbours, with derivative 0 at 0: [n] -> [n / group_size]."""
    squares = jnp.sum(jnp.square(x.reshape(-1, group_size)), axis=1)
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)
