"""Proximal operators of the penalties of sparse coding.

Reference:
    Parikh, Boyd, Proximal algorithms, Foundations and Trends in Optimization 1(3), 2014, chapter 6.
"""

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array

NORM_STEPS = 8  # of Newton's method on the norm of a group


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

    With a threshold for each entry, which is what step sizes of their own are, it is the operator in their
    metric: a point that is stationary with one step size is so with any.

    .. math::

        \operatorname*{argmin}_z \sum_i \frac{(z_i - x_i)^2}{2 t_i} + \sum_g \|z_g\|
        = \Big(\frac{r_g}{r_g + t_i}\, x_i\Big)_i, \qquad
        r_g = \|z_g\|: \ \sum_{i \in g} \frac{x_i^2}{(r_g + t_i)^2} = 1

    and 0 where the sum is at most 1 for every r above 0.

    Args:
        x: [n]; n is a multiple of `group_size`.
        threshold: t, at least 0: a number, or [n], one for each entry.
        group_size: entries in a group.

    Returns:
        An array of x's shape and dtype; its derivative is finite everywhere.

    Example:
        >>> block_soft_threshold(jnp.float32([3.0, 4.0, 0.1, 0.0]), 1.0, group_size=2)
        Array([2.4, 3.2, 0. , 0. ], dtype=float32)
    """
    t = jnp.asarray(threshold, x.dtype)
    if t.ndim:
        x32, t32 = (v.astype(jnp.float32).reshape(-1, group_size) for v in (x, t))
        return _in_the_metric(x32, t32).reshape(x.shape).astype(x.dtype)
    norms = group_norms(x, group_size)
    kept = norms > t
    factors = jnp.where(kept, 1 - t / jnp.where(kept, norms, 1), 0)
    return (x.reshape(-1, group_size) * factors[:, None]).reshape(x.shape)


def _in_the_metric(x: Array, t: Array) -> Array:
    """The operator with a threshold for each entry, of groups [n / group_size, group_size]."""
    size = jnp.abs(x)
    at_most_two = jnp.where(size > 0, size / jnp.where(size > 0, jnp.maximum(t, size / 2), 1), 0)
    kept = jnp.sum(jnp.square(at_most_two), axis=1) > 1
    # Groups that are set to zero stand for one whose norm is found as well as any.
    x_kept, t_kept = jnp.where(kept[:, None], x, 1), jnp.where(kept[:, None], t, 0)

    def closer(r: Array, x: Array, t: Array) -> Array:
        """Newton's step on the root of the sum, to the power -1/2: concave in r, it never goes too far."""
        inverse = 1 / (r[:, None] + t)
        terms = jnp.square(x * inverse)
        total = jnp.sum(terms, axis=1)
        return r + total * (jnp.sqrt(total) - 1) / jnp.sum(terms * inverse, axis=1)

    xs, ts = jax.lax.stop_gradient((x_kept, t_kept))
    below = jnp.max(jnp.abs(xs) - ts, axis=1), group_norms(xs.ravel(), x.shape[1]) - jnp.max(ts, axis=1)
    least = jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(xs), axis=1)
    r = jnp.maximum(jnp.maximum(*below), least)
    r = jax.lax.fori_loop(0, NORM_STEPS, lambda _, r: closer(r, xs, ts), r)
    r = closer(jax.lax.stop_gradient(r), x_kept, t_kept)[:, None]  # whose derivative is that of the root
    return jnp.where(kept[:, None], x * r / (r + t_kept), 0)


def group_norms(x: Array, group_size: int) -> Array:
    """The norm of each group of neighbours, with derivative 0 at 0: [n] -> [n / group_size]."""
    squares = jnp.sum(jnp.square(x.reshape(-1, group_size)), axis=1)
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)
