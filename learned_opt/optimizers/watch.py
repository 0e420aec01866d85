"""What a safeguard knows of a run: where it started, how low it came, and how noisy it is."""

import math
from typing import NamedTuple, Self

import jax.numpy as jnp

from learned_opt.core.types import Array

FEW = 10  # steps that tell where a run starts, and bad steps that are too many
FOLLOW, SLOWLY = 0.1, 0.01  # weights of a step in means of the last ten steps and of the last hundred
SIGMAS = 6.0  # mean changes from step to step that a loss may lie above the lowest
LOST = 0.5  # share of what has been gained that may be lost
GROWN = 100.0  # how much gradients may grow where there is no loss to look at


class Watch(NamedTuple):
    """What is known of a run since it last changed hands, f32[] if not said otherwise.

    The signal is the loss, or the log of the gradient's size where no loss is given.

    Attributes:
        count: i32[], steps.
        first: signal of the first step.
        early: mean signal of the first ten steps.
        gradient: mean log size of the first ten gradients.
        step: largest log size of the first ten updates.
        last: signal of the last step.
        late: mean signal of the last ten steps or so, without spikes.
        slow: the same of the last hundred, the first ten steps left out.
        noise: mean change of the signal from one step to the next.
        best: lowest mean of late.
        kept: what it was when params were kept last.
        size: of the params, looked at every ten steps.
        bad: i32[], steps with a bad signal less those with a good one, at least 0.
        still: i32[], steps in a row that did not move the params in spite of a gradient.
    """

    count: Array
    first: Array
    early: Array
    gradient: Array
    step: Array
    last: Array
    late: Array
    slow: Array
    noise: Array
    best: Array
    kept: Array
    size: Array
    bad: Array
    still: Array

    @classmethod
    def fresh(cls) -> Self:
        """Of a run that has just begun, or changed hands."""
        zero, none = jnp.zeros([], jnp.float32), jnp.zeros([], jnp.int32)
        lowest = jnp.full_like(zero, jnp.inf)
        return cls(
            none, zero, zero, zero, zero, zero, zero, zero, zero, lowest, lowest, zero, bad=none, still=none
        )

    def observed(self, signal: Array, gradient: Array, step: Array) -> Self:
        """After one more step; a signal that is not finite changes nothing but the count."""
        n = self.count + 1
        steps = n.astype(jnp.float32)
        early = n <= FEW
        ok = jnp.isfinite(signal)
        signal = jnp.where(ok, signal, self.last)

        def mean(old: Array, new: Array, least: float = 0.0) -> Array:
            weight = jnp.maximum(1 / steps, least)
            return jnp.where(n > 1, old + weight * (new - old), new)

        change = jnp.where(n > 1, jnp.abs(signal - self.last), 0)
        # However a loss explodes, its noise grows by a fifth a step at most.
        change = jnp.where(early, change, jnp.minimum(change, 3 * self.noise + 1e-3 * jnp.abs(self.late)))
        noise = mean(self.noise, change, FOLLOW)
        usual = jnp.where(early, signal, jnp.minimum(signal, self.late + 3 * noise))
        late = mean(self.late, usual, FOLLOW)
        return self._replace(
            count=n,
            first=jnp.where(n > 1, self.first, signal),
            early=jnp.where(early, mean(self.early, signal), self.early),
            gradient=jnp.where(early, mean(self.gradient, gradient), self.gradient),
            step=jnp.where(n > 1, jnp.where(early, jnp.maximum(self.step, step), self.step), step),
            last=signal,
            late=late,
            slow=jnp.where(
                early,
                usual,
                self.slow + jnp.maximum(1 / jnp.maximum(steps - FEW, 1), SLOWLY) * (usual - self.slow),
            ),
            noise=noise,
            best=jnp.where(ok, jnp.minimum(self.best, late), self.best),
        )

    @property
    def due(self) -> Array:
        """Whether this step is the first of ten, when what costs a pass over all params is done."""
        return self.count % FEW == 1

    @property
    def start(self) -> Array:
        """Where the signal started, without what the first steps may have spoiled."""
        return jnp.minimum(self.early, self.first + SIGMAS * self.noise)

    def limit(self, has_value: bool) -> Array:
        """The signal above which a step is bad."""
        if not has_value:
            return jnp.where(self.count > FEW, self.start + math.log(GROWN), jnp.inf)
        lost = jnp.maximum(SIGMAS * self.noise, LOST * (self.start - self.best))
        return self.best + lost + 1e-3 * jnp.abs(self.best)
