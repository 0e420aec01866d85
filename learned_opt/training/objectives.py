"""Meta-objectives: weighted sums of the losses of a trajectory, and its rate of convergence.

Reference:
    Nguyen, Mobiny, Learning to learn using deep networks with memory capacity, equations 3 to 5.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax.numpy as jnp

from learned_opt.core.errors import check_above_zero
from learned_opt.core.types import Array

HISTORY = 3  # losses before a step that its contribution may look at
MIN_CHANGE = 1e-30  # below it 1 / change would leave the range of float32
MIN_LOG_RATIO = 1e-3  # below it the rate is the ratio of two rounding errors
MAX_RATE = 10.0


@dataclasses.dataclass(frozen=True)
class Objective:
    r"""A meta-objective `f(f_0, ..., f_T) -> meta-loss`; objectives add and scale.

    It is a sum of one contribution a step, and the contribution of step t sees f_{t-3} to f_t. A
    trajectory cut into truncations therefore has the same objective as the whole one.

    Attributes:
        contributions: `(window: f32[3 + K], steps: i32[K], horizon) -> f32[K]`, the contributions of K
            consecutive steps; the window has the three losses before the first of them (f_0 stands for those
            before step 0), then theirs. The horizon is an int, or i32[] where it is drawn for each
            trajectory.

    Example:
        >>> objective = weighted_sum("final") - 0.5 * convergence_rate()
        >>> float(objective(jnp.float32([8, 4, 2, 1, 0.5])))
        0.0
    """

    contributions: Callable[[Array, Array, int | Array], Array]

    def __call__(self, losses: Array) -> Array:
        """The meta-loss f32[] of the losses f32[T + 1] of a whole trajectory, T >= 1."""
        if losses.ndim != 1 or losses.shape[0] < 2:
            raise ValueError(
                f"losses have shape {losses.shape}; give one trajectory of at least 2, and vmap over many"
            )
        horizon = losses.shape[0] - 1
        return self.truncation(initial_history(losses[0]), losses[1:], jnp.int32(0), horizon)

    def truncation(self, history: Array, losses: Array, step: Array, horizon: int | Array) -> Array:
        """The share of some consecutive steps in the meta-loss.

        Args:
            history: f32[3], the losses up to and including step `step`.
            losses: f32[K], those of the K steps that follow.
            step: i32[], where the truncation starts.
            horizon: T, inner steps of the whole trajectory, an int or i32[].

        Returns:
            f32[]; the truncations of a trajectory sum to the meta-loss of the whole.
        """
        window = jnp.concatenate([history, losses])
        steps = step + 1 + jnp.arange(losses.shape[0], dtype=jnp.int32)
        return jnp.sum(self.contributions(window, steps, horizon))

    def __add__(self, other: "Objective") -> "Objective":
        return Objective(lambda *a: self.contributions(*a) + other.contributions(*a))

    def __mul__(self, scale: float) -> "Objective":
        return Objective(lambda *a: scale * self.contributions(*a))

    __rmul__ = __mul__

    def __sub__(self, other: "Objective") -> "Objective":
        return self + -1.0 * other


def initial_history(first_loss: Array) -> Array:
    """What a trajectory remembers at step 0, f32[3]: the first loss, which stands for those before it too.

    A number that objectives are made for, where a NaN would stop a run under `jax.debug_nans`.
    """
    return jnp.full(HISTORY, first_loss)


def weighted_sum(
    weights: Literal["uniform", "linear", "final"] | Sequence[float] | Array = "uniform",
) -> Objective:
    r"""The weighted sum of the losses after each update.

    .. math::

        \sum_{t=1}^{T} w_t f(x_t)

    Args:
        weights: w_1 to w_T as they are, or a shape that sums to 1 for any horizon: `"uniform"` (1 / T),
            `"linear"` (proportional to t), `"final"` (all on step T).

    Returns:
        The objective.

    Raises:
        ValueError: if the shape is unknown, or T weights are given for another horizon.

    Example:
        >>> losses = jnp.float32([9, 3, 1])
        >>> [float(weighted_sum(w)(losses)) for w in ("uniform", "final", (1.0, 1.0))]
        [2.0, 1.0, 4.0]

    Reference:
        Equation 5, first term. Deviation: the named shapes sum to 1, so that the meta-loss and the weight of
        the convergence rate mean the same at every horizon.
    """
    if isinstance(weights, str):
        if weights not in ("uniform", "linear", "final"):
            raise ValueError(f"weights={weights!r}: choose 'uniform', 'linear', 'final', or give an array")
    else:
        weights = jnp.asarray(weights, jnp.float32)
        if weights.ndim != 1:
            raise ValueError(f"weights of shape {weights.shape}: give one weight a step, w_1 to w_T")

    def contributions(window: Array, steps: Array, horizon: int | Array) -> Array:
        losses = window[HISTORY:]
        if not isinstance(weights, str):
            if not isinstance(horizon, int):
                raise ValueError(
                    "weights given one by one need a fixed horizon; name a shape of them instead"
                )
            if weights.shape[0] != horizon:
                raise ValueError(f"{weights.shape[0]} weights for a horizon of {horizon} steps")
            return weights[steps - 1] * losses
        if weights == "final":
            # A product with 0 would let an infinite loss on the way turn the sum into NaN.
            return jnp.where(steps == horizon, losses, 0)
        total = _in_float(horizon)
        if weights == "linear":
            return steps.astype(losses.dtype) * losses * (2 / (total * (total + 1)))
        return losses / total

    return Objective(contributions)


def of_logarithms(objective: Objective, floor: float) -> Objective:
    r"""An objective of the logarithms of the losses.

    .. math::

        F(\log(f_0 + c), \dots, \log(f_T + c))

    A loss counts by its order of magnitude: problems whose losses differ by decades weigh the same, and so do
    the early and the late steps of a trajectory that converges.

    Args:
        objective: F.
        floor: c, a loss below which nothing more is to be gained; positive. Losses below 0 count as 0.

    Returns:
        The objective.

    Raises:
        ValueError: if the floor is not positive.

    Example:
        >>> losses = jnp.float32([4, 1.5, 0.5])
        >>> round(float(of_logarithms(weighted_sum("final"), floor=0.5)(losses)), 6)
        0.0

    Reference:
        Not from a paper.
    """
    check_above_zero(floor=floor)

    def contributions(window: Array, steps: Array, horizon: int | Array) -> Array:
        return objective.contributions(jnp.log(jnp.maximum(window, 0) + floor), steps, horizon)

    return Objective(contributions)


def convergence_rate() -> Objective:
    r"""The mean order of convergence of the losses; larger is better, so subtract it.

    .. math::

        \frac{1}{T - 2} \sum_{n=3}^{T} \alpha_n, \qquad
        \alpha_n = \frac{\log |d_n / d_{n-1}|}{\log |d_{n-1} / d_{n-2}|}, \qquad d_n = f_n - f_{n-1}

    It is 1 for geometric decay and 2 for Newton-like decay. The rate of a step is 0, with zero gradient,
    wherever the formula means nothing in float32: a loss that is NaN or infinite; a change that is zero,
    below 1e-30, or below the rounding error of the losses (stalled, exactly converged); a log-ratio in the
    denominator below 1e-3 (steady oscillation, straight-line descent). Elsewhere it is clipped to
    [-10, 10], with zero gradient outside. It is always finite, and so are its gradients.

    Returns:
        The objective. Trajectories of fewer than three steps have no rate: 0.

    Example:
        >>> geometric = jnp.float32(0.5) ** jnp.arange(12, dtype=jnp.float32)
        >>> round(float(convergence_rate()(geometric)), 5)
        1.0
        >>> float(convergence_rate()(jnp.ones(12)))
        0.0

    Reference:
        Equations 3 and 4. Deviation: the guards above; the expectation is the mean over steps, and over
        problems.
    """

    def contributions(window: Array, steps: Array, horizon: int | Array) -> Array:
        with_a_rate = jnp.maximum(_in_float(horizon) - 2, 1)
        return jnp.where(steps >= HISTORY, _rates(window), 0) / with_a_rate

    return Objective(contributions)


def _in_float(horizon: int | Array) -> Any:
    """What a horizon can be reckoned with: a Python number, or f32[] where it is drawn."""
    return horizon if isinstance(horizon, int) else horizon.astype(jnp.float32)


def _rates(losses: Array) -> Array:
    """f32[3 + K] -> f32[K]: the order of convergence that each four consecutive losses show."""
    finite = jnp.isfinite(losses)
    f = jnp.where(finite, losses, 0)
    change = f[1:] - f[:-1]
    rounding = 4 * jnp.finfo(f.dtype).eps * jnp.maximum(jnp.abs(f[1:]), jnp.abs(f[:-1]))
    size = jnp.abs(change)
    real = finite[1:] & finite[:-1] & (size > rounding) & (size > MIN_CHANGE) & jnp.isfinite(change)
    # Masked before the logarithm as well as after: a derivative of infinity times zero is NaN.
    log_size = jnp.log(jnp.where(real, size, 1))
    log_ratio = log_size[1:] - log_size[:-1]
    above, below = log_ratio[1:], log_ratio[:-1]
    defined = real[2:] & real[1:-1] & real[:-2] & (jnp.abs(below) > MIN_LOG_RATIO)
    rate = jnp.where(defined, above, 0) / jnp.where(defined, below, 1)
    return jnp.clip(rate, -MAX_RATE, MAX_RATE)
