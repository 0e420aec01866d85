r"""The Differentiable Neural Computer as an optimizer: a coordinatewise controller with an external memory.

References:
    Graves, Wayne, Reynolds et al., Hybrid computing using a neural network with dynamic external memory,
    Nature 538, 2016: the network.
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016: the
    coordinatewise form (section 2.1) and the inputs (appendix A).
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.errors import check_above_zero, check_at_least
from learned_opt.core.trees import check_floating, check_same_structure
from learned_opt.core.types import Array, Key, LearnedOptimizer, Params, Theta
from learned_opt.networks import Memory, access, empty_memory, interface, interface_size
from learned_opt.optimizers.inputs import NO_MOMENTS, Inputs
from learned_opt.optimizers.leaves import (
    coordinates,
    finite_gradient,
    keep_all_unless,
    map_unzipped,
    split,
    touched,
    zeros_like,
)
from learned_opt.optimizers.lstm_stack import init_linear, linear, lstm_cell, over_coordinates
from learned_opt.optimizers.registry import registry
from learned_opt.optimizers.schedules import cosine_factor


class DNCOptimizerState(NamedTuple):
    """State of the DNC optimizer: a struct of params-shaped trees.

    Attributes:
        count: i32[], updates made so far.
        hidden: the controller's, leaves `param.shape + (hidden_size,)`.
        cell: the same for its cells.
        reads: what the heads read last, leaves `param.shape + (num_reads * word_size,)`; with one memory a
            tensor, `(num_reads * word_size,)`.
        memory: a `Memory` of trees, whose leaves begin with `param.shape` where each coordinate has one.
        mu: the mean of the gradients, leaves `param.shape`; `()` without normalised inputs.
        nu: the mean of the squared gradients, likewise.
    """

    count: Array
    hidden: Params
    cell: Params
    reads: Params
    memory: Memory
    mu: Params
    nu: Params


@registry.register
def dnc(
    memory: Literal["coordinate", "tensor"] = "tensor",
    hidden_size: int = 20,
    num_slots: int = 4,
    word_size: int = 4,
    num_reads: int = 1,
    inputs: Literal["log_sign", "normalized", "normalized_and_size"] = "log_sign",
    output_scale: float = 0.1,
) -> LearnedOptimizer:
    r"""An LSTM with an external memory, shared by all coordinates, that maps gradients to updates.

    .. math::

        h_t, c_t &= \mathrm{LSTM}((z_t, r_{t-1}), h_{t-1}, c_{t-1}) \\
        r_t, M_t &= \mathrm{access}(M_{t-1}, W_\xi h_t + b_\xi), \qquad
        u_t = s\, (w^\top (h_t, r_t) + b)

    with z, the `inputs`, as in `lstm`, and as there a bounded update where they are normalised. With
    `memory="coordinate"` each coordinate has a memory of its own. With `memory="tensor"` a tensor has one: it
    is told the mean of :math:`W_\xi h_t + b_\xi` over the coordinates, and all of them hear what its heads
    read, so that coordinates learn of each other.

    Beside :math:`2 H` numbers of the controller, the state has :math:`N W + N^2 + 3 N + R (N + W)` numbers a
    memory: 52 with the default sizes. That is a coordinate's or a tensor's. Where params are sharded, a
    tensor's memory is whole on each device, and devices add up H numbers a tensor.

    Coordinates that have had no gradient but zero yet, and those whose gradient is not finite, rest, and say
    nothing to their tensor's memory. Given `num_steps`, `build` multiplies the t-th update by
    `(1 + cos(pi t / num_steps)) / 2`. Arithmetic is in float32 whatever the dtype of the gradients.

    Args:
        memory: `"coordinate"` or `"tensor"`, what has a memory of its own.
        hidden_size: H, units of the controller.
        num_slots: N, words of a memory.
        word_size: W, numbers in a word.
        num_reads: R, read heads.
        inputs: what the controller sees of the gradient, as in `lstm`.
        output_scale: s, in units of the params.

    Returns:
        A learned optimizer; theta is a dictionary of float32 arrays by layer.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> lopt = dnc(hidden_size=8)
        >>> tx = lopt.build(lopt.init(jax.random.key(0)))
        >>> params = {"w": jnp.ones((3, 2))}
        >>> updates, state = tx.update(params, tx.init(params), params)
        >>> updates["w"].shape, state.hidden["w"].shape, state.memory.slots["w"].shape
        ((3, 2), (3, 2, 8), (4, 4))

    Reference:
        Graves et al. 2016, Methods; deviations as in `networks.DNC`. The two kinds of memory are not from a
        paper.
    """
    check_above_zero(output_scale=output_scale)
    check_at_least(1, hidden_size=hidden_size, num_slots=num_slots, word_size=word_size, num_reads=num_reads)
    if memory not in ("coordinate", "tensor"):
        raise ValueError(f"memory={memory!r}: choose 'coordinate' or 'tensor'")
    seen = Inputs(inputs)
    num_read = num_reads * word_size
    sizes = (seen.size + num_read, hidden_size, num_read, interface_size(word_size, num_reads))
    init = functools.partial(_init, sizes=sizes)
    empty = jax.eval_shape(lambda: empty_memory(num_slots, word_size, num_reads))
    own = memory == "coordinate"

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        check_same_structure(theta, jax.eval_shape(init, jax.random.key(0)), "theta", "dnc's theta")
        factor = cosine_factor(num_steps)

        def init_fn(params: Params) -> DNCOptimizerState:
            check_floating(params, "params")

            # A tensor's memory is made from the tensor too: in shard_map its type says more than its shape.
            owners = params if own else jax.tree.map(jnp.sum, zeros_like(params))
            hidden, cell = (zeros_like(params, (hidden_size,)) for _ in range(2))
            reads = zeros_like(owners, (num_read,))
            memories = Memory(*(zeros_like(owners, part.shape) for part in empty))
            count = jnp.zeros([], jnp.int32)
            return DNCOptimizerState(count, hidden, cell, reads, memories, *seen.init(params))

        def update_fn(updates, state, params=None, **extra_args):
            del params, extra_args
            check_floating(updates, "gradients")
            check_same_structure(updates, coordinates(state.hidden), "gradients", "params")
            count = jnp.asarray(optax.safe_increment(state.count))

            def leaf_update(g, *leaf_state):
                m_v, old = leaf_state[: seen.num_moments], leaf_state[seen.num_moments :]
                g32, finite = finite_gradient(g)
                counts = finite & touched(g32, *(m_v or old[1:2]))
                z, moments = seen.of(g32, m_v, count)
                out, new = _step(theta, z, counts, old)
                update = jnp.where(counts, output_scale * factor(state.count) * seen.bounded(out), 0)
                kept = keep_all_unless(counts, (*moments, *new[:2]), (*m_v, *old[:2]))
                kept += keep_all_unless(counts if own else jnp.any(counts), new[2:], old[2:])
                return (update.astype(g.dtype), *kept)

            trees = (*seen.trees(state), state.hidden, state.cell, state.reads, *state.memory)
            updates, *new = map_unzipped(leaf_update, updates, *trees)
            moments, (hidden, cell, reads, *memories) = split(new, (seen.num_moments, len(trees)))
            return updates, DNCOptimizerState(
                count, hidden, cell, reads, Memory(*memories), *(moments or NO_MOMENTS)
            )

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    return LearnedOptimizer(init, build, coordinatewise=own)


def _init(key: Key, sizes: tuple[int, int, int, int]) -> Theta:
    """Fresh weights; the output layer starts at a hundredth of haiku's default, as that of `lstm` does."""
    controller_key, interface_key, output_key = jax.random.split(key, 3)
    num_inputs, hidden_size, num_read, num_told = sizes
    num_said = hidden_size + num_read
    return {
        "controller": init_linear(controller_key, num_inputs + hidden_size, 4 * hidden_size),
        "interface": init_linear(interface_key, hidden_size, num_told),
        "linear": init_linear(output_key, num_said, 1, deviation=0.01 / num_said**0.5),
    }


def _step(theta: Theta, z: Array, counts: Array, state: Sequence[Array]) -> tuple[Array, list[Array]]:
    """What is said of the updates of a tensor's coordinates, and its new state."""
    hidden, cell, reads, *memory = state
    ndim = counts.ndim
    z = jnp.concatenate([z, _heard(reads, hidden)], axis=-1)
    controller = functools.partial(lstm_cell, theta["controller"])
    hidden, cell = over_coordinates(controller, ndim)(z, hidden, cell)
    memory_axes = reads.ndim - 1  # those of the tensor, or none
    told = hidden if memory_axes == ndim else _mean(hidden, counts)
    remember = over_coordinates(functools.partial(_remember, theta["interface"]), memory_axes)
    reads, memory = remember(told, Memory(*memory))
    heard = jnp.concatenate([hidden, _heard(reads, hidden)], axis=-1)
    out = over_coordinates(functools.partial(linear, theta["linear"]), ndim)(heard)[..., 0]
    return out, [hidden, cell, reads, *memory]


def _remember(layer: dict[str, Array], hidden: Array, memory: Memory) -> tuple[Array, Memory]:
    """One access of one memory: what its heads read, f32[num_reads * word_size], and what it holds then."""
    num_reads, word_size = memory.read_weights.shape[0], memory.slots.shape[1]
    reads, memory = access(memory, interface(linear(layer, hidden), word_size, num_reads))
    return reads.reshape(-1), memory


def _heard(reads: Array, hidden: Array) -> Array:
    """What each coordinate hears of its memory or its tensor's: f32[..., num_reads * word_size]."""
    if reads.ndim == hidden.ndim:
        return reads
    # From the state and not from its shape: on explicit meshes its type says more.
    return jnp.zeros_like(hidden[..., :1]) + reads.reshape((1,) * (hidden.ndim - 1) + (-1,))


def _mean(hidden: Array, counts: Array) -> Array:
    """The mean over those coordinates of a tensor that count, f32[hidden_size]."""
    total = jnp.sum(jnp.where(counts[..., None], hidden, 0), axis=tuple(range(counts.ndim)))
    return total / jnp.maximum(jnp.sum(counts.astype(jnp.float32)), 1)
