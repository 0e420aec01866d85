r"""The coordinatewise LSTM optimizer with global averaging cells.

Reference:
    Andrychowicz et al., Learning to learn by gradient descent by gradient descent, NeurIPS 2016: the network
    (section 2.1), its inputs (appendix A), the cells (appendix B, "Global averaging cells").
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.errors import check_above_zero
from learned_opt.core.trees import check_floating, check_same_structure
from learned_opt.core.types import Array, LearnedOptimizer, Params, Theta
from learned_opt.optimizers.inputs import NO_MOMENTS, Inputs
from learned_opt.optimizers.leaves import (
    coordinates,
    finite_gradient,
    keep_unless,
    layers_like,
    touched,
)
from learned_opt.optimizers.lstm import LSTMState
from learned_opt.optimizers.lstm_stack import linear, lstm_cell, lstm_stack, over_coordinates
from learned_opt.optimizers.registry import registry
from learned_opt.optimizers.schedules import cosine_factor


@registry.register
def averaging_lstm(
    hidden_sizes: tuple[int, ...] = (20, 20),
    averaging_cells: int = 5,
    inputs: Literal["log_sign", "normalized", "normalized_and_size"] = "log_sign",
    output_scale: float = 0.1,
) -> LearnedOptimizer:
    r"""A stack of LSTMs, shared by all coordinates, some cells of which say the same everywhere.

    As `lstm`, but what the first k cells of a layer say is averaged over all
    coordinates i of all tensors, in each step and before anything hears it:

    .. math::

        \bar h_t[j] = \frac1n \sum_{i=1}^n h_{t,i}[j], \qquad j = 1, \dots, k

    The next layer, and the layer itself one step later, see the average. So coordinates learn of each other,
    for instance how long the whole gradient is. Coordinates that have had no gradient but zero yet, and those
    whose gradient is not finite, take no part and rest. Where params are sharded, devices add up k numbers a
    layer.

    Given `num_steps`, `build` multiplies the t-th update by `(1 + cos(pi t / num_steps)) / 2`. Arithmetic is
    in float32 whatever the dtype of the gradients.

    Args:
        hidden_sizes: units of each LSTM layer.
        averaging_cells: k, at most the units of the smallest layer.
        inputs: what the network sees of the gradient, as in `lstm`.
        output_scale: in units of the params.

    Returns:
        A learned optimizer; theta is that of an `lstm` of the same layers, its state an `LSTMState`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> lopt = averaging_lstm(hidden_sizes=(8,), averaging_cells=2)
        >>> tx = lopt.build(lopt.init(jax.random.key(0)))
        >>> params = {"w": jnp.ones(3), "b": jnp.ones(())}
        >>> _, state = tx.update({"w": jnp.arange(1.0, 4), "b": jnp.ones(())}, tx.init(params))
        >>> hidden = state.hidden[0]
        >>> bool(jnp.allclose(hidden["w"][2, :2], hidden["b"][:2], rtol=1e-5))
        True

    Reference:
        Andrychowicz et al. 2016, appendix B. Deviations: those of `lstm`; the average leaves out coordinates
        that rest.
    """
    hidden_sizes = tuple(hidden_sizes)
    check_above_zero(output_scale=output_scale)
    seen = Inputs(inputs)
    stack = lstm_stack(hidden_sizes, seen.size)
    if not 1 <= averaging_cells <= min(hidden_sizes):
        raise ValueError(
            f"averaging_cells={averaging_cells!r}: give 1 to {min(hidden_sizes)}, the smallest layer's units"
        )
    layers = [name for name in stack.shapes() if name != "linear"]

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        check_same_structure(theta, stack.shapes(), "theta", "averaging_lstm's theta")
        factor = cosine_factor(num_steps)

        def init_fn(params: Params) -> LSTMState:
            check_floating(params, "params")
            hidden, cell = (layers_like(params, hidden_sizes) for _ in range(2))
            return LSTMState(jnp.zeros([], jnp.int32), hidden, cell, *seen.init(params))

        def update_fn(updates, state, params=None, **extra_args):
            del params, extra_args
            check_floating(updates, "gradients")
            check_same_structure(updates, coordinates(state.hidden[0]), "gradients", "params")
            count = jnp.asarray(optax.safe_increment(state.count))
            gradients, treedef = jax.tree.flatten(updates)
            safe, finite = zip(*map(finite_gradient, gradients), strict=True) if gradients else ((), ())
            moments = [jax.tree.leaves(m) for m in seen.trees(state)]
            known = moments or [jax.tree.leaves(c) for c in state.cell]
            counts = [f & touched(g, *c) for g, f, *c in zip(safe, finite, *known, strict=True)]

            views = [seen.of(g, m_v, count) for g, *m_v in zip(safe, *moments, strict=True)]
            z, hidden, cell = [view for view, _ in views], [], []
            for name, old_hidden, old_cell in zip(layers, state.hidden, state.cell, strict=True):
                h, c = jax.tree.leaves(old_hidden), jax.tree.leaves(old_cell)
                new = [_layer(theta[name], *leaf) for leaf in zip(z, h, c, strict=True)]
                z = _averaged([h for h, _ in new], counts, averaging_cells)
                hidden.append(treedef.unflatten(map(keep_unless, counts, z, h)))
                cell.append(treedef.unflatten(map(keep_unless, counts, [c for _, c in new], c)))

            size = output_scale * factor(state.count)
            said = [_readout(theta["linear"], h) for h in z]
            found = [
                jnp.where(counted, size * seen.bounded(u), 0).astype(g.dtype)
                for counted, u, g in zip(counts, said, gradients, strict=True)
            ]
            mu_nu = [
                treedef.unflatten(map(keep_unless, counts, [m_v[i] for _, m_v in views], old))
                for i, old in enumerate(moments)
            ]
            return treedef.unflatten(found), LSTMState(
                count, tuple(hidden), tuple(cell), *(mu_nu or NO_MOMENTS)
            )

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    return LearnedOptimizer(stack.init, build)


def _layer(layer: dict[str, Array], z: Array, hidden: Array, cell: Array) -> tuple[Array, Array]:
    """One layer for all coordinates of a tensor."""
    return over_coordinates(functools.partial(lstm_cell, layer), z.ndim - 1)(z, hidden, cell)


def _readout(layer: dict[str, Array], hidden: Array) -> Array:
    """What the last layer's states say of the updates of a tensor."""
    return over_coordinates(functools.partial(linear, layer), hidden.ndim - 1)(hidden)[..., 0]


def _averaged(hidden: Sequence[Array], counts: Sequence[Array], num_cells: int) -> list[Array]:
    """The hidden states of all tensors, the first cells replaced by their mean over all that counts."""
    total, number = jnp.zeros(num_cells, jnp.float32), jnp.float32(0)
    for h, counted in zip(hidden, counts, strict=True):
        said = jnp.where(counted[..., None], h[..., :num_cells], 0)
        total = total + jnp.sum(said, axis=tuple(range(counted.ndim)))
        number = number + jnp.sum(counted.astype(jnp.float32))
    mean = total / jnp.maximum(number, 1)

    def replaced(h: Array) -> Array:
        # From the state and not from its shape: on explicit meshes its type says more.
        same = jnp.zeros_like(h[..., :num_cells]) + mean.reshape((1,) * (h.ndim - 1) + (num_cells,))
        return jnp.concatenate([same, h[..., num_cells:]], axis=-1)

    return [replaced(h) for h in hidden]
