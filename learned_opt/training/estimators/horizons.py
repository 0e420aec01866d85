"""Horizons that are drawn for each trajectory, so that a rule is not tied to one length; they compose."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key
from learned_opt.training.estimators.truncation import Horizon


def log_uniform(low: int, high: int) -> Callable[[Key, Array], Array]:
    r"""Horizons whose logarithm is uniform.

    .. math::

        T = \lfloor e^u \rceil, \qquad u \sim U(\log T_{\min}, \log T_{\max})

    Args:
        low: the shortest, in inner steps.
        high: the longest.

    Returns:
        A horizon for the estimators, which round what is drawn up to whole truncations.

    Raises:
        ValueError: unless `1 <= low <= high`.

    Example:
        >>> horizon = log_uniform(10, 1000)
        >>> 10 <= int(horizon(jax.random.key(0), jnp.int32(0))) <= 1000
        True

    Reference:
        Metz et al., VeLO: training versatile learned optimizers by scaling up, arXiv:2211.09760, 2022, draws
        the lengths of its trajectories so.
    """
    if not 1 <= low <= high:
        raise ValueError(f"low={low!r}, high={high!r}: give 1 <= low <= high")

    def horizon(key: Key, truncations: Array) -> Array:
        del truncations
        exponent = jax.random.uniform(key, (), jnp.float32, jnp.log(low), jnp.log(high))
        return jnp.clip(jnp.round(jnp.exp(exponent)).astype(jnp.int32), low, high)

    return horizon


def growing(horizon: Horizon, *, first: int, num_truncations: int) -> Horizon:
    r"""A curriculum: horizons below a limit that grows geometrically and is then lifted.

    .. math::

        T_n = \min\bigl(T,\ T_0\, (T / T_0)^{n / N}\bigr)

    where T is what the given horizon is (or is drawn to be) for a trajectory that begins after n truncations.

    Args:
        horizon: T, a number of inner steps or another horizon such as `log_uniform(10, 1000)`.
        first: :math:`T_0`, the limit at the beginning, in inner steps.
        num_truncations: N, the meta-steps until the limit is gone.

    Returns:
        A horizon for the estimators, which round what is drawn up to whole truncations.

    Raises:
        ValueError: if a number is below 1.

    Example:
        >>> horizon = growing(1000, first=10, num_truncations=200)
        >>> [int(horizon(jax.random.key(0), jnp.int32(n))) for n in (0, 100, 200, 300)]
        [10, 100, 1000, 1000]
    """
    check_at_least(1, first=first, num_truncations=num_truncations)
    draw = horizon if callable(horizon) else lambda key, truncations: jnp.int32(horizon)

    def limited(key: Key, truncations: Array) -> Array:
        longest = draw(key, truncations)
        share = jnp.minimum(truncations.astype(jnp.float32) / num_truncations, 1)
        ratio = jnp.maximum(longest.astype(jnp.float32) / first, 1)
        return jnp.minimum(longest, jnp.round(first * ratio**share).astype(jnp.int32))

    return limited
