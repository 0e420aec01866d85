r"""A coordinatewise LSTM for objectives with a proximal operator.

References:
    Liu, Chen, Wang, Yin, Cai, Towards constituting mathematical structures for learning to optimize, ICML
    2023: a coordinatewise LSTM that gives the step sizes of a proximal gradient step, section 3.
    Donoho, Maleki, Montanari, Message-passing algorithms for compressed sensing, PNAS 106(45), 2009: memory
    of past residuals and thresholds that follow their size, equations 1 and 2.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.trees import check_floating, check_same_structure
from learned_opt.core.types import Array, LearnedOptimizer, Params, Theta
from learned_opt.optimizers.leaves import (
    copies_like,
    cosine,
    finite_gradient,
    keep_all_unless,
    keep_unless,
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

NUM_INPUTS, NUM_OUTPUTS = 8, 4
MAX_LOG = 10.0  # of the factors that the network puts on step sizes and thresholds
WINDOW, MAX_HALVINGS = 50, 20  # of the safeguard: steps between its decisions, and how often it may act
MIN_COSINE = 1e-6  # of step and change of the gradient; below it the curvature is rounding error


class ProximalLSTMState(NamedTuple):
    """State of the proximal LSTM: a struct of params-shaped trees.

    Attributes:
        count: i32[], updates made so far.
        hidden: for each layer a tree like the params; leaves are `param.shape + (hidden_size,)`.
        cell: the same for the cells.
        params: where the last gradient was taken, f32.
        step: the update that followed, f32.
        grad: the last gradient, f32.
        direction: m, the gradient with its memory, f32.
        first_size: root mean square of each tensor's first gradient, f32, the same for all coordinates.
        shortest: root mean square of the shortest step since the safeguard last decided, f32, likewise.
        before: the same of the 50 steps before that, f32.
        turns: sum of the cosines of successive steps since the safeguard last decided, f32, likewise.
        halvings: k, f32, likewise.
    """

    count: Array
    hidden: tuple[Params, ...]
    cell: tuple[Params, ...]
    params: Params
    step: Params
    grad: Params
    direction: Params
    first_size: Params
    shortest: Params
    before: Params
    turns: Params
    halvings: Params


@registry.register
def proximal_lstm(
    hidden_sizes: tuple[int, ...] = (20,),
    step_size: float = 0.2,
    tied: bool = True,
) -> LearnedOptimizer:
    r"""A stack of LSTMs, shared by all coordinates, that sets the sizes of proximal gradient steps.

    With g the gradient of the smooth part and s the last step:

    .. math::

        m_t &= g_t + o^1_t \begin{cases}
            g_t - g_{t-1} & \text{tied} \\ m_{t-1} & \text{otherwise}
        \end{cases} \\
        v_t &= x_t - p_t\, m_t + o^2_t\, s_t, \qquad p_t = 2^{-k_t} \eta\, e^{o^3_t} \\
        x_{t+1} &= \operatorname{prox}_{q_t}(v_t), \qquad
        q_t = \begin{cases} p_t & \text{tied} \\ r_t\, e^{o^4_t} & \text{otherwise} \end{cases}

    where all sizes are one a coordinate and :math:`r_t` is the root mean square of g over the tensor. Tied,
    it rests where the proximal gradient method does and nowhere else, at the stationary points of the
    objective, provided that the operator of a penalty which is not separable is that of the metric of the
    sizes, as `core.block_soft_threshold` is. Otherwise gradients accumulate and the thresholds are free to
    follow the size of the residual, as in approximate message passing; that recovers codes in fewer steps
    and minimises no objective.

    A safeguard keeps it from circling for ever where step sizes are too large for a problem: every 50 steps,
    from step 101 on, k rises by one for each tensor whose steps turned (cosines of successive steps below
    1/2 in the mean) and became no shorter (the shortest within 1 % of that of the 50 steps before).

    The network sees, of each coordinate, g, m, s and x in units of r, as `sign(z) log(1 + |z|)`, and of the
    tensor :math:`\log r_t / r_1`, the cosine of g and s, the logarithm of the secant step size
    :math:`s^\top s / s^\top y` with y the change of g (0 without positive curvature), and the share of the
    coordinates that are not zero. It is equivariant to the scale of x and g together; their ratio, the
    curvature, is taken to be about 1 for a coordinate by itself. Columns of a dictionary therefore have to be
    divided by their norms: with columns of norm 1.5 a rule that was trained on norms of 1 diverges.

    The operator is the extra argument `prox(params, step_size)` of `update`, which `learned_opt.unroll`
    passes for tasks that have one; without it there is none. A coordinate whose gradient is NaN or infinite
    gets a zero update and keeps its state. Arithmetic is in float32. Where `update` is not given the params,
    the steps are taken to be its own updates. A factor put on the updates afterwards moves points off those
    that the operator chose, zeros among them.

    Args:
        hidden_sizes: units of each LSTM layer.
        step_size: eta, what the step sizes are before meta-training, above 0.
        tied: whether the operator's step size is the gradient's, so that it minimises the objective.

    Returns:
        A learned optimizer; theta is a dictionary of float32 arrays as haiku makes it.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> from learned_opt.core import soft_threshold
        >>> lopt = proximal_lstm(hidden_sizes=(8,), step_size=1.0)
        >>> tx = lopt.build(lopt.init(jax.random.key(0)))
        >>> x = jnp.float32([2.0, 0.1])  # of |x - (3, 0)|^2 / 2 + |x|_1
        >>> state = tx.init(x)
        >>> for _ in range(20):
        ...     updates, state = tx.update(x - jnp.float32([3.0, 0.0]), state, x, prox=soft_threshold)
        ...     x = x + updates
        >>> x.round(2).tolist()
        [2.0, 0.0]

    Reference:
        Liu et al. 2023, section 3 (their momentum is Nesterov's, so that gradients are taken where x is
        not; here it is Polyak's); Donoho et al. 2009, equations 1 and 2, where the memory's factor is the
        share of the coordinates that are not zero over m / n, and the threshold follows the residual. What
        the network sees and the safeguard are not from a paper.
    """
    hidden_sizes = tuple(hidden_sizes)
    if not step_size > 0:
        raise ValueError(f"step_size={step_size!r}: it must be above 0")
    stack = lstm_stack(hidden_sizes, NUM_INPUTS, NUM_OUTPUTS)
    sizes = (len(hidden_sizes), len(hidden_sizes), 9)

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        check_same_structure(theta, stack.shapes(), "theta", "proximal_lstm's theta")
        factor = cosine_factor(num_steps)

        def init_fn(params: Params) -> ProximalLSTMState:
            check_floating(params, "params")
            hidden, cell = (layers_like(params, hidden_sizes) for _ in range(2))
            rest = (zeros_like(params) for _ in range(8))
            return ProximalLSTMState(jnp.zeros([], jnp.int32), hidden, cell, copies_like(params), *rest)

        def update_fn(updates, state, params=None, *, prox=None, **extra_args):
            del extra_args
            check_floating(updates, "gradients")
            check_same_structure(updates, state.step, "gradients", "params")
            if params is None:
                params = jax.tree.map(jnp.add, state.params, state.step)
            first = state.count == 0

            def leaf_update(g, x, *leaf_state):
                hidden, cell, (x_before, step, g_before, m, first_size, *guard) = split(leaf_state, sizes)
                g, finite = finite_gradient(g)
                x = x.astype(jnp.float32)
                s = jnp.where(first, 0, x - x_before)
                size = root_mean_square(g)
                first_size = jnp.where(first_size > 0, first_size, jnp.where(jnp.any(g != 0), size, 0))
                z = _inputs(g, m, s, x, g - g_before, size, first_size)
                out, hidden, cell = stack.apply(theta, z, hidden, cell)
                o1, o2, o3, o4 = jnp.moveaxis(jnp.clip(out, -MAX_LOG, MAX_LOG), -1, 0)
                m = g + o1 * (jnp.where(first, 0, g - g_before) if tied else m)
                guard = _guard(state.count, s, *guard)
                p = step_size * factor(state.count) * jnp.exp(o3) * 2.0 ** -guard[-1]
                q = p if tied else factor(state.count) * size * jnp.exp(o4)
                new = (*hidden, *cell, x, step, g, m, first_size, *guard)
                new = keep_all_unless(finite, new, leaf_state)
                return (x, x - p * m + factor(state.count) * o2 * s, q, finite, *new)

            flat = (*state.hidden, *state.cell, *state[3:])
            num_results = 4 + len(flat)
            x, v, q, finite, *new = map_unzipped(leaf_update, updates, params, *flat, num_results=num_results)
            moved = v if prox is None else prox(v, q)
            # x + (0 - x) is 0 to the bit, so that what the operator sets to zero is zero.
            u = jax.tree.map(lambda z, x, ok: jnp.where(ok, z - x, 0), moved, x, finite)
            updates = jax.tree.map(lambda u, g: u.astype(g.dtype), u, updates)
            hidden, cell, (x, step, *rest, turns, halvings) = split(new, sizes)
            turned = jax.tree.map(lambda n, u, s: n + cosine(u, s), turns, u, state.step)
            turns = jax.tree.map(keep_unless, finite, turned, turns)
            step = jax.tree.map(keep_unless, finite, u, step)
            count = jnp.asarray(optax.safe_increment(state.count))
            return updates, ProximalLSTMState._make((count, hidden, cell, x, step, *rest, turns, halvings))

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    return LearnedOptimizer(stack.init, build)


def _inputs(g, m, s, x, y, size, first_size) -> Array:
    """f32[...] -> f32[..., 8]: a coordinate's numbers in units of `size`, and the tensor's."""
    own = [jnp.sign(v) * jnp.log1p(jnp.abs(v / size)) for v in (g, m, s, x)]
    common = [
        cosine(g, s),
        _log_step_size(s, y),
        jnp.sum(x != 0, dtype=jnp.float32) / max(x.size, 1),
    ]
    decline = jnp.log(size / jnp.where(first_size > 0, first_size, 1)) / MAX_LOG
    decline = jnp.where(first_size > 0, decline, 0)
    return jnp.stack([*own, decline, *(jnp.full_like(g, c) for c in common)], axis=-1)


def _log_step_size(s: Array, y: Array) -> Array:
    """f32[], of `s.s / s.y`; 0 without positive curvature."""
    s_unit, y_unit = unit(s), unit(y)
    s, y = s / s_unit, y / y_unit
    s_s, s_y = jnp.sum(s * s), jnp.sum(s * y)
    curved = s_y > MIN_COSINE * jnp.sqrt(positive(s_s)) * jnp.sqrt(positive(jnp.sum(y * y)))
    ratio = positive(s_s) / jnp.where(curved, s_y, 1) * (s_unit / y_unit)
    return jnp.where(curved, jnp.log(jnp.where(curved, jnp.clip(ratio, 1e-37, 1e37), 1)), 0)


def _guard(count, s, shortest, before, turns, halvings) -> tuple[Array, Array, Array, Array]:
    """The safeguard's state after a step s, all of it the same for the coordinates of a tensor."""
    length = jax.lax.stop_gradient(root_mean_square(s))
    decide = count % WINDOW == 1  # the first step is made before there is a length
    stuck = decide & (count > 2 * WINDOW) & (shortest > 0.99 * before) & (turns < 0.5 * WINDOW)
    return (
        jnp.where(decide, length, jnp.minimum(shortest, length)),
        jnp.where(decide, shortest, before),
        jnp.where(decide, 0, turns),
        jnp.minimum(halvings + stuck.astype(jnp.float32), MAX_HALVINGS),
    )
