r"""The rate of convergence as a meta-objective.

Reference:
    Nguyen, Mobiny, Learning to learn using deep networks with memory capacity, equations 3 and 4.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array
from learned_opt.training.objectives import HISTORY, Objective, in_float

ROUNDING = 4  # units in the last place of a loss, below which its changes are rounding errors
MIN_LOG_RATIO = 1e-3  # of two changes; below it they are equal
MAX_RATE = 10.0
MAX_SLOPE = (
    1e6  # of a step's rate along a change of the loss; the derivative itself is as large as 1 / change
)


class Memory(NamedTuple):
    """What is remembered of a trajectory; all f32[].

    Attributes:
        first: its first loss; NaN once a loss was not finite.
        total: the sum of the rates of the steps that count.
        count: how many these are.
        credit: the shares of the steps so far, times T - 2.
    """

    first: Array
    total: Array
    count: Array
    credit: Array


class Steps(NamedTuple):
    """What some consecutive steps show; leaves [K].

    Attributes:
        rates: f32, their orders of convergence.
        counted: bool, whether a rate counts: whether rounding leaves something of it.
        resting: bool, whether the loss changes by no more than its rounding error.
    """

    rates: Array
    counted: Array
    resting: Array


def convergence_rate() -> Objective:
    r"""The mean order of convergence of the losses; larger is better, so subtract it.

    .. math::

        \bar\alpha = \operatorname{mean}_n \alpha_n, \qquad
        \alpha_n = \frac{\log |d_n / d_{n-1}|}{\log |d_{n-1} / d_{n-2}|}, \qquad d_n = f_n - f_{n-1},
        \qquad 3 \le n \le T

    It is 1 for geometric decay and 2 for Newton-like decay. A step counts

    - as the formula says, clipped to [-10, 10], where rounding leaves something of it;
    - 0 where the changes grow twice in a row: the formula gives a divergence its order too;
    - 0 where a loss is NaN or infinite, and where the changes stay the same (a straight line, steady
      oscillation): the denominator is below 1e-3;
    - not at all, neither in the sum nor in the number of steps, where changes are within the rounding error
      of the losses, or so near it that the denominator is not known. A trajectory that is at its floor keeps
      the rate that it came with.

    A trajectory that rests at its floor, below its first loss, has converged at least linearly: its mean is
    at least 1, even where it came there in fewer than three changes, of which no order can be measured. One
    that never moved has a rate of 0. Nothing here sees how low the floor is: to stop early counts as to have
    arrived.

    The rate is the same for losses of any scale. Its gradient is that of the formula, in proportion to
    1 / change, up to 1e6 along a change for the rate of a step; beyond that it keeps its direction and has
    that size. It is 0 where a step counts 0 or is clipped. Both are finite for all losses.

    Returns:
        The objective. Trajectories of fewer than three steps have no rate: 0.

    Example:
        >>> n = jnp.arange(12, dtype=jnp.float32)
        >>> rate = convergence_rate()
        >>> [round(float(rate(losses)), 1) for losses in (0.5**n, 1 + 0.1**n, 2**n, 0 * n)]
        [1.0, 1.0, 0.0, 0.0]

    Reference:
        Equations 3 and 4. Deviation: the cases above; the expectation is the mean over steps and
        problems.
    """

    def start(first_loss: Array) -> Memory:
        zero = jnp.zeros_like(first_loss)
        return Memory(first_loss, zero, zero, zero)

    def share(memory: Memory, window: Array, steps: Array, horizon: int | Array) -> tuple[Array, Memory]:
        found = _measure(window)
        counted = found.counted & (steps >= HISTORY)
        total = memory.total + jnp.sum(jnp.where(counted, found.rates, 0))
        count = memory.count + jnp.sum(counted.astype(total.dtype))
        mean = total / jnp.maximum(count, 1)
        made, last = steps[-1].astype(total.dtype), window[-1]
        first = jnp.where(jnp.all(jnp.isfinite(window[HISTORY:])), memory.first, jnp.nan)
        # More than rounding errors can have added up to, so that the loss did move.
        fell = first - last > made * _rounding(last, last)
        score = jnp.where(found.resting[-1] & fell, jnp.maximum(mean, 1), mean)
        credit = score * jnp.maximum(made - (HISTORY - 1), 0)
        with_a_rate = jnp.maximum(in_float(horizon) - (HISTORY - 1), 1)
        return (credit - memory.credit) / with_a_rate, Memory(first, total, count, credit)

    return Objective(share, start)


def _measure(losses: Array) -> Steps:
    """f32[3 + K] -> K steps: the order of convergence that each four consecutive losses show."""
    finite = jnp.isfinite(losses)
    f = jnp.where(finite, losses, 0)
    change = f[1:] - f[:-1]
    known = finite[1:] & finite[:-1] & jnp.isfinite(change)
    size, rounding = jnp.abs(jax.lax.stop_gradient(change)), _rounding(f[1:], f[:-1])
    real = known & (size > rounding)
    noise = jnp.where(real, rounding / jnp.where(real, size, 1), 1)
    log_size = jnp.log(jnp.where(real, size, 1))
    above, below = log_size[2:] - log_size[1:-1], log_size[1:-1] - log_size[:-2]
    # To first order, neither error of a logarithm lets the rate err by more than 1, or than itself.
    denominator = jnp.maximum(jnp.abs(below), MIN_LOG_RATIO)
    clear = noise[2:] + noise[1:-1] <= jnp.maximum(jnp.abs(above), denominator)
    clear &= noise[1:-1] + noise[:-2] <= denominator
    clear &= real[2:] & real[1:-1] & real[:-2]
    defined = clear & (jnp.abs(below) > MIN_LOG_RATIO) & ((above < 0) | (below < 0))
    # Where nothing is defined, changes that are as good as any: a derivative of NaN times 0 is NaN.
    changes = (change[:-2], change[1:-1], change[2:])
    rates = _order(*(jnp.where(defined, d, safe) for d, safe in zip(changes, (4, 2, 1), strict=True)))
    rates = jnp.where(defined, jnp.clip(rates, -MAX_RATE, MAX_RATE), 0)
    broken = ~(known[2:] & known[1:-1] & known[:-2])
    return Steps(rates, clear | broken, known[2:] & ~real[2:])


def _rounding(loss: Array, before: Array) -> Array:
    """The rounding error of a change of the loss, or the smallest change that has a logarithm."""
    kind = jnp.finfo(loss.dtype)
    size = jnp.maximum(jnp.abs(loss), jnp.abs(before))
    return jax.lax.stop_gradient(jnp.maximum(ROUNDING * kind.eps * size, kind.tiny))


@jax.custom_jvp
def _order(first: Array, second: Array, third: Array) -> Array:
    """Equation 3 of three consecutive changes."""
    sizes = [jnp.log(jnp.abs(change)) for change in (first, second, third)]
    return (sizes[2] - sizes[1]) / (sizes[1] - sizes[0])


@_order.defjvp
def _order_jvp(changes: Any, tangents: Any) -> tuple[Array, Array]:
    """The derivative, scaled down to `MAX_SLOPE`; it is linear in the tangents and so has a transpose."""
    rate = _order(*changes)
    below = jnp.log(jnp.abs(changes[1])) - jnp.log(jnp.abs(changes[0]))
    smallest = functools.reduce(jnp.minimum, [jnp.abs(change) for change in changes])
    # In units of the smallest change, where all numbers are moderate.
    slopes = [
        along * (smallest / change) / below
        for along, change in zip((rate, -1 - rate, 1), changes, strict=True)
    ]
    largest = functools.reduce(jnp.maximum, [jnp.abs(slope) for slope in slopes])
    scale = jnp.minimum(1 / smallest, MAX_SLOPE / jnp.maximum(largest, jnp.finfo(rate.dtype).tiny))
    return rate, scale * sum(slope * tangent for slope, tangent in zip(slopes, tangents, strict=True))
