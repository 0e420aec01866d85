"""Step-size factors over a run of known length."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from learned_opt.core.trees import is_traced
from learned_opt.core.types import Array


def cosine_factor(num_steps: Any) -> Callable[[Array], Array]:
    """The factor on the update at a step: `(1 + cos(pi step / num_steps)) / 2`, 0 from the end on.

    The length of the run is an int of at least 1 or a traced number; `None` is for a factor of 1.
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
