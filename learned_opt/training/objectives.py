"""Meta-objectives: what they are, and weighted sums of the losses of a trajectory.

Reference:
    Nguyen, Mobiny, Learning to learn using deep networks with memory capacity, equation 5.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax.numpy as jnp

from learned_opt.core.errors import check_above_zero
from learned_opt.core.types import Array

HISTORY = 3  # losses before a truncation that an objective may look at
Memory = Any  # a pytree: what else it remembers of a trajectory


@dataclasses.dataclass(frozen=True)
class Objective:
    r"""A meta-objective `f(f_0, ..., f_T) -> meta-loss`; objectives add and scale.

    It is a sum over truncations. The share of one depends on its losses, the three before them and what the
    objective remembers of all earlier ones, so that a trajectory cut into truncations has the same objective
    as the whole one.

    Attributes:
        share: `(memory, window: f32[3 + K], steps: i32[K], horizon) -> (f32[], memory)`, the share of K
            consecutive steps; the window has the three losses before the first of them (f_0 stands for
            those before step 0), then theirs. The horizon is an int, or i32[] where it is drawn for each
            trajectory.
        start: `first_loss: f32[] -> memory`, at step 0; an objective that remembers nothing has `()`.

    Example:
        >>> objective = weighted_sum("final") + 0.5 * weighted_sum("uniform")
        >>> float(objective(jnp.float32([8, 4, 2])))
        3.5
    """

    share: Callable[[Memory, Array, Array, int | Array], tuple[Array, Memory]]
    start: Callable[[Array], Memory] = lambda first_loss: ()

    def __call__(self, losses: Array) -> Array:
        """The meta-loss f32[] of the losses f32[T + 1] of a whole trajectory, T >= 1."""
        if losses.ndim != 1 or losses.shape[0] < 2:
            raise ValueError(
                f"losses have shape {losses.shape}; give one trajectory of at least 2, and vmap over many"
            )
        horizon = losses.shape[0] - 1
        memory, history = self.start(losses[0]), initial_history(losses[0])
        return self.truncation(memory, history, losses[1:], jnp.int32(0), horizon)[0]

    def truncation(
        self, memory: Memory, history: Array, losses: Array, step: Array, horizon: int | Array
    ) -> tuple[Array, Memory]:
        """The share of some consecutive steps in the meta-loss.

        Args:
            memory: what the objective remembers of the steps up to `step`.
            history: f32[3], the losses up to and including step `step`.
            losses: f32[K], those of the K steps that follow.
            step: i32[], where the truncation starts.
            horizon: T, inner steps of the whole trajectory, an int or i32[].

        Returns:
            f32[], and the memory after these steps; the truncations of a trajectory sum to the meta-loss of
            the whole.
        """
        window = jnp.concatenate([history, losses])
        steps = step + 1 + jnp.arange(losses.shape[0], dtype=jnp.int32)
        return self.share(memory, window, steps, horizon)

    def __add__(self, other: "Objective") -> "Objective":
        def share(memory: Memory, *steps: Any) -> tuple[Array, Memory]:
            one, first = self.share(memory[0], *steps)
            another, second = other.share(memory[1], *steps)
            return one + another, (first, second)

        return Objective(share, lambda first_loss: (self.start(first_loss), other.start(first_loss)))

    def __mul__(self, scale: float | Array) -> "Objective":
        def share(*args: Any) -> tuple[Array, Memory]:
            one, memory = self.share(*args)
            return scale * one, memory

        return Objective(share, self.start)

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

    def contributions(losses: Array, steps: Array, horizon: int | Array) -> Array:
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
        total = in_float(horizon)
        if weights == "linear":
            return steps.astype(losses.dtype) * losses * (2 / (total * (total + 1)))
        return losses / total

    def share(memory: Memory, window: Array, steps: Array, horizon: int | Array) -> tuple[Array, Memory]:
        return jnp.sum(contributions(window[HISTORY:], steps, horizon)), memory

    return Objective(share)


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

    def logarithm(losses: Array) -> Array:
        return jnp.log(jnp.maximum(losses, 0) + floor)

    def share(memory: Memory, window: Array, steps: Array, horizon: int | Array) -> tuple[Array, Memory]:
        return objective.share(memory, logarithm(window), steps, horizon)

    return Objective(share, lambda first_loss: objective.start(logarithm(first_loss)))


def in_float(horizon: int | Array) -> Any:
    """What a horizon can be reckoned with: a Python number, or f32[] where it is drawn."""
    return horizon if isinstance(horizon, int) else horizon.astype(jnp.float32)
