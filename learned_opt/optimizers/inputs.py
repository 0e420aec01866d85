r"""What coordinatewise networks see of a gradient.

References:
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016, appendix A.
    Lv, Jiang, Li, Learning gradient descent: better generalization and longer horizons, ICML 2017, section 4.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from learned_opt.core.errors import unknown_name
from learned_opt.core.types import Array, Params
from learned_opt.optimizers.leaves import zeros_like

# The number of inputs a coordinate that each choice gives.
SIZES = {"log_sign": 2, "normalized": 2, "normalized_and_size": 3}
LOG_SIGN_P = 10.0
NORMALIZED_EPS = 1e-8
NO_MOMENTS: tuple[Params, Params] = ((), ())


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A choice of inputs; `optimizers.lstm` documents them.

    Attributes:
        name: a key of `SIZES`.
        betas: decay rates of the moments, with normalised inputs.

    Raises:
        ValueError: if the name is unknown, or a rate out of its range.
    """

    name: str
    betas: tuple[float, float] = (0.95, 0.95)

    def __post_init__(self):
        if self.name not in SIZES:
            raise unknown_name("inputs", self.name, SIZES)
        if len(self.betas) != 2 or any(not 0 <= b < 1 for b in self.betas):
            raise ValueError(f"betas={self.betas!r}: give two decay rates in [0, 1)")

    @property
    def size(self) -> int:
        """Numbers a coordinate."""
        return SIZES[self.name]

    @property
    def normalized(self) -> bool:
        """Whether gradients are divided by their size, which takes two moments of them."""
        return self.name != "log_sign"

    @property
    def num_moments(self) -> int:
        """Trees like the params that the state has."""
        return 2 if self.normalized else 0

    def init(self, params: Params) -> tuple[Params, Params]:
        """The moments at first, `NO_MOMENTS` where none are needed."""
        return (zeros_like(params), zeros_like(params)) if self.normalized else NO_MOMENTS

    def trees(self, state: Any) -> tuple[Params, ...]:
        """Those moments of a state, fields `mu` and `nu`, that there are to zip with."""
        return (state.mu, state.nu) if self.normalized else ()

    def of(self, g: Array, moments: Sequence[Array], count: Array) -> tuple[Array, Sequence[Array]]:
        """Inputs f32[..., size] from a gradient f32[...] and its moments, and the new moments."""
        return _normalized(g, moments, self.betas, count, self.size) if self.normalized else (log_sign(g), ())

    def bounded(self, out: Array) -> Array:
        """What the network says, bounded where it sees no scale."""
        return jnp.tanh(out) if self.normalized else out


def log_sign(g: Array) -> Array:
    """Size and sign of the gradient: f32[...] -> f32[..., 2]."""
    size = jnp.maximum(jnp.abs(g), math.exp(-LOG_SIGN_P))
    # Below e^-p the first input is log(e^-p)/p = -1 by itself, and the second goes linearly through 0.
    return jnp.stack([jnp.log(size) / LOG_SIGN_P, g / size], axis=-1)


def _normalized(
    g: Array, moments: Sequence[Array], betas: tuple[float, float], count: Array, num_inputs: int
) -> tuple[Array, Sequence[Array]]:
    m, v = moments
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * jnp.square(g)
    t = count.astype(jnp.float32)
    m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    # The root's derivative at 0 is infinite; the gradient is a constant of meta-training by default, but
    # its second-order form differentiates it.
    root = jnp.where(v_hat > 0, jnp.sqrt(jnp.where(v_hat > 0, v_hat, 1)), 0) + NORMALIZED_EPS
    inputs = [m_hat / root, g / root, jnp.log(root) / LOG_SIGN_P][:num_inputs]
    return jnp.stack(inputs, axis=-1), (m, v)
