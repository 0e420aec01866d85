r"""The coordinatewise LSTM optimizer.

References:
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016: the
    network (section 2.1), the log-and-sign inputs (appendix A).
    Lv, Jiang, Li, Learning gradient descent: better generalization and longer horizons, ICML 2017
    (RNNProp): the normalised inputs and the bounded output (section 4).
"""

from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import optax

from learned_opt.core.errors import check_above_zero
from learned_opt.core.trees import check_floating, check_same_structure
from learned_opt.core.types import Array, LearnedOptimizer, Params, Theta
from learned_opt.optimizers.inputs import NO_MOMENTS, Inputs
from learned_opt.optimizers.leaves import (
    coordinates,
    finite_gradient,
    keep_all_unless,
    layers_like,
    map_unzipped,
    split,
    touched,
)
from learned_opt.optimizers.lstm_stack import lstm_stack
from learned_opt.optimizers.registry import registry
from learned_opt.optimizers.schedules import cosine_factor


class LSTMState(NamedTuple):
    """State of the coordinatewise LSTM: a struct of params-shaped trees.

    Attributes:
        count: i32[], updates made so far.
        hidden: for each layer a tree like the params; leaves are `param.shape + (hidden_size,)`.
        cell: the same for the cells.
        mu: the mean of the gradients, leaves `param.shape`; `()` without normalised inputs.
        nu: the mean of the squared gradients, likewise.
    """

    count: Array
    hidden: tuple[Params, ...]
    cell: tuple[Params, ...]
    mu: Params
    nu: Params


@registry.register
def lstm(
    hidden_sizes: tuple[int, ...] = (20, 20),
    inputs: Literal["log_sign", "normalized", "normalized_and_size"] = "log_sign",
    output_scale: float = 0.1,
    betas: tuple[float, float] = (0.95, 0.95),
    state_dtype: Literal["float32", "bfloat16"] = "float32",
) -> LearnedOptimizer:
    r"""A stack of LSTMs, shared by all coordinates, that maps gradients to updates.

    Each coordinate has a hidden state of its own, and all coordinates share theta:

    .. math::

        h_t^1, c_t^1 &= \mathrm{LSTM}_1(z_t, h_{t-1}^1, c_{t-1}^1), \quad
        h_t^k, c_t^k = \mathrm{LSTM}_k(h_t^{k-1}, h_{t-1}^k, c_{t-1}^k) \\
        o_t &= w^\top h_t^K + b

    With `inputs="log_sign"` the gradient's size and sign are told apart, and the update is linear:

    .. math::

        z_t = \begin{cases}
            (\log|g_t| / p,\ \operatorname{sign} g_t) & |g_t| \ge e^{-p} \\
            (-1,\ e^p g_t) & \text{otherwise}
        \end{cases}, \quad p = 10, \qquad u_t = s\, o_t

    With `inputs="normalized"` the rule sees no scale at all, and the update is bounded by `s`:

    .. math::

        z_t = \left(\frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon},
                    \frac{g_t}{\sqrt{\hat v_t} + \epsilon}\right), \qquad u_t = s \tanh o_t

    where m and v are the bias-corrected moving averages of the gradient and of its square.
    `inputs="normalized_and_size"` adds the size that the normalisation took away, as a third input
    `log(sqrt(v) + eps) / p`: layers whose gradients differ in size can then be treated differently. Given
    `num_steps`, `build` multiplies the t-th update by `(1 + cos(pi t / num_steps)) / 2`.

    A coordinate whose gradient is NaN or infinite gets a zero update and keeps its state, and so does one
    that has had no gradient but zero yet; gradients beyond 1e15 count as 1e15. Arithmetic is in float32
    whatever the dtype of the gradients; updates are cast back to it.

    Args:
        hidden_sizes: units of each LSTM layer.
        inputs: what the network sees of the gradient, as above.
        output_scale: s, in units of the params.
        betas: decay rates of m and v; used with normalised inputs only.
        state_dtype: dtype of the hidden and cell states; `"bfloat16"` halves their memory.

    Returns:
        A learned optimizer; theta is a dictionary of float32 arrays as haiku makes it.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import jax
        >>> lopt = lstm(hidden_sizes=(8,))
        >>> theta = lopt.init(jax.random.key(0))
        >>> tx = lopt.build(theta)
        >>> params = {"w": jnp.ones((3, 2))}
        >>> updates, state = tx.update(params, tx.init(params), params)
        >>> updates["w"].shape, state.hidden[0]["w"].shape
        ((3, 2), (3, 2, 8))

    Reference:
        Andrychowicz et al. 2016, section 2.1 and appendix A; Lv et al. 2017, section 4. Deviations: the
        layers have haiku's forget bias of 1; the output layer starts at a hundredth of haiku's default, so
        that an untrained optimizer hardly moves; the normalised inputs go straight to the LSTM (RNNProp
        puts a layer of ELU units between); `"normalized_and_size"` is not from a paper.
    """
    hidden_sizes = tuple(hidden_sizes)
    seen = Inputs(inputs, betas)
    check_above_zero(output_scale=output_scale)
    if state_dtype not in ("float32", "bfloat16"):
        raise ValueError(f"state_dtype={state_dtype!r}: choose 'float32' or 'bfloat16'")

    dtype = jnp.dtype(state_dtype)
    stack = lstm_stack(hidden_sizes, seen.size)
    sizes = (len(hidden_sizes), len(hidden_sizes), seen.num_moments)

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        check_same_structure(theta, stack.shapes(), "theta", "lstm's theta")
        factor = cosine_factor(num_steps)

        def init_fn(params: Params) -> LSTMState:
            check_floating(params, "params")

            hidden, cell = (layers_like(params, hidden_sizes, dtype) for _ in range(2))
            return LSTMState(jnp.zeros([], jnp.int32), hidden, cell, *seen.init(params))

        def update_fn(updates, state, params=None, **extra_args):
            del params, extra_args
            check_floating(updates, "gradients")
            check_same_structure(updates, coordinates(state.hidden[0]), "gradients", "params")
            count = jnp.asarray(optax.safe_increment(state.count))

            def leaf_update(g, *leaf_state):
                hidden, cell, m_v = split(leaf_state, sizes)
                g32, finite = finite_gradient(g)
                counts = finite & touched(g32, *(m_v or cell))
                z, m_v = seen.of(g32, m_v, count)
                out, hidden, cell = stack.apply(theta, z, hidden, cell)
                size = output_scale * factor(state.count)
                update = jnp.where(counts, size * seen.bounded(out[..., 0]), 0)
                new = keep_all_unless(counts, (*hidden, *cell, *m_v), leaf_state)
                return (update.astype(g.dtype), *new)

            trees = (*state.hidden, *state.cell, *seen.trees(state))
            updates, *new = map_unzipped(leaf_update, updates, *trees)
            hidden, cell, moments = split(new, sizes)
            return updates, LSTMState(count, hidden, cell, *(moments or NO_MOMENTS))

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    return LearnedOptimizer(stack.init, build, coordinatewise=True)
