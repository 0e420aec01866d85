"""Parts of the outer optimizer that optax does not have."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.types import Array, Theta


def scale_columns(scales: Sequence[float]) -> optax.GradientTransformation:
    """Multiplies the columns of each leaf, its last axis, by their factors."""

    def scaled(updates: Theta, params: Theta | None) -> Theta:
        del params
        return jax.tree.map(
            lambda u: u * jnp.asarray(scales, u.dtype).reshape(*(1,) * (u.ndim - 1), -1), updates
        )

    return optax.stateless(scaled)


class RunningMeanState(NamedTuple):
    """State of `running_mean`.

    Attributes:
        count: i32[], updates so far.
        mean_theta: the mean of theta after them.
    """

    count: Array
    mean_theta: Theta


def running_mean(share: float) -> optax.GradientTransformation:
    """Keeps a mean of theta, plain until it moves by `share` in a step; the last part of a chain."""

    def init(params: Theta) -> RunningMeanState:
        return RunningMeanState(jnp.zeros([], jnp.int32), jax.tree.map(jnp.copy, params))

    def update(updates: Theta, state: RunningMeanState, params: Theta | None = None) -> tuple[Theta, Any]:
        count = state.count + 1
        weight = jnp.maximum(share, 1 / (count.astype(jnp.float32) + 1))
        mean = jax.tree.map(
            lambda m, p, u: m + weight.astype(m.dtype) * (p + u - m), state.mean_theta, params, updates
        )
        return updates, RunningMeanState(count, mean)

    return optax.GradientTransformation(init, update)


def kept_theta(theta: Theta, outer_state: optax.OptState) -> Theta:
    """What is validated and kept: the running mean, where the outer optimizer has one, or theta."""
    mean = optax.tree.get(outer_state, "mean_theta")
    return theta if mean is None else mean
