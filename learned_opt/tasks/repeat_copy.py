"""Copying a sequence of random bits several times, by a network with an external memory.

Reference:
    Graves, Wayne, Danihelka, Neural Turing machines, 2014, section 4.2. Deviation: short sequences and a
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
def repeat_copy(
    num_bits: int = 4,
    max_length: int = 3,
    max_repeats: int = 3,
    batch_size: int = 16,
    hidden_size: int = 32,
    num_slots: int = 16,
    word_size: int = 8,
    num_reads: int = 1,
) -> Task:
    r"""Cross-entropy of a Differentiable Neural Computer that says a sequence of bits as often as told.

    As `copy`, but the flag that ends the sequence carries :math:`r / R` with :math:`r \sim U\{1, \dots, R\}`;
    the answer is the sequence r times, and then an end marker, in an output of its own.

    Args:
        num_bits: bits of a symbol.
        max_length: L, symbols of the longest sequence in training.
        max_repeats: R.
        batch_size: sequences in a minibatch, all of them fresh.
        hidden_size: units of the controller.
        num_slots: words of the memory; the longest sequence has to fit.
        word_size: numbers in a word.
        num_reads: read heads.

    Returns:
        The task; params as haiku makes them. Its metrics are the shares of wrong bits in sequences of length
        L, of length 2 L, and of these with twice the slots, the end marker counted as one.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> task = repeat_copy(max_length=2)
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> x, batch = jax.jit(task.init)(keys[0], ()), jax.jit(task.batch)(keys[1], (), task.data)
        >>> batch.targets.shape, bool(0.6 < jax.jit(task.loss)(x, (), batch) < 0.8)
        ((16, 11, 5), True)
    """
    check_at_least(
        1, num_bits=num_bits, max_length=max_length, max_repeats=max_repeats, batch_size=batch_size
    )
    check_at_least(1, hidden_size=hidden_size, num_slots=num_slots, word_size=word_size, num_reads=num_reads)

    def example(key: Key, shortest: int, longest: int) -> tuple[Array, Array, Array]:
        length_key, repeats_key, bits_key = jax.random.split(key, 3)
        n = jax.random.randint(length_key, (), shortest, longest + 1)
        repeats = jax.random.randint(repeats_key, (), 1, max_repeats + 1)
        bits = jax.random.bernoulli(bits_key, 0.5, (longest, num_bits)).astype(jnp.float32)
        t = jnp.arange(longest * (1 + max_repeats) + 3)
        end = n + 2 + n * repeats
        told = jnp.where(t == n + 1, repeats.astype(jnp.float32) / max_repeats, 0)
        inputs = jnp.concatenate([within(bits, t - 1, n), marker(t == 0, told)], axis=-1)
        said = within(bits, jnp.where(t < end, (t - n - 2) % n, -1), n)
        answers = (t > n + 1) & (t <= end)
        targets = jnp.concatenate([said, marker(t == end)], axis=-1)
        return inputs, targets, answers.astype(jnp.float32)

    network = functools.partial(
        DNC,
        num_bits + 1,
        hidden_size=hidden_size,
        word_size=word_size,
        num_reads=num_reads,
    )
    return sequence_task(example, 1, max_length, batch_size, network, num_slots)
