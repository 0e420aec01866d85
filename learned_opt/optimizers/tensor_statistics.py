"""What a controller is told of each tensor: numbers without a scale, from sums over the tensor.

Gradients are computed with in a unit of about the size that a tensor's gradients have had, and all that is
remembered of them is of their first power: their squares would leave the range of float32 from 1e-19 on.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.types import Array
from learned_opt.optimizers.tensor_blocks import Blocks, settled, total

MOMENTUM, SECOND, TRAIL, RECENT, AGREEMENT = 0.9, 0.999, 0.97, 0.9, 0.95  # decay rates of means
FORGET = 0.9995  # decay rate of the unit, that of the root of the second moment
FIRST_UNIT = 1e-15  # before there was a gradient: squares of what is to count as one are float32 numbers
LARGEST = 1e33  # of a gradient's entry; sums of its multiples are still float32 numbers
SMALLEST = 1e-37  # largest entry of a gradient that counts as zero; one over it is a float32 number
BOUND = 1e18  # of the size of params; its square is a float32 number
LARGEST_IN_UNITS = 1e15  # the same, in a tensor's unit
EVER, NOW = 1.0, 2.0  # a row of a matrix has had a gradient before, or has one in this step
RARE, USUAL = 0.2, 0.6  # shares of a matrix's rows that have a gradient in a step
OUTLIER = 5.0  # a gradient more than so many times as large as usual is cut to that

FEATURES = (
    "one", "time", "snr", "decline", "fast_up", "fast_down", "slow_up", "slow_down", "straight", "size",
    "matrix", "fan_in", "known", "progress", "log_step",
)  # fmt: skip


class TensorStatistics(NamedTuple):
    """What is remembered of each tensor, f32[num_tensors] each.

    Attributes:
        age: updates whose gradient was not all zeros.
        peak: the unit: the largest root mean square of a gradient so far, slowly forgotten.
        total: root of the sum of the gradients' mean squares.
        recent: root of the mean of the last ten or so of them.
        usual: root of their mean over as many as the second moment's.
        momentum: root mean square of the momentum.
        size: root mean square of the param.
        log_step: what the controller has added to the log step.
        fast: mean cosine of a gradient and the momentum before it.
        slow: mean cosine of a gradient and the trail of updates.
        pace: mean root mean square of the updates.
        relative: root mean square of the last update over the tensor's size.
        gate_orthogonal: share of the orthogonalised direction in the last update.
        gate_adam: share of Adam's direction.
        gate_momentum: share of the momentum's.
    """

    age: Array
    peak: Array
    total: Array
    recent: Array
    usual: Array
    momentum: Array
    size: Array
    log_step: Array
    fast: Array
    slow: Array
    pace: Array
    relative: Array
    gate_orthogonal: Array
    gate_adam: Array
    gate_momentum: Array

    @classmethod
    def first(cls, param: Any) -> Array:
        """A tensor's row before any update, f32[15]."""
        row = jnp.zeros(len(cls._fields), jnp.float32)
        return row.at[cls._fields.index("size")].set(root_mean_square(param))

    @classmethod
    def before(cls, blocks: Blocks, rows: Sequence[Array], params: Sequence[Array] | None) -> Self:
        """The statistics in the order of the blocks' rows, with the params' sizes."""
        old = cls(*jnp.stack(blocks.ordered(rows), axis=1))
        if params is None:
            return old
        size = root(blocks.join(map(total, map(jnp.square, params))) / blocks.sizes)
        return old._replace(size=jnp.minimum(size, BOUND))

    @property
    def unit(self) -> Array:
        """What to divide gradients by, never zero."""
        return jnp.where(self.peak > SMALLEST, self.peak, 1)

    @property
    def log_decline(self) -> Array:
        """Log of the gradients' size of late over their mean size so far."""
        recent = self.recent / self.unit * inverse(root(jnp.maximum(1 - RECENT**self.age, 1 - RECENT)))
        average = self.total / self.unit * inverse(root(jnp.maximum(self.age, 1)))
        return log_ratio(recent, average, -30.0, 2.0)

    def rows(self) -> list[Array]:
        """A row for each tensor."""
        return list(jnp.stack(self, axis=1))


def is_finite(g: Array) -> Array:
    """Where a gradient is finite, or nearly."""
    return jnp.abs(g) <= LARGEST


def in_units(g: Array, scale: Array) -> Array:
    """Gradients times one over their unit, 0 where they are not finite.

    Beside such numbers the unit is an older one, so that others may be larger than it; those are cut.
    """
    return jnp.where(is_finite(g), jnp.clip(g * scale, -LARGEST_IN_UNITS, LARGEST_IN_UNITS), 0)


def measured(
    old: TensorStatistics,
    blocks: Blocks,
    gradients: Sequence[Array],
    mus: Sequence[Array],
    trails: Sequence[Array],
) -> tuple[TensorStatistics, Array]:
    """The statistics with this step's unit; in it the gradient's mean products, f32[4, num_tensors].

    They are those with itself, with the old momentum and with the trail, and the trail's with itself.
    """
    faded, ones = FORGET * old.peak, jnp.ones_like(old.peak)
    first = jnp.where(faded > SMALLEST, faded, FIRST_UNIT)

    def in_unit(unit: Array, gradients: Sequence[Array]) -> Array:
        # XLA would write a scaled gradient, or a scale for each coordinate, if two sums shared it.
        scales = map(blocks.split, settled(jnp.stack([1 / unit] * 3)))
        sums = blocks.join(map(_products, gradients, mus, trails, *scales)) / blocks.sizes[None]
        return sums * jnp.stack([ones, 1 / unit, ones, ones])

    # Each sum reads its arrays once. Only where that gives no number is the gradient looked at beforehand.
    sums = in_unit(first, gradients)
    usable = jnp.all(jnp.isfinite(sums)) & jnp.all(root(sums[0] * blocks.sizes) * first <= LARGEST)

    def plain() -> tuple[Array, Array, Array]:
        return root(sums[0]) * first, first, sums

    def cautious() -> tuple[Array, Array, Array]:
        largest = blocks.join(map(_largest, gradients))
        unit = jnp.maximum(largest, faded)
        unit = jnp.where(unit > SMALLEST, unit, 1)
        bounded = [in_units(g, 1 / u) * u for g, u in zip(gradients, blocks.split(unit), strict=True)]
        sums = in_unit(unit, bounded)
        # Beside numbers that are not finite the unit stays an older one.
        return jnp.where(largest > 0, root(sums[0]) * unit, 0), unit, sums

    size, unit, sums = jax.lax.cond(usable, plain, cautious)
    old = old._replace(peak=jnp.maximum(size, faded))
    scale = unit / old.unit
    power, with_mu, with_trail, trail = sums
    return old, jnp.stack([power * scale * scale, with_mu * scale * scale, with_trail * scale, trail])


def _products(g: Array, mu: Array, trail: Array, *scales: Array) -> Array:
    """Sums of the scaled gradient times itself, the momentum and the trail, and of the trail's squares."""
    a, b, c = scales
    return jnp.stack([total((g * a) ** 2), total((g * b) * mu), total((g * c) * trail), total(trail * trail)])


def observe(old: TensorStatistics, sums: Array) -> tuple[TensorStatistics, Array]:
    """The next statistics and the factor, at most 1, on each tensor's gradient; 0 where there is none."""
    power, with_mu, with_trail, trail = sums
    unit = old.unit
    some = power > 0
    usual = old.usual / unit * inverse(root(1 - SECOND**old.age))
    cut = jnp.minimum(1, OUTLIER * usual * inverse(root(power)))
    cut = jnp.where(some, jnp.where(old.age > 0, cut, 1), 0)
    fast = with_mu * inverse(root(power) * old.momentum / unit)
    slow = with_trail * inverse(root(power) * root(trail))
    power, with_mu = power * jnp.square(cut), with_mu * cut

    def mean(root_of_old: Array, decay: float) -> Array:
        return root(decay * jnp.square(root_of_old / unit) + (1 - decay) * power) * unit

    # The mean square of a sum, from those of its terms and of their product.
    a, b = MOMENTUM, 1 - MOMENTUM
    momentum = a * a * jnp.square(old.momentum / unit) + 2 * a * b * with_mu + b * b * power
    new = old._replace(
        age=old.age + 1,
        total=root(jnp.square(old.total / unit) + power) * unit,
        recent=mean(old.recent, RECENT),
        usual=mean(old.usual, SECOND),
        momentum=root(momentum) * unit,
        fast=RECENT * old.fast + (1 - RECENT) * fast,
        slow=AGREEMENT * old.slow + (1 - AGREEMENT) * slow,
    )
    new = TensorStatistics(*(jnp.where(some, x, y) for x, y in zip(new, old, strict=True)))
    return new, cut


def dense_shares(
    blocks: Blocks, grads: Sequence[Array], rms: Sequence[Array], along: Sequence[bool]
) -> Array:
    """How little each matrix is like an embedding, f32[num_tensors]; 0 for those that are not asked for.

    0 to 1 as the share of its rows with a gradient grows: of the rows that have ever had one, those count
    that have one now.
    """
    seen = [_rows_seen(*pair) if yes else jnp.zeros(1) for *pair, yes in zip(grads, rms, along, strict=True)]
    counts = [jnp.stack([total(rows >= NOW), total(rows >= EVER)]) for rows in blocks.padded(seen)]
    now, ever = blocks.join(counts).astype(jnp.float32)
    share = jnp.where(now > 0, now / jnp.maximum(ever, 1), 1)
    return jnp.clip((share - RARE) / (USUAL - RARE), 0, 1) * np.array(blocks.ordered(along), np.float32)


def _rows_seen(g: Array, rms: Array) -> Array:
    """For each row of a matrix whether it has ever had a gradient, and whether it has now, f32[...].

    One reduction a matrix: a program takes as long to compile as it has of them.
    """
    return jnp.max(jnp.where(g != 0, NOW, jnp.where(rms > 0, EVER, 0)), axis=-1)


def look_ahead(old: TensorStatistics, sums: Array, cut: Array) -> Array:
    """The root mean square of Nesterov's momentum, .81 of the old momentum and .19 of the gradient."""
    power, with_mu, _, _ = sums
    a, b = MOMENTUM**2, (1 - MOMENTUM**2) * cut
    square = a * a * jnp.square(old.momentum / old.unit) + 2 * a * b * with_mu + b * b * power
    return root(square) * old.unit


def features(
    new: TensorStatistics,
    old: TensorStatistics,
    sums: Array,
    shapes: Sequence[tuple[int, ...]],
    look: Array,
    progress: Array,
    known: Array,
) -> Array:
    """What the controller sees, of order one, f32[num_tensors, num_features]."""
    trail = sums[3]
    age = new.age
    look = look / new.unit / jnp.maximum(1 - MOMENTUM ** (age + 1), 1 - MOMENTUM)
    recent = new.recent / new.unit * inverse(root(jnp.maximum(1 - RECENT**age, 1 - RECENT)))
    fast = new.fast / jnp.maximum(1 - RECENT**age, 1 - RECENT)
    slow = new.slow / jnp.maximum(1 - AGREEMENT**age, 1 - AGREEMENT)
    fan_in = np.log([max(fans(s)[0] if len(s) > 1 else fans(s)[1], 1) for s in shapes])
    ones = jnp.ones_like(age)
    values = {
        "one": ones,
        "time": jnp.log1p(age / 30) / 4,
        "snr": log_ratio(look, recent, -3.0, 0.5) + 1,
        "decline": jnp.maximum(new.log_decline, -20) / 3,
        "fast_up": jnp.maximum(fast, 0),
        "fast_down": jnp.minimum(fast, 0),
        "slow_up": jnp.maximum(slow, 0),
        "slow_down": jnp.minimum(slow, 0),
        "straight": log_ratio(root(trail), old.pace, -4.0, 0.0) / 2 + 0.5,
        "size": log_ratio(new.size, size_floors(shapes), -3.0, 3.0) / 3,
        "matrix": jnp.asarray([len(s) > 1 for s in shapes], jnp.float32),
        "fan_in": jnp.asarray(fan_in / 4 - 0.7, jnp.float32),
        "known": jnp.where(known, ones, 0),
        "progress": ones * progress,
        "log_step": new.log_step / 2,
    }
    return jnp.stack([values[name] for name in FEATURES], axis=1)


def size_floors(shapes: Sequence[tuple[int, ...]]) -> Array:
    """The least size that steps are relative to: params that start at zero have to get away."""
    floors = [0.1 / max(fans(s)[0], 1) ** 0.5 if len(s) > 1 else 0.5 for s in shapes]
    return jnp.asarray(floors, jnp.float32)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a tensor as a matrix: all axes but the last, and the last."""
    return (int(np.prod(shape[:-1])), shape[-1]) if len(shape) > 1 else (1, int(np.prod(shape)))


def root_mean_square(x: Any) -> Array:
    """Over the whole of a tensor, 0 for an empty one; at most 1e18."""
    x = jnp.asarray(x).astype(jnp.float32)
    return jnp.minimum(root(jnp.sum(jnp.square(x)) / max(x.size, 1)), BOUND)


def root(x: Array) -> Array:
    """A root whose derivative at zero is zero."""
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0)


def inverse(x: Array) -> Array:
    """1 / x, and 0 for 0."""
    return jnp.where(x > 0, 1 / jnp.where(x > 0, x, 1), 0)


def log_ratio(a: Array, b: Array, low: float, high: float) -> Array:
    """log(a / b) within bounds; 0 where either is 0."""
    ok = (a > 0) & (b > 0)
    ratio = jnp.where(ok, a, 1) / jnp.where(ok, b, 1)
    return jnp.where(ok, jnp.clip(jnp.log(jnp.where(ratio > 0, ratio, 1)), low, high), 0)


def _largest(g: Array) -> Array:
    """The largest entry of each tensor, 0 where one is not finite, f32[num_rows]."""
    axes = range(1, g.ndim)
    # Two reductions read the gradient twice; one of its absolute value would write that first.
    largest = jnp.maximum(jnp.max(g, axis=axes, initial=0.0), -jnp.min(g, axis=axes, initial=0.0))
    return jnp.where(largest <= LARGEST, largest, 0)
