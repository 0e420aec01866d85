r"""Strong directions for each tensor, and a small learned controller of how far to go along them.

References:
    Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024: orthogonalised momentum.
    Ward, Wu, Bottou, AdaGrad stepsizes: sharp convergence over nonconvex landscapes, JMLR 2020: a step that
    shrinks with the gradient against all gradients so far, which `decline` below lets the controller take.
    Metz et al., VeLO: training versatile learned optimizers by scaling up, 2022; Moudgil et al., Celo:
    training versatile learned optimizers on a compute diet, 2025: a learned step for each tensor.
"""

import functools
import math
from typing import Any, Literal, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.trees import check_floating, check_same_structure, is_traced
from learned_opt.core.types import Array, LearnedOptimizer, Params, Theta
from learned_opt.optimizers import tensor_directions as directions
from learned_opt.optimizers.leaves import zeros_like
from learned_opt.optimizers.registry import registry
from learned_opt.optimizers.tensor_blocks import Blocks, settled
from learned_opt.optimizers.tensor_directions import Plan
from learned_opt.optimizers.tensor_statistics import (
    FEATURES,
    MOMENTUM,
    SECOND,
    TRAIL,
    TensorStatistics,
    dense_shares,
    fans,
    features,
    inverse,
    look_ahead,
    measured,
    observe,
    size_floors,
)

OUTPUTS = ("rate", "direct", "adam", "momentum")
MAX_RATE = 0.05  # of the change of a log step in one step
LOG_STEP_BOUNDS = (-12.0, 4.0)
CONVERGED = 1e-4  # gradients smaller than so much of their mean so far
WARM_UP = 10  # steps
NO_HORIZON = 0  # where the length of a run is not known; a number, as `jax.debug_infs` wants it
NO_SHARE = -1e30  # a logit whose share is exactly 0, likewise
BY_HAND = {
    ("snr", "direct"): 0.25,
    ("decline", "direct"): 1.0,
    ("fast_up", "rate"): 1.2,
    ("fast_down", "rate"): 3.0,
    ("slow_up", "rate"): 0.6,
    ("slow_down", "rate"): 3.0,
    ("log_step", "rate"): -0.5,
}
ALWAYS_ORTHOGONAL = 128  # the smaller side of matrices that are orthogonalised on a CPU too
FIRST_GATE = 4.0  # logit of a tensor's usual direction: at zero output it has 96 % of the update


class TensorControllerState(NamedTuple):
    """State of the tensor controller: three numbers a parameter, and fifteen a tensor.

    Attributes:
        count: i32[], updates made so far.
        mu: means of the gradients, leaves `param.shape` of the momentum's dtype.
        rms: root mean squares of the gradients, f32 leaves.
        trail: means of the updates, turned around, as `mu`.
        statistics: `TensorStatistics` of each tensor as leaves f32[15].
    """

    count: Array
    mu: Params
    rms: Params
    trail: Params
    statistics: Params


@registry.register
def tensor_controller(
    orthogonal: bool | Literal["auto"] = "auto",
    weight_decay: float = 0.0,
    max_step: float = 0.3,
    gains: Literal["zero", "by_hand"] = "zero",
    momentum_dtype: Literal["float32", "bfloat16"] = "float32",
    separate: bool = False,
) -> LearnedOptimizer:
    r"""Directions of one size for each tensor, with a step that a linear controller adapts.

    .. math::

        m_t &= .9\, m_{t-1} + .1\, g_t, \qquad n_t = .9\, m_t + .1\, g_t, \qquad
        v_t = .999\, v_{t-1} + .001\, g_t^2 \\
        r, o, a, b &= W^\top \phi_t, \qquad L_t = L_{t-1} + .05 \tanh r, \qquad
        \gamma = \operatorname{softmax}(4, a, b) \\
        u_t &= - \eta_t\, e^{L_t + o}\, \max(\mathrm{RMS}(w), f)\,
            \bigl(\rho_t \gamma_1 \overline{\mathrm{orth}(n_t)}
            + (\gamma_2 + (1 - \rho_t) \gamma_1) \overline{n_t / \sqrt{v_t}} + \gamma_3 \overline{n_t}\bigr)

    where a bar divides by the root mean square over the tensor. Tensors with one axis have no orthogonalised
    direction, nor have those that `orthogonal` excludes: for these the Adam direction comes first. Kernels
    with more than two axes are matrices of all axes but the last, and the last. Of the rows of a matrix that
    have ever had a gradient, a share has one in this step; :math:`\rho_t` goes with it from 0 at a fifth to 1
    at three: orthogonalised, the few words of a batch would move all that were seen before as far as
    themselves. The prior step :math:`\eta_t`
    is :math:`.03 (1 + t/30)^{-1/2}`, or :math:`.02 (1 + t/500)^{-1/2} (1 - t/T)` for `num_steps` T, after ten
    steps of warm-up; f is :math:`.1 / \sqrt{\text{fan-in}}` for matrices and .5 for vectors. All that the
    controller sees, the features :math:`\phi`, are ratios of sizes and cosines (see
    `tensor_statistics.features`): the rule is blind to the gradients' scale. Where theta, W, is zero, the
    rule is its prior.

    Once gradients are below a ten-thousandth of their mean so far, the step shrinks faster with them and the
    controller can no longer add to it. A tensor whose gradient is all zeros rests. A coordinate whose
    gradient is NaN or infinite gets a zero update and keeps its state. A gradient more than five times as
    large as usual is cut to that. Without `params` the last size that was seen counts.

    Tensors do not see each other. On one device small ones share arrays, so that a program does not grow with
    their number, and so do small matrices where they are orthogonalised. A sharded matrix is gathered for
    that, all else stays as it is sharded.

    Args:
        orthogonal: whether matrices move along orthogonalised directions: fifteen matrix products a step.
            "auto" for those with at most 128 rows or columns, and for larger ones where there is a GPU or a
            TPU: on a CPU these products can cost more than the gradient. Which it is is found out when
            the update is traced, from the platform that arrays lie on or, under `jax.jit`, jax's default.
        weight_decay: of `params`, times each tensor's relative step.
        max_step: the largest relative step, a fraction of a tensor's size.
        gains: what theta is at first: zero, or a few gains that were chosen by hand.
        momentum_dtype: in which the means of gradients and of updates are kept: with "bfloat16" eight bytes a
            parameter in place of twelve. The second moment, whose changes are below its precision, stays.
        separate: whether there is a second W, `"adam"`, for tensors along Adam's directions. What the two say
            of a matrix along orthogonalised ones counts :math:`1 - \rho_t` and :math:`\rho_t`.

    Returns:
        A learned optimizer; theta is `{"controller": f32[num_features, 4]}`, and `"adam"` likewise.

    Raises:
        ValueError: if `orthogonal`, `gains` or `momentum_dtype` is none of its values, `weight_decay` is
            negative or `max_step` is not positive; in `build`, if `num_steps` is below 1.

    Example:
        >>> lopt = tensor_controller()
        >>> tx = lopt.build(lopt.init(jax.random.key(0)))
        >>> params = {"w": jnp.ones((2, 2))}
        >>> updates, state = tx.update({"w": jnp.eye(2)}, tx.init(params), params)
        >>> round(float(updates["w"][0, 0]), 4), abs(float(updates["w"][0, 1]))
        (-0.0042, 0.0)
    """
    if orthogonal not in (True, False, "auto"):
        raise ValueError(f'orthogonal={orthogonal!r}: it must be True, False or "auto"')
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay={weight_decay!r}: it must not be negative")
    if not max_step > 0:
        raise ValueError(f"max_step={max_step!r}: it must be positive")
    if gains not in ("zero", "by_hand"):
        raise ValueError(f"gains={gains!r}: choose 'zero' or 'by_hand'")
    if momentum_dtype not in ("float32", "bfloat16"):
        raise ValueError(f"momentum_dtype={momentum_dtype!r}: choose 'float32' or 'bfloat16'")
    config = _Config(orthogonal, weight_decay, max_step)

    def init(key) -> Theta:
        del key
        controller = jnp.zeros((len(FEATURES), len(OUTPUTS)), jnp.float32)
        for (feature, output), gain in BY_HAND.items() if gains == "by_hand" else ():
            controller = controller.at[FEATURES.index(feature), OUTPUTS.index(output)].set(gain)
        return dict.fromkeys(("controller", *(["adam"] if separate else [])), controller)

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        check_same_structure(
            theta, jax.eval_shape(init, jax.random.key(0)), "theta", "tensor_controller's theta"
        )
        # optax.inject_hyperparams traces numbers, and a traced one has no value to look at.
        if num_steps is not None and not is_traced(num_steps) and not num_steps >= 1:
            raise ValueError(f"num_steps={num_steps!r}: give the length of the run, at least 1, or None")
        horizon = jnp.asarray(NO_HORIZON if num_steps is None else num_steps, jnp.float32)

        def init_fn(params: Params) -> TensorControllerState:
            check_floating(params, "params")
            mu, rms, trail = (
                zeros_like(params, dtype=jnp.dtype(name))
                for name in (momentum_dtype, "float32", momentum_dtype)
            )
            rows = jax.tree.map(TensorStatistics.first, params)
            return TensorControllerState(jnp.zeros([], jnp.int32), mu, rms, trail, rows)

        def update_fn(updates, state, params=None, **extra_args):
            del extra_args
            check_floating(updates, "gradients")
            check_same_structure(updates, state.mu, "gradients", "params")
            along = tuple(map(config.orthogonalizes, jax.tree.leaves(updates)))
            return _update(updates, state, params, theta, horizon, config, along)

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    return LearnedOptimizer(init, build)


class _Config(NamedTuple):
    orthogonal: bool | Literal["auto"]
    weight_decay: float
    max_step: float

    def orthogonalizes(self, x: Array) -> bool:
        """Whether a tensor moves along orthogonalised directions where it is computed with now."""
        if x.ndim < 2 or not x.size or not self.orthogonal:
            return False
        if self.orthogonal == "auto" and min(fans(x.shape)) > ALWAYS_ORTHOGONAL:
            devices = () if is_traced(x) else x.devices()
            return {d.platform for d in devices or jax.devices()[:1]} != {"cpu"}
        return True


class _Clock(NamedTuple):
    known: Array  # bool[], whether the length of the run is known
    progress: Array  # f32[], the share of it that is over, 0 where it is not known

    @classmethod
    def at(cls, count: Array, horizon: Array) -> Self:
        known = jnp.isfinite(horizon) & (horizon > NO_HORIZON)
        share = jnp.minimum(count.astype(jnp.float32) / jnp.where(known, horizon, 1), 1)
        return cls(known, jnp.where(known, share, 0))


# Where a user does not jit, an update is hundreds of operations and a few conditionals, each compiled anew.
@functools.partial(jax.jit, static_argnames=("config", "along"))
def _update(
    updates: Params,
    state: TensorControllerState,
    params: Params | None,
    theta: Theta,
    horizon: Array,
    config: _Config,
    along: tuple[bool, ...],
) -> tuple[Params, TensorControllerState]:
    clock = _Clock.at(state.count, horizon)
    count = jnp.asarray(optax.safe_increment(state.count))
    leaves, treedef = jax.tree.flatten(updates)
    if not leaves:
        return updates, state._replace(count=count)
    *kept, rows = (treedef.flatten_up_to(t) for t in state[1:])
    blocks = Blocks.of(leaves, always=count > 0)
    gs, mus, rmss, trails = map(blocks.pack, (leaves, *kept))
    weights = None if params is None else blocks.pack(treedef.flatten_up_to(params))

    old, sums = measured(TensorStatistics.before(blocks, rows, weights), blocks, gs, mus, trails)
    shares = dense_shares(blocks, leaves, kept[1], along)
    plan, new = _planned(old, sums, blocks, theta, clock, shares, config.max_step)
    plan = Plan(*settled(jnp.stack(plan)))
    parts = [Plan(*part) for part in zip(*map(blocks.split, plan), strict=True)]
    rmss = list(map(directions.roots, gs, rmss, parts))
    orthogonal = directions.orthogonalized(blocks, gs, mus, rmss, parts, along)
    adapted = list(map(directions.adapted, gs, mus, rmss, parts))
    factors = settled(directions.factors(plan, *directions.powers(blocks, orthogonal, adapted)))
    factors = list(zip(*map(blocks.split, factors), strict=True))
    us = list(map(directions.mixed, orthogonal, adapted, rmss, parts, factors))
    trails = list(map(directions.followed, gs, us, trails, parts))
    mus = list(map(directions.remembered, gs, mus, parts))
    if config.weight_decay and weights is not None:
        us = [
            u - config.weight_decay * part.relative * w for u, part, w in zip(us, parts, weights, strict=True)
        ]
    us = [u.astype(g.dtype) for u, g in zip(blocks.unpack(us), leaves, strict=True)]
    trees = [
        [x.astype(before.dtype) for x, before in zip(blocks.unpack(means), befores, strict=True)]
        for means, befores in zip((mus, rmss, trails), kept, strict=True)
    ]
    trees.append(blocks.restored(new.rows()))
    return treedef.unflatten(us), TensorControllerState(count, *map(treedef.unflatten, trees))


def _planned(
    old: TensorStatistics,
    sums: Array,
    blocks: Blocks,
    theta: Theta,
    clock: _Clock,
    shares: Array,
    max_step: float,
) -> tuple[Plan, TensorStatistics]:
    """What the controller makes of the statistics, and the next statistics."""
    shapes = blocks.ordered(blocks.shapes)
    new, cut = observe(old, sums)
    look = look_ahead(old, sums, cut)
    seen = features(new, old, sums, shapes, look, clock.progress, clock.known)
    said = seen @ theta["controller"]
    if "adam" in theta:
        said = shares[:, None] * said + (1 - shares[:, None]) * (seen @ theta["adam"])
    rate, direct, adam, plain = said.T
    # Where all is solved, agreement says nothing any more, and steps that grow with it lead away again.
    below = jnp.minimum(new.log_decline - math.log(CONVERGED), 0)
    rate, direct = jnp.where(below < 0, jnp.minimum(rate, 0), rate), direct + below / 2
    present = new.age > old.age
    log_step = jnp.clip(new.log_step + MAX_RATE * jnp.tanh(rate), *LOG_STEP_BOUNDS)
    new = new._replace(log_step=jnp.where(present, log_step, old.log_step))
    relative = jnp.where(present, _relative_step(new, direct, clock, max_step), 0)
    step = relative * jnp.maximum(new.size, size_floors(shapes))
    gates = _gates(adam, plain, shares)
    new = new._replace(
        pace=jnp.where(present, TRAIL * new.pace + (1 - TRAIL) * step, old.pace),
        relative=relative,
        gate_orthogonal=gates[0],
        gate_adam=gates[1],
        gate_momentum=gates[2],
    )
    # A tensor without a gradient has a cut and a step of 0; decays of 1 then keep its state.
    momentum, second, trail = (jnp.where(present, decay, 1) for decay in (MOMENTUM, SECOND, TRAIL))
    normalizer = inverse(look / old.unit)
    return Plan(old.unit, cut, momentum, second, trail, normalizer, step, relative, *gates), new


def _relative_step(statistics: TensorStatistics, direct: Array, clock: _Clock, max_step: float) -> Array:
    """The RMS of each tensor's update over its size, f32[num_tensors]."""
    first, patience = jnp.where(clock.known, 0.02, 0.03), jnp.where(clock.known, 500, 30)
    prior = jnp.log(first) - 0.5 * jnp.log1p(statistics.age / patience)
    log_step = prior + statistics.log_step + jnp.clip(direct, -30, 4)
    capped = jnp.exp(jnp.clip(log_step, -60, math.log(max_step)))
    return capped * jnp.minimum(1, statistics.age / WARM_UP) * (1 - clock.progress)


def _gates(adam: Array, plain: Array, shares: Array) -> tuple[Array, Array, Array]:
    """Shares of the orthogonalised direction, Adam's and the momentum's, f32[num_tensors]."""
    first = jnp.full_like(adam, FIRST_GATE)
    along = shares > 0
    logits = jnp.stack([jnp.where(along, first, NO_SHARE), jnp.where(along, adam, first), plain])
    orthogonal, adapted, momentum = jax.nn.softmax(logits, axis=0)
    return shares * orthogonal, adapted + (1 - shares) * orthogonal, momentum
