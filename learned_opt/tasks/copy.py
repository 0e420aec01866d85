"""Copying a sequence of random bits, by a network with an external memory.

Reference:
    Graves, Wayne, Danihelka, Neural Turing machines, 2014, section 4.1. Deviation: short sequences and a
    small memory by default, so that training takes minutes on one core.
"""

import functools

import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Task
from learned_opt.networks import DNC
from learned_opt.tasks.registry import registry
from learned_opt.tasks.sequences import marker, sequence_task, within


@registry.register
def copy(
    num_bits: int = 4,
    max_length: int = 6,
    batch_size: int = 16,
    hidden_size: int = 32,
    num_slots: int = 16,
    word_size: int = 8,
    num_reads: int = 1,
) -> Task:
    r"""Cross-entropy of a Differentiable Neural Computer that says a sequence of bits once more.

    .. math::

        f(x) = -\frac{1}{\sum_i n_i} \sum_{i=1}^{B} \sum_{t=1}^{n_i} \frac{1}{K} \sum_{k=1}^{K}
            \log p_x(b_{itk} \mid b_{i1}, \dots, b_{i n_i}), \qquad n_i \sim U\{1, \dots, L\}

    A flag begins the sequence, another ends it; then the network has to say all of it without further input.

    Args:
        num_bits: K, bits of a symbol.
        max_length: L, symbols of the longest sequence in training.
        batch_size: B, sequences in a minibatch, all of them fresh.
        hidden_size: units of the controller.
        num_slots: words of the memory; the longest sequence has to fit.
        word_size: numbers in a word.
        num_reads: read heads.

    Returns:
        The task; params as haiku makes them. Its metrics are the shares of wrong bits in sequences of length
        L, of length 2 L, and of these with twice the slots.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> task = copy(max_length=3)
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> x, batch = jax.jit(task.init)(keys[0], ()), jax.jit(task.batch)(keys[1], (), task.data)
        >>> batch.inputs.shape, bool(0.6 < jax.jit(task.loss)(x, (), batch) < 0.8)
        ((16, 8, 6), True)
    """
    check_at_least(1, num_bits=num_bits, max_length=max_length, batch_size=batch_size)
    check_at_least(1, hidden_size=hidden_size, num_slots=num_slots, word_size=word_size, num_reads=num_reads)

    def example(key: Key, shortest: int, longest: int) -> tuple[Array, Array, Array]:
        length_key, bits_key = jax.random.split(key)
        n = jax.random.randint(length_key, (), shortest, longest + 1)
        bits = jax.random.bernoulli(bits_key, 0.5, (longest, num_bits)).astype(jnp.float32)
        t = jnp.arange(2 * longest + 2)
        inputs = jnp.concatenate([within(bits, t - 1, n), marker(t == 0, t == n + 1)], axis=-1)
        answers = (t > n + 1) & (t <= 2 * n + 1)
        return inputs, within(bits, t - n - 2, n), answers.astype(jnp.float32)

    network = functools.partial(
        DNC,
        num_bits,
        hidden_size=hidden_size,
        word_size=word_size,
        num_reads=num_reads,
    )
    return sequence_task(example, 1, max_length, batch_size, network, num_slots)
