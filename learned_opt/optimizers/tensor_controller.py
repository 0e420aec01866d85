r"""Strong directions for each tensor, and a small learned controller of how far to go along them.

References:
    Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024: orthogonalised momentum.
    Ward, Wu, Bottou, AdaGrad stepsizes: sharp convergence over nonconvex landscapes, JMLR 2020: a step that
    shrinks with the gradient against all gradients so far, which `decline` below lets the controller take.
    Metz et al., VeLO: training versatile learned optimizers by scaling up, 2022; Moudgil et al., Celo:
    training versatile learned optimizers on a compute diet, 2025: a learned step for each tensor.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import PartitionSpec

from learned_opt.core.trees import check_floating, check_same_structure, is_traced
from learned_opt.core.types import Array, LearnedOptimizer, Params, Theta
from learned_opt.optimizers.leaves import keep_unless, zeros_like
from learned_opt.optimizers.orthogonal import orthogonalize
from learned_opt.optimizers.registry import registry
from learned_opt.optimizers.tensor_statistics import (
    FEATURES,
    LARGEST,
    MOMENTUM,
    SECOND,
    TRAIL,
    TensorStatistics,
    fans,
    features,
    inverse,
    look_ahead,
    moments,
    observe,
    root_mean_square,
    size_floors,
)

OUTPUTS = ("rate", "direct", "adam", "momentum")
MAX_RATE = 0.05  # of the change of a log step in one step
LOG_STEP_BOUNDS = (-12.0, 4.0)
CONVERGED = 1e-4  # gradients smaller than so much of their mean so far
WARM_UP = 10  # steps
BY_HAND = {
    ("one", "rate"): -0.05,
    ("snr", "direct"): 0.75,
    ("decline", "direct"): 1.5,
    ("fast_up", "rate"): 1.2,
    ("fast_down", "rate"): 3.0,
    ("slow_up", "rate"): 0.6,
    ("slow_down", "rate"): 3.0,
}
FIRST_GATE = 4.0  # logit of a tensor's usual direction: at zero output it has 96 % of the update


class TensorControllerState(NamedTuple):
    """State of the tensor controller: twelve bytes a parameter, and eleven numbers a tensor.

    Attributes:
        count: i32[], updates made so far.
        mu: means of the gradients, f32 leaves `param.shape`.
        rms: root mean squares of the gradients, likewise.
        trail: means of the updates, turned around, likewise.
        statistics: `TensorStatistics` of each tensor as leaves f32[11].
    """

    count: Array
    mu: Params
    rms: Params
    trail: Params
    statistics: Params


@registry.register
def tensor_controller(
    orthogonal: bool = True,
    weight_decay: float = 0.0,
    max_step: float = 0.3,
    gains: Literal["zero", "by_hand"] = "zero",
) -> LearnedOptimizer:
    r"""Directions of one size for each tensor, with a step that a linear controller adapts.

    .. math::

        m_t &= .9\, m_{t-1} + .1\, g_t, \qquad n_t = .9\, m_t + .1\, g_t, \qquad
        v_t = .999\, v_{t-1} + .001\, g_t^2 \\
        r, o, a, b &= W^\top \phi_t, \qquad L_t = L_{t-1} + .05 \tanh r, \qquad
        \gamma = \operatorname{softmax}(4, a, b) \\
        u_t &= - \eta_t\, e^{L_t + o}\, \max(\mathrm{RMS}(w), f)\,
            \bigl(\gamma_1 \overline{\mathrm{orth}(n_t)} + \gamma_2 \overline{n_t / \sqrt{v_t}}
            + \gamma_3 \overline{n_t}\bigr)

    where a bar divides by the root mean square over the tensor. Tensors with one axis have no orthogonalised
    direction, nor has any with `orthogonal=False`: for these the Adam direction comes first. Kernels with
    more than two axes are matrices of all axes but the last, and the last. The prior step :math:`\eta_t` is
    :math:`.03 (1 + t/30)^{-1/2}`, or :math:`.02 (1 - t/T)` for `num_steps` T, after ten steps of warm-up; f
    is :math:`.1 / \sqrt{\text{fan-in}}` for matrices and .5 for vectors. All that the controller sees, the
    features :math:`\phi`, are ratios of sizes and cosines (see `tensor_statistics.features`): the rule is
    blind to the gradients' scale. Where theta, W, is zero, the rule is its prior.

    Once gradients are below a ten-thousandth of their mean so far, the step shrinks faster with them and the
    controller can no longer add to it. A tensor whose gradient is all zeros rests. A coordinate whose
    gradient is NaN or infinite gets a zero update and keeps its state. A gradient more than five times as
    large as usual is cut to that. Without `params` the last size that was seen counts.

    Tensors do not see each other. Matrices of one shape are orthogonalised in one stack; a sharded one is
    gathered for that, all else stays as it is sharded.

    Args:
        orthogonal: whether matrices move along orthogonalised directions: fifteen matrix products a step.
        weight_decay: of `params`, times each tensor's relative step.
        max_step: the largest relative step, a fraction of a tensor's size.
        gains: what theta is at first: zero, or a few gains that were chosen by hand.

    Returns:
        A learned optimizer; theta is `{"controller": f32[num_features, 4]}`.

    Raises:
        ValueError: if `weight_decay` is negative, `max_step` not positive or `gains` unknown; in `build`, if
            `num_steps` is below 1.

    Example:
        >>> lopt = tensor_controller()
        >>> tx = lopt.build(lopt.init(jax.random.key(0)))
        >>> params = {"w": jnp.ones((2, 2))}
        >>> updates, state = tx.update({"w": jnp.eye(2)}, tx.init(params), params)
        >>> round(float(updates["w"][0, 0]), 4), abs(float(updates["w"][0, 1]))
        (-0.0042, 0.0)
    """
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay={weight_decay!r}: it must not be negative")
    if not max_step > 0:
        raise ValueError(f"max_step={max_step!r}: it must be positive")
    if gains not in ("zero", "by_hand"):
        raise ValueError(f"gains={gains!r}: choose 'zero' or 'by_hand'")
    config = _Config(orthogonal, weight_decay, max_step)

    def init(key) -> Theta:
        del key
        controller = jnp.zeros((len(FEATURES), len(OUTPUTS)), jnp.float32)
        for (feature, output), gain in BY_HAND.items() if gains == "by_hand" else ():
            controller = controller.at[FEATURES.index(feature), OUTPUTS.index(output)].set(gain)
        return {"controller": controller}

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        check_same_structure(
            theta, jax.eval_shape(init, jax.random.key(0)), "theta", "tensor_controller's theta"
        )
        # optax.inject_hyperparams traces numbers, and a traced one has no value to look at.
        if num_steps is not None and not is_traced(num_steps) and not num_steps >= 1:
            raise ValueError(f"num_steps={num_steps!r}: give the length of the run, at least 1, or None")
        horizon = jnp.float32(jnp.inf) if num_steps is None else jnp.asarray(num_steps, jnp.float32)

        def init_fn(params: Params) -> TensorControllerState:
            check_floating(params, "params")
            mu, rms, trail = (zeros_like(params) for _ in range(3))
            rows = jax.tree.map(TensorStatistics.first, params)
            return TensorControllerState(jnp.zeros([], jnp.int32), mu, rms, trail, rows)

        def update_fn(updates, state, params=None, **extra_args):
            del extra_args
            check_floating(updates, "gradients")
            check_same_structure(updates, state.mu, "gradients", "params")
            return _update(updates, state, params, theta["controller"], horizon, config)

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    return LearnedOptimizer(init, build)


class _Config(NamedTuple):
    orthogonal: bool
    weight_decay: float
    max_step: float


def _update(
    updates: Params,
    state: TensorControllerState,
    params: Params | None,
    controller: Array,
    horizon: Array,
    config: _Config,
) -> tuple[Params, TensorControllerState]:
    count = jnp.asarray(optax.safe_increment(state.count))
    leaves, treedef = jax.tree.flatten(updates)
    if not leaves:
        return updates, state._replace(count=count)
    mus, rmss, trails, rows = (treedef.flatten_up_to(t) for t in state[1:])
    weights = None if params is None else treedef.flatten_up_to(params)
    shapes = [g.shape for g in leaves]
    gs, finite = zip(*map(_finite, leaves), strict=True)

    old = TensorStatistics.stacked(rows, gs, weights)
    scales = 1 / old.unit
    gs = [g * scale for g, scale in zip(gs, scales, strict=True)]
    sums = jnp.stack(list(map(moments, gs, mus, trails, old.unit)), axis=1)
    new, cut = observe(old, sums)
    known, progress = jnp.isfinite(horizon), _progress(state.count, horizon)
    look = look_ahead(old, sums, cut)
    seen = features(new, old, sums, shapes, look, progress, known)
    rate, direct, *gates = (seen @ controller).T
    # Where all is solved, agreement says nothing any more, and steps that grow with it lead away again.
    below = jnp.minimum(new.log_decline - math.log(CONVERGED), 0)
    rate, direct = jnp.where(below < 0, jnp.minimum(rate, 0), rate), direct + below / 2
    present = new.age > old.age
    log_step = jnp.clip(new.log_step + MAX_RATE * jnp.tanh(rate), *LOG_STEP_BOUNDS)
    new = new._replace(log_step=jnp.where(present, log_step, old.log_step))
    relative = jnp.where(present, _relative_step(new, direct, progress, known, config.max_step), 0)
    step = relative * jnp.maximum(new.size, size_floors(shapes))
    new = new._replace(pace=jnp.where(present, TRAIL * new.pace + (1 - TRAIL) * step, old.pace))

    # A tensor without a gradient has a cut and a step of 0; decays of 1 then keep its state.
    momentum, second, trail = (jnp.where(present, decay, 1) for decay in (MOMENTUM, SECOND, TRAIL))
    looks, scales, mus, rmss = zip(
        *map(_accumulate, gs, finite, mus, rmss, old.unit, cut, momentum, second), strict=True
    )
    orthogonalized = _orthogonalized(looks, old.unit) if config.orthogonal else [None] * len(looks)
    us = map(_mixed, step, orthogonalized, looks, scales, inverse(look), *gates)
    us = [jnp.where(f, u, 0) for f, u in zip(finite, us, strict=True)]
    trails = map(_followed, finite, trails, us, trail)
    if config.weight_decay and weights is not None:
        us = [
            u - config.weight_decay * r * w.astype(jnp.float32)
            for u, r, w in zip(us, relative, weights, strict=True)
        ]
    us = [u.astype(g.dtype) for u, g in zip(us, leaves, strict=True)]
    trees = (treedef.unflatten(list(t)) for t in (mus, rmss, trails, new.rows()))
    return treedef.unflatten(us), TensorControllerState(count, *trees)


def _finite(g: Array) -> tuple[Array, Array]:
    """A gradient that can be computed with, and where it was finite (or nearly not)."""
    g = g.astype(jnp.float32)
    finite = jnp.abs(g) <= LARGEST
    return jnp.where(finite, g, 0), finite


def _progress(count: Array, horizon: Array) -> Array:
    """The share of the run that is over, 0 where its length is not known."""
    known = jnp.isfinite(horizon)
    return jnp.where(known, jnp.minimum(count.astype(jnp.float32) / jnp.where(known, horizon, 1), 1), 0)


def _relative_step(
    statistics: TensorStatistics, direct: Array, progress: Array, known: Array, max_step: float
) -> Array:
    """The RMS of each tensor's update over its size, f32[num_tensors]."""
    prior = jnp.where(known, math.log(0.02), math.log(0.03) - 0.5 * jnp.log1p(statistics.age / 30))
    log_step = prior + statistics.log_step + jnp.clip(direct, -30, 4)
    capped = jnp.exp(jnp.clip(log_step, -60, math.log(max_step)))
    return capped * jnp.minimum(1, statistics.age / WARM_UP) * (1 - progress)


def _accumulate(
    x: Array, finite: Array, mu: Array, rms: Array, unit: Array, cut: Array, momentum: Array, second: Array
):
    """Nesterov's momentum, the gradients' root mean square over the unit, and the next of both moments."""
    x = x * cut
    g = x * unit
    m = momentum * mu + (1 - MOMENTUM) * g
    r = jnp.sqrt(second * jnp.square(rms * (1 / unit)) + (1 - SECOND) * jnp.square(x))
    look = MOMENTUM * m + (1 - MOMENTUM) * g
    return look, r, keep_unless(finite, m, mu), keep_unless(finite, r * unit, rms)


def _orthogonalized(looks: Sequence[Array], units: Array) -> list[Array | None]:
    """The orthogonalised of those with rows and columns, those of one shape in one stack; None of others."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, x in enumerate(looks):
        if x.ndim > 1 and x.size:
            groups.setdefault(fans(x.shape), []).append(i)
    done: list[Array | None] = [None] * len(looks)
    for shape, indices in groups.items():
        whole = [_resharded(looks[i] / units[i], None).reshape(shape) for i in indices]
        for i, y in zip(indices, orthogonalize(jnp.stack(whole)), strict=True):
            done[i] = _resharded(y.reshape(looks[i].shape), looks[i])
    return done


def _resharded(x: Array, like: Array | None) -> Array:
    """An array gathered, or split as another is, where its axes are sharded explicitly; elsewhere itself."""
    if not any(jax.typeof(x if like is None else like).sharding.spec):
        return x
    spec = PartitionSpec(*[None] * x.ndim) if like is None else jax.typeof(like).sharding.spec
    return jax.sharding.reshard(x, spec)


def _followed(finite: Array, trail: Array, update: Array, decay: Array) -> Array:
    """The next mean of the updates, turned around so that it is like a gradient."""
    return keep_unless(finite, decay * trail - (1 - TRAIL) * update, trail)


def _mixed(
    step: Array,
    orthogonalized: Array | None,
    look: Array,
    scale: Array,
    normalizer: Array,
    adam: Array,
    momentum: Array,
) -> Array:
    """The update: a mixture of directions of RMS 1, times the step."""
    first = jnp.float32(FIRST_GATE)
    adapted = look * normalizer / jnp.where(scale > 0, scale, 1)
    directions, logits = [adapted], [first, momentum]
    if orthogonalized is not None:
        # A coordinate that has never had a gradient rests, whatever its row and column do.
        orthogonalized = jnp.where(scale > 0, orthogonalized, 0)
        directions, logits = [orthogonalized, adapted], [first, adam, momentum]
    *gates, last = -step * jax.nn.softmax(jnp.stack(logits))
    gates = [w * inverse(root_mean_square(d)) for w, d in zip(gates, directions, strict=True)]
    update = last * normalizer * look
    for weight, direction in zip(gates, directions, strict=True):
        update = update + weight * direction
    return update
