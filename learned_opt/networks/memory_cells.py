r"""Long short-term memory with and without a forget gate, beside standard units.

Reference:
    Hochreiter and Schmidhuber, Long short-term memory, Neural Computation 9(8), 1997. Deviations: both
    squashing functions are tanh, where the paper scales logistic ones to [-2, 2] and [-1, 1]; a block has
    one cell.
    Gers, Schmidhuber and Cummins, Learning to forget: continual prediction with LSTM, 2000: the forget gate.
"""

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.types import Array


class CellState(NamedTuple):
    """The state of a layer of memory cells and standard units.

    Attributes:
        hidden: f32[..., num_cells], what the cells say.
        cell: f32[..., num_cells], what they hold.
        units: f32[..., num_units], what the standard units say.
    """

    hidden: Array
    cell: Array
    units: Array


class MemoryCells(hk.RNNCore):
    r"""A layer of memory cells and standard units, all of them connected to each other.

    .. math::

        r_t &= (x_t, h_{t-1}, u_{t-1}) \\
        i_t, f_t, o_t &= \sigma(W_{i,f,o}\, r_t + b_{i,f,o}), \qquad g_t = \tanh(W_g r_t + b_g) \\
        c_t &= f_t c_{t-1} + i_t g_t, \qquad h_t = o_t \tanh(c_t), \qquad u_t = \tanh(W_u r_t + b_u)

    Without a forget gate :math:`f_t = 1`, and a cell holds what it holds for ever: the constant error
    carousel of 1997. With the truncated gradient no error flows through the recurrent part of :math:`r_t`,
    only along :math:`c_t`. Forward nothing changes.

    Args:
        num_cells: memory cells.
        num_units: standard units.
        forget_gate: whether cells can forget.
        forget_bias: where the forget gate's bias starts; large ones start a cell that remembers.
        gate_bias: where the biases of input and output gates start; negative ones start them closed.
        truncated: whether the gradient is that of 1997.
        name: of the module.

    Raises:
        ValueError: if there are neither cells nor units, or a negative number of them.

    Example:
        >>> net = hk.without_apply_rng(hk.transform(lambda x: MemoryCells(2, 1)(x, None)))
        >>> theta = net.init(jax.random.key(0), jnp.ones(3))
        >>> output, state = net.apply(theta, jnp.ones(3))
        >>> output.shape, state.cell.shape
        ((3,), (2,))
    """

    def __init__(
        self,
        num_cells: int,
        num_units: int = 0,
        *,
        forget_gate: bool = False,
        forget_bias: float = 1.0,
        gate_bias: float = 0.0,
        truncated: bool = False,
        name: str | None = None,
    ):
        super().__init__(name=name)
        if num_cells < 0 or num_units < 0 or num_cells + num_units < 1:
            raise ValueError(
                f"num_cells={num_cells!r}, num_units={num_units!r}: give at least one, and no negative number"
            )
        self.num_cells, self.num_units = num_cells, num_units
        self.forget_gate, self.forget_bias, self.gate_bias = forget_gate, forget_bias, gate_bias
        self.truncated = truncated

    def __call__(self, inputs: Array, prev_state: CellState | None) -> tuple[Array, CellState]:
        """One step; `None` is the initial state. The output is `(h_t, u_t)`."""
        if prev_state is None:
            prev_state = self.initial_state(inputs.shape[0] if inputs.ndim > 1 else None)
        recurrent = jnp.concatenate([prev_state.hidden, prev_state.units], axis=-1)
        if self.truncated:
            recurrent = jax.lax.stop_gradient(recurrent)
        n = self.num_cells
        # One product for all; the biases by themselves, since they start at different numbers.
        starts = [0.0, self.gate_bias, self.gate_bias, self.forget_bias][: 4 if self.forget_gate else 3]
        start = np.concatenate([np.repeat(starts, n), np.zeros(self.num_units)])
        joint = hk.Linear(start.size, with_bias=False, name="linear")(
            jnp.concatenate([inputs, recurrent], axis=-1)
        )
        bias = hk.get_parameter("b", start.shape, jnp.float32, init=hk.initializers.Constant(start))
        joint = joint + jnp.broadcast_to(bias, joint.shape)
        g, i, o, *f = (joint[..., k * n : (k + 1) * n] for k in range(len(starts)))
        kept = jax.nn.sigmoid(f[0]) * prev_state.cell if f else prev_state.cell
        cell = kept + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
        units = jnp.tanh(joint[..., len(starts) * n :])
        return jnp.concatenate([hidden, units], axis=-1), CellState(hidden, cell, units)

    def initial_state(self, batch_size: int | None) -> CellState:
        """Zeros."""
        shape = () if batch_size is None else (batch_size,)
        cells = jnp.zeros((*shape, self.num_cells), jnp.float32)
        return CellState(cells, cells, jnp.zeros((*shape, self.num_units), jnp.float32))
