"""Step-size factors over a run of known length."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from learned_opt.core.trees import is_traced
from learned_opt.core.types import Array


def cosine_factor(num_steps: Any) -> Callable[[Array], Array]:
    """The factor on the update at a step: `(1 + cos(pi step / num_steps)) / 2`, 0 from the end on.

    Args:
        num_steps: length of the run in inner steps, an int or a traced number; `None` for a factor of 1.

    Returns:
        `factor(step: i32[]) -> f32[]`.

    Raises:
        ValueError: if `num_steps` is below 1.

    Example:
        >>> factor = cosine_factor(100)
        >>> [round(float(factor(jnp.int32(t))), 3) for t in (0, 50, 100, 200)]
        [1.0, 0.5, 0.0, 0.0]
    """
    if num_steps is None:
        return lambda step: jnp.float32(1)
    # optax.inject_hyperparams traces numbers, and a traced one has no value to look at.
    if not is_traced(num_steps) and not num_steps >= 1:
        raise ValueError(f"num_steps={num_steps!r}: give the length of the run, at least 1, or None")

    def factor(step: Array) -> Array:
        done = step.astype(jnp.float32) / jnp.asarray(num_steps, jnp.float32)
        return 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(done, 1)))

    return factor
