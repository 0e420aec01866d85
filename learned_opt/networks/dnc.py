r"""The Differentiable Neural Computer: a recurrent network with an external memory.

Reference:
    Graves, Wayne, Reynolds et al., Hybrid computing using a neural network with dynamic external memory,
    Nature 538, 2016, Methods. Deviations: the controller is one LSTM layer, haiku's, with its forget bias of
    1; what is linear in the paper has biases; those of the memory are at the head of `external_memory`.
"""

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array
from learned_opt.networks.external_memory import Memory, access, empty_memory, interface, interface_size


class DNCState(NamedTuple):
    """The state of a Differentiable Neural Computer.

    Attributes:
        controller: the LSTM's, `hidden` and `cell` f32[..., hidden_size].
        reads: what the heads read last, f32[..., num_reads, word_size].
        memory: of each example of the batch.
    """

    controller: hk.LSTMState
    reads: Array
    memory: Memory


class DNC(hk.RNNCore):
    r"""An LSTM that writes to and reads from a memory by attention.

    .. math::

        h_t &= \mathrm{LSTM}((x_t, r_{t-1}^1, \dots, r_{t-1}^R), h_{t-1}) \\
        r_t, M_t &= \mathrm{access}(M_{t-1}, W_\xi h_t), \qquad
        y_t = W_y h_t + W_r (r_t^1, \dots, r_t^R)

    where `access` is that of `external_memory`: content addressing, allocation of what is least used, free
    gates, and temporal links in which a head walks forward or backward along what was written. A step costs
    O(N W R + N^2 R) besides the LSTM. The parameters do not depend on N: what was trained with a small
    memory runs with a larger one.

    Args:
        num_outputs: of y.
        hidden_size: units of the controller.
        num_slots: N, words in memory.
        word_size: W, numbers in a word.
        num_reads: R, read heads.
        name: of the module.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> def run(xs):
        ...     core = DNC(2, hidden_size=8, num_slots=4, word_size=3)
        ...     return hk.dynamic_unroll(core, xs, core.initial_state(xs.shape[1]))
        >>> net = hk.without_apply_rng(hk.transform(run))
        >>> xs = jnp.ones((5, 2, 6))  # time, batch, features
        >>> outputs, state = jax.jit(net.apply)(jax.jit(net.init)(jax.random.key(0), xs), xs)
        >>> outputs.shape, state.memory.links.shape
        ((5, 2, 2), (2, 4, 4))

    Reference:
        Graves et al. 2016, Methods, "Controller network".
    """

    def __init__(
        self,
        num_outputs: int,
        *,
        hidden_size: int = 32,
        num_slots: int = 16,
        word_size: int = 8,
        num_reads: int = 1,
        name: str | None = None,
    ):
        super().__init__(name=name)
        check_at_least(
            1,
            num_outputs=num_outputs,
            hidden_size=hidden_size,
            num_slots=num_slots,
            word_size=word_size,
            num_reads=num_reads,
        )
        self.num_outputs = num_outputs
        self.num_slots, self.word_size, self.num_reads = num_slots, word_size, num_reads
        self.controller = hk.LSTM(hidden_size, name="controller")

    def __call__(self, inputs: Array, prev_state: DNCState) -> tuple[Array, DNCState]:
        """One step: inputs f32[B, num_inputs] -> outputs f32[B, num_outputs]."""
        batch_size = inputs.shape[0]
        seen = jnp.concatenate([inputs, prev_state.reads.reshape(batch_size, -1)], axis=-1)
        hidden, controller = self.controller(seen, prev_state.controller)
        vector = hk.Linear(interface_size(self.word_size, self.num_reads), name="interface")(hidden)

        def step(memory: Memory, vector: Array) -> tuple[Array, Memory]:
            return access(memory, interface(vector, self.word_size, self.num_reads))

        reads, memory = jax.vmap(step)(prev_state.memory, vector)
        heard = jnp.concatenate([hidden, reads.reshape(batch_size, -1)], axis=-1)
        return hk.Linear(self.num_outputs, name="output")(heard), DNCState(controller, reads, memory)

    def initial_state(self, batch_size: int) -> DNCState:
        """Zeros: nothing is written, nothing read."""
        memory = empty_memory(self.num_slots, self.word_size, self.num_reads)
        memory = jax.tree.map(lambda x: jnp.zeros((batch_size, *x.shape), x.dtype), memory)
        reads = jnp.zeros((batch_size, self.num_reads, self.word_size), jnp.float32)
        return DNCState(self.controller.initial_state(batch_size), reads, memory)
