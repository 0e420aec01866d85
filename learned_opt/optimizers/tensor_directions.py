"""What a tensor controller does with a block of tensors: their moments, directions and updates.

Where the text of these functions computes a thing again, it is so that XLA on a CPU reads and writes less.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from learned_opt.core.types import Array
from learned_opt.optimizers.orthogonal import orthogonalize_all
from learned_opt.optimizers.tensor_blocks import Blocks, total
from learned_opt.optimizers.tensor_statistics import (
    MOMENTUM,
    SECOND,
    TRAIL,
    fans,
    in_units,
    inverse,
    is_finite,
    root,
)


class Plan(NamedTuple):
    """What is done with a tensor in this step, f32[num_tensors] each, or as factors of a block."""

    unit: Array
    cut: Array  # on the gradient
    momentum: Array  # the decay rates, 1 where there is no gradient
    second: Array
    trail: Array
    normalizer: Array  # one over the size of Nesterov's momentum in its unit
    step: Array
    relative: Array
    orthogonal: Array  # the gates
    adam: Array
    plain: Array


def _gradient(g: Array, plan: Plan) -> Array:
    """Cut, in its unit, 0 where it is not finite."""
    return in_units(g, 1 / plan.unit) * plan.cut


def roots(g: Array, rms: Array, plan: Plan) -> Array:
    """The next root mean squares of the gradients."""
    scale = 1 / plan.unit
    square = plan.second * jnp.square(rms * scale) + (1 - SECOND) * jnp.square(_gradient(g, plan))
    finite = is_finite(g)
    # What ends with a division is written once, and not made again in each loop that reads it.
    return jnp.where(finite, root(square), rms) / jnp.where(finite, scale, 1)


def _momentum(g: Array, mu: Array, plan: Plan) -> Array:
    return plan.momentum * (mu * (1 / plan.unit)) + (1 - MOMENTUM) * _gradient(g, plan)


def remembered(g: Array, mu: Array, plan: Plan) -> Array:
    """The next mean of the gradients."""
    return jnp.where(is_finite(g), _momentum(g, mu, plan) * plan.unit, mu)


def _looked_ahead(g: Array, mu: Array, plan: Plan) -> Array:
    """Nesterov's momentum in the gradient's unit."""
    return MOMENTUM * _momentum(g, mu, plan) + (1 - MOMENTUM) * _gradient(g, plan)


def adapted(g: Array, mu: Array, rms: Array, plan: Plan) -> Array:
    """Adam's direction, of any size; 0 where there is none."""
    r = rms * (1 / plan.unit)
    moves = is_finite(g) & (r > 0)
    return jnp.where(moves, _looked_ahead(g, mu, plan) * plan.normalizer / jnp.where(r > 0, r, 1), 0)


def powers(
    blocks: Blocks, orthogonal: Sequence[Array | None], adapted: Sequence[Array]
) -> tuple[Array, Array]:
    """Mean squares of the directions, f32[num_tensors] each."""
    squares = [total(jnp.square(x)) for x in adapted]
    others = [
        jnp.zeros_like(s) if x is None else total(jnp.square(x))
        for x, s in zip(orthogonal, squares, strict=True)
    ]
    return blocks.join(others) / blocks.sizes, blocks.join(squares) / blocks.sizes


def factors(plan: Plan, orthogonal: Array, adapted: Array) -> Array:
    """What makes directions of RMS 1 of these, and all together of the step, f32[3, num_tensors]."""
    scales = [plan.orthogonal * inverse(root(orthogonal)), plan.adam * inverse(root(adapted)), plan.plain]
    return jnp.stack([-plan.step * scale for scale in scales])


def mixed(
    orthogonal: Array | None, adapted: Array, rms: Array, plan: Plan, factors: tuple[Array, ...]
) -> Array:
    """The update of a block; the momentum is Adam's direction times what that divides by."""
    update = adapted * (factors[1] + factors[2] * (rms * (1 / plan.unit)))
    return update if orthogonal is None else update + factors[0] * orthogonal


def followed(g: Array, update: Array, trail: Array, plan: Plan) -> Array:
    """The next mean of the updates, turned around so that it is like a gradient."""
    return jnp.where(is_finite(g), plan.trail * trail - (1 - TRAIL) * update, trail)


def orthogonalized(
    blocks: Blocks,
    gs: Sequence[Array],
    mus: Sequence[Array],
    rmss: Sequence[Array],
    parts: Sequence[Plan],
    along: Sequence[bool],
) -> list[Array | None]:
    """Blocks of the orthogonalised momentum, zeros for tensors without; None for blocks without."""
    if not any(along):
        return [None] * len(gs)
    leaves = blocks.unpack(list(map(_looked_ahead, gs, mus, parts)))
    chosen = [i for i, yes in enumerate(along) if yes]
    whole = [_resharded(leaves[i], None).reshape(fans(leaves[i].shape)) for i in chosen]
    done = list(map(jnp.zeros_like, leaves))
    for i, y in zip(chosen, orthogonalize_all(whole, blocks.always), strict=True):
        done[i] = _resharded(y.reshape(leaves[i].shape), leaves[i])
    # A coordinate that has never had a gradient rests, whatever its row and column do.
    return [
        jnp.where(is_finite(g) & (rms > 0), x, 0) if any(along[i] for i in group) else None
        for x, g, rms, group in zip(blocks.pack(done), gs, rmss, blocks.groups, strict=True)
    ]


def _resharded(x: Array, like: Array | None) -> Array:
    """An array gathered, or split as another is, where its axes are sharded explicitly; elsewhere itself."""
    if not any(jax.typeof(x if like is None else like).sharding.spec):
        return x
    spec = PartitionSpec(*[None] * x.ndim) if like is None else jax.typeof(like).sharding.spec
    return jax.sharding.reshard(x, spec)
