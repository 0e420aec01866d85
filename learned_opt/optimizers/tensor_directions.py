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
from learned_opt.optimizers.tensor_statistics import MOMENTUM, SECOND, TRAIL, fans, inverse, is_finite, root


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


def roots(g: Array, x: Array, rms: Array, plan: Plan) -> Array:
    """Next root mean squares of a block's gradients in their unit, -1 where one is not finite."""
    square = plan.second * jnp.square(rms * (1 / plan.unit)) + (1 - SECOND) * jnp.square(x * plan.cut)
    return jnp.where(is_finite(g), root(square), -1)


def _momentum(x: Array, mu: Array, plan: Plan) -> Array:
    return plan.momentum * (mu * (1 / plan.unit)) + (1 - MOMENTUM) * (x * plan.cut)


def remembered(x: Array, mu: Array, r: Array, plan: Plan) -> Array:
    """The next mean of the gradients."""
    return kept(r, _momentum(x, mu, plan) * plan.unit, mu)


def _looked_ahead(x: Array, mu: Array, plan: Plan) -> Array:
    """Nesterov's momentum in the gradient's unit."""
    return MOMENTUM * _momentum(x, mu, plan) + (1 - MOMENTUM) * (x * plan.cut)


def adapted(x: Array, mu: Array, r: Array, plan: Plan) -> Array:
    """Adam's direction, of any size."""
    return jnp.where(r > 0, _looked_ahead(x, mu, plan) * plan.normalizer / jnp.where(r > 0, r, 1), 0)


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


def mixed(orthogonal: Array | None, adapted: Array, r: Array, factors: tuple[Array, ...]) -> Array:
    """The update of a block; the momentum is Adam's direction times r."""
    update = adapted * (factors[1] + factors[2] * r)
    return update if orthogonal is None else update + factors[0] * orthogonal


def followed(update: Array, trail: Array, r: Array, plan: Plan) -> Array:
    """The next mean of the updates, turned around so that it is like a gradient."""
    return kept(r, plan.trail * trail - (1 - TRAIL) * update, trail)


def kept(r: Array, new: Array, old: Array) -> Array:
    """The new state where the gradient was finite, the old one elsewhere."""
    return jnp.where(r >= 0, new, old)


def orthogonalized(
    blocks: Blocks,
    xs: Sequence[Array],
    mus: Sequence[Array],
    rs: Sequence[Array],
    parts: Sequence[Plan],
    along: Sequence[bool],
) -> list[Array | None]:
    """Blocks of the orthogonalised momentum, zeros for tensors without; None for blocks without."""
    if not any(along):
        return [None] * len(xs)
    leaves = blocks.unpack(list(map(_looked_ahead, xs, mus, parts)))
    chosen = [i for i, yes in enumerate(along) if yes]
    whole = [_resharded(leaves[i], None).reshape(fans(leaves[i].shape)) for i in chosen]
    done = list(map(jnp.zeros_like, leaves))
    for i, y in zip(chosen, orthogonalize_all(whole), strict=True):
        done[i] = _resharded(y.reshape(leaves[i].shape), leaves[i])
    # A coordinate that has never had a gradient rests, whatever its row and column do.
    return [
        jnp.where(r > 0, x, 0) if any(along[i] for i in group) else None
        for x, r, group in zip(blocks.pack(done), rs, blocks.groups, strict=True)
    ]


def _resharded(x: Array, like: Array | None) -> Array:
    """An array gathered, or split as another is, where its axes are sharded explicitly; elsewhere itself."""
    if not any(jax.typeof(x if like is None else like).sharding.spec):
        return x
    spec = PartitionSpec(*[None] * x.ndim) if like is None else jax.typeof(like).sharding.spec
    return jax.sharding.reshard(x, spec)
