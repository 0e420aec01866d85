r"""A coordinatewise LSTM on secant steps.

References:
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016: the
    coordinatewise network; arXiv version 1, section 3.3, the idea of giving it a quasi-Newton memory.
    Liu, Nocedal, On the limited memory BFGS method for large scale optimization, Mathematical Programming
    45, 1989: the direction.
    Barzilai, Borwein, Two-point step size gradient methods, IMA Journal of Numerical Analysis 8, 1988.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.errors import check_above_zero
from learned_opt.core.trees import check_floating, check_same_structure
from learned_opt.core.types import Array, LearnedOptimizer, Params, Theta
from learned_opt.optimizers.leaves import (
    copies_like,
    finite_gradient,
    keep_all_unless,
    layers_like,
    map_unzipped,
    positive,
    root_mean_square,
    split,
    unit,
    zeros_like,
)
from learned_opt.optimizers.lstm_stack import lstm_stack
from learned_opt.optimizers.registry import registry
from learned_opt.optimizers.schedules import cosine_factor

NUM_INPUTS, NUM_OUTPUTS = 6, 3
MIN_COSINE = 1e-6  # of step and change of the gradient; below it the curvature is rounding error
MAX_LOG = 10.0  # of the factors that the network puts on the directions
SMALLEST, LARGEST = 1e-37, 1e37  # of gamma
MAX_GRADIENT = 1e34


class SecantState(NamedTuple):
    """State of the secant LSTM: a struct of params-shaped trees.

    Attributes:
        count: i32[], updates made so far.
        hidden: for each layer a tree like the params; leaves are `param.shape + (hidden_size,)`.
        cell: the same for the cells.
        params: where the last gradient was taken, f32.
        step: the update that followed, f32.
        grad: the last gradient, f32.
        step_size: gamma of each tensor, f32, the same for all its coordinates.
        steps: the `memory` last steps that showed positive curvature, newest first, f32.
        changes: of the gradient over these steps, f32.
    """

    count: Array
    hidden: tuple[Params, ...]
    cell: tuple[Params, ...]
    params: Params
    step: Params
    grad: Params
    step_size: Params
    steps: tuple[Params, ...]
    changes: tuple[Params, ...]


@registry.register
def secant_lstm(
    hidden_sizes: tuple[int, ...] = (20, 20),
    memory: int = 2,
    first_step: float = 0.01,
    max_growth: float | None = None,
) -> LearnedOptimizer:
    r"""A stack of LSTMs, shared by all coordinates, that corrects quasi-Newton steps of a short memory.

    For each tensor by itself, the last steps :math:`s_t = x_t - x_{t-1}` and changes of the gradient
    :math:`y_t = g_t - g_{t-1}` tell a few curvatures. The BFGS formula makes a direction of the newest
    `memory` pairs, those with :math:`s^\top y > 0`:

    .. math::

        d_t = H_t g_t, \qquad
        H \leftarrow \left(I - \frac{s y^\top}{s^\top y}\right) H
            \left(I - \frac{y s^\top}{s^\top y}\right) + \frac{s s^\top}{s^\top y}
        \ \text{for each pair, from } \gamma_t I, \qquad
        \gamma_t = \frac{s_t^\top y_t}{y_t^\top y_t}

    The network sees, of each coordinate, :math:`d_t`, :math:`\gamma_t g_t` and :math:`s_t`, each divided by
    its root mean square over the tensor, and of the tensor the cosines of (g, s) and of (d, g), and
    :math:`\log \|g_t\| / \|g_{t-1}\|`. It answers with three numbers a coordinate:

    .. math::

        u_t = -e^{o^1_t} d_t - o^2_t\, \gamma_t g_t + o^3_t\, s_t

    All of it is equivariant to the scale of the loss, for gradients from 1e-30 to 1e30, and, but for the
    first update, to that of the params; meta-parameters of zero are L-BFGS without a line search. A tensor's
    first update has no step before it: its :math:`d` is the gradient scaled to a root mean square of
    `first_step`. A tensor rests until it has a gradient that is not zero.

    Between two minibatches y is mostly noise, and a curvature that looks like almost none makes a step far
    too long: with `max_growth` each tensor's update is at most so many times as long as its last one. A rule
    for noisy gradients has to be trained on them. A coordinate whose gradient is
    NaN or infinite gets a zero update, keeps its state, and takes no part in the products. Arithmetic is in
    float32. Where `update` is not given the params, the steps are taken to be its own updates.

    Args:
        hidden_sizes: units of each LSTM layer.
        memory: pairs that are kept, two floats each a coordinate.
        first_step: root mean square of the first update, in units of the params.
        max_growth: how many times as long as the last one an update may be; `None` for any.

    Returns:
        A learned optimizer; theta is a dictionary of float32 arrays as haiku makes it.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> lopt = secant_lstm(hidden_sizes=(8,))
        >>> tx = lopt.build(lopt.init(jax.random.key(0)))
        >>> params = {"w": jnp.ones((3, 2))}
        >>> updates, state = tx.update(params, tx.init(params), params)
        >>> updates["w"].shape, state.hidden[0]["w"].shape
        ((3, 2), (3, 2, 8))

    Reference:
        Liu and Nocedal 1989, algorithm 2.1 without its line search, the direction; Barzilai and Borwein
        1988, equation 5, gamma; Andrychowicz et al. 2016, the network. What the network sees and how it
        corrects the step are not from a paper, nor is `max_growth`.
    """
    hidden_sizes = tuple(hidden_sizes)
    check_above_zero(first_step=first_step)
    if max_growth is not None and not max_growth >= 1:
        raise ValueError(f"max_growth={max_growth!r}: give at least 1, or None")
    if memory < 1:
        raise ValueError(f"memory={memory!r}: keep at least one pair")
    stack = lstm_stack(hidden_sizes, NUM_INPUTS, NUM_OUTPUTS)
    sizes = (len(hidden_sizes), len(hidden_sizes), 4, memory, memory)

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        check_same_structure(theta, stack.shapes(), "theta", "secant_lstm's theta")
        factor = cosine_factor(num_steps)

        def init_fn(params: Params) -> SecantState:
            check_floating(params, "params")
            hidden, cell = (layers_like(params, hidden_sizes) for _ in range(2))
            rest = (zeros_like(params) for _ in range(3))
            pairs = (tuple(zeros_like(params) for _ in range(memory)) for _ in range(2))
            start = (jnp.zeros([], jnp.int32), hidden, cell, copies_like(params))
            return SecantState._make((*start, *rest, *pairs))

        def update_fn(updates, state, params=None, **extra_args):
            del extra_args
            check_floating(updates, "gradients")
            check_same_structure(updates, state.step, "gradients", "params")
            if params is None:
                params = jax.tree.map(jnp.add, state.params, state.step)

            def leaf_update(g, x, *leaf_state):
                hidden, cell, (x_before, before, g_before, gamma), steps, changes = split(leaf_state, sizes)
                g32, finite = finite_gradient(g, MAX_GRADIENT)
                g32 = jnp.where(finite, g32, g_before)
                x = x.astype(jnp.float32)
                # Nothing is known before the first gradient.
                s, y = (jnp.where(gamma > 0, v, 0) for v in (x - x_before, g32 - g_before))
                curved, gamma = _step_size(s, y, _start(gamma, g32, first_step))
                steps, changes = _remember(curved, s, steps), _remember(curved, y, changes)
                d, gamma_g = _direction(g32, gamma, steps, changes), gamma * g32
                z = _inputs(d, gamma_g, s, g32, g_before)
                out, hidden, cell = stack.apply(theta, z, hidden, cell)
                o = jnp.clip(out, -MAX_LOG, MAX_LOG)
                u = -jnp.exp(o[..., 0]) * d - o[..., 1] * gamma_g + o[..., 2] * s
                u = jnp.where(finite, factor(state.count) * u, 0)
                if max_growth is not None:
                    u = _no_longer(u, max_growth, before)
                new = (*hidden, *cell, x, u, g32, gamma, *steps, *changes)
                return (u.astype(g.dtype), *keep_all_unless(finite & (gamma > 0), new, leaf_state))

            flat = (*state.hidden, *state.cell, *state[3:7], *state.steps, *state.changes)
            updates, *new = map_unzipped(leaf_update, updates, params, *flat)
            hidden, cell, rest, steps, changes = split(new, sizes)
            count = jnp.asarray(optax.safe_increment(state.count))
            return updates, SecantState._make((count, hidden, cell, *rest, steps, changes))

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    return LearnedOptimizer(stack.init, build)


def _step_size(s: Array, y: Array, gamma: Array) -> tuple[Array, Array]:
    """Whether a step showed positive curvature, bool[], and the new gamma, the old one where it did not."""
    s_unit, y_unit = unit(s), unit(y)
    s, y = s / s_unit, y / y_unit
    s_y, s_s, y_y = jnp.sum(s * y), jnp.sum(s * s), jnp.sum(y * y)
    curved = s_y > MIN_COSINE * jnp.sqrt(positive(s_s)) * jnp.sqrt(positive(y_y))
    new = jnp.where(curved, s_y / jnp.where(curved, y_y, 1), 1) * (s_unit / y_unit)
    return curved, jnp.where(curved, jnp.clip(new, SMALLEST, LARGEST), gamma)


def _start(gamma: Array, g: Array, first_step: float) -> Array:
    """Gamma, and where there is none yet that of the tensor, or of a first step of the usual size."""
    first = jnp.clip(first_step / root_mean_square(g), SMALLEST, LARGEST)
    first = jnp.where(jnp.any(g != 0), first, 0)
    others = jnp.max(gamma, initial=0)
    return jnp.where(gamma > 0, gamma, jnp.where(others > 0, others, first))


def _remember(whether: Array, newest: Array, kept: Sequence[Array]) -> list[Array]:
    """The memory with a newest entry in the place of its oldest, or as it was."""
    return [jnp.where(whether, new, old) for new, old in zip((newest, *kept), kept, strict=False)]


def _direction(g: Array, gamma: Array, steps: Sequence[Array], changes: Sequence[Array]) -> Array:
    """The two-loop recursion: H g, from `gamma I` and the pairs, newest first; a pair of zeros is none."""
    g_unit = unit(g)
    g, pairs, shares = g / g_unit, [], []
    for s, y in zip(steps, changes, strict=True):
        s_unit, y_unit = unit(s), unit(y)
        s, y = s / s_unit, y / y_unit
        s_y = jnp.sum(s * y)
        rho = jnp.where(s_y > 0, 1 / jnp.where(s_y > 0, s_y, 1), 0)
        share = rho * jnp.sum(s * g)
        g = g - share * y
        pairs.append((s, y, rho))
        shares.append(share * (g_unit / y_unit * s_unit))
    d = (gamma * g_unit) * g
    for (s, y, rho), share in zip(reversed(pairs), reversed(shares), strict=True):
        d = d + (share - rho * jnp.sum(y * d)) * s
    return d


def _no_longer(u: Array, times: float, before: Array) -> Array:
    """An update, shortened where it is too many times as long as the one before, if there was one."""
    share = times * root_mean_square(before) / root_mean_square(u)
    return jnp.where(jnp.any(before != 0), jnp.minimum(share, 1), 1) * u


def _inputs(d: Array, gamma_g: Array, s: Array, g: Array, g_before: Array) -> Array:
    """f32[...] -> f32[..., 6]: three directions without their scale, and what the tensor has in common."""
    growth = _log_ratio(g, g_before)
    d, gamma_g, s, g = (v / root_mean_square(v) for v in (d, gamma_g, s, g))
    size = max(d.size, 1)
    common = [jnp.sum(g * s) / size, jnp.sum(g * d) / size, growth]
    common = [jnp.full_like(d, jnp.clip(c, -MAX_LOG, MAX_LOG)) for c in common]
    return jnp.stack([d, gamma_g, s, *common], axis=-1)


def _log_ratio(v: Array, w: Array) -> Array:
    """f32[], of the sizes of two tensors; the largest that counts where only one of them is 0."""
    v_zero, w_zero = jnp.all(v == 0), jnp.all(w == 0)
    ratio = jnp.log(root_mean_square(v) / root_mean_square(w))
    one_zero = MAX_LOG * (w_zero.astype(jnp.float32) - v_zero.astype(jnp.float32))
    return jnp.where(v_zero | w_zero, one_zero, ratio)
