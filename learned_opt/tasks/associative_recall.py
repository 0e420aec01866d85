"""Recalling what came after an item, by a network with an external memory.

Reference:
    Graves, Wayne, Danihelka, Neural Turing machines, 2014, section 4.3. Deviation: few and short items and a
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

_CODED_BITS = 24  # by which items are told apart: few enough for an integer


@registry.register
def associative_recall(
    num_bits: int = 6,
    item_length: int = 1,
    max_items: int = 4,
    batch_size: int = 16,
    hidden_size: int = 32,
    num_slots: int = 16,
    word_size: int = 8,
    num_reads: int = 2,
) -> Task:
    r"""Cross-entropy of a Differentiable Neural Computer that says which item came after a given one.

    Between two and `max_items` items are shown, each of `item_length` symbols after a flag; then one of them
    but the last between two other flags; the answer is the item that followed it. No item is shown twice.

    Args:
        num_bits: bits of a symbol.
        item_length: symbols of an item.
        max_items: L, items of the longest sequence in training, at least 2.
        batch_size: sequences in a minibatch, all of them fresh.
        hidden_size: units of the controller.
        num_slots: words of the memory.
        word_size: numbers in a word.
        num_reads: read heads.

    Returns:
        The task; params as haiku makes them. Its metrics are the shares of wrong bits after L items, after
        2 L items, and after these with twice the slots.

    Raises:
        ValueError: if a size is below 1, there are less than two items, or less than 2 L different ones.

    Example:
        >>> task = associative_recall(max_items=3)
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> x, batch = jax.jit(task.init)(keys[0], ()), jax.jit(task.batch)(keys[1], (), task.data)
        >>> batch.inputs.shape, bool(0.6 < jax.jit(task.loss)(x, (), batch) < 0.8)
        ((16, 11, 8), True)
    """
    check_at_least(1, num_bits=num_bits, item_length=item_length, batch_size=batch_size)
    check_at_least(2, max_items=max_items)
    check_at_least(1, hidden_size=hidden_size, num_slots=num_slots, word_size=word_size, num_reads=num_reads)
    if 2 ** (item_length * num_bits) < 2 * max_items:
        raise ValueError(
            f"max_items={max_items}: there are not twice as many different items of "
            f"item_length={item_length} symbols of num_bits={num_bits} bits; raise num_bits or item_length"
        )
    whole = item_length + 1  # an item with its flag

    def example(key: Key, shortest: int, longest: int) -> tuple[Array, Array, Array]:
        number_key, query_key, bits_key = jax.random.split(key, 3)
        number = jax.random.randint(number_key, (), shortest, longest + 1)
        bits = _distinct(bits_key, longest, item_length * num_bits).reshape(longest, item_length, num_bits)
        query = jax.random.randint(query_key, (), 0, number - 1)
        # Each item after a row for its flag, as the network sees them.
        bits = jnp.pad(bits, ((0, 0), (1, 0), (0, 0))).reshape(longest * whole, num_bits)
        t = jnp.arange((longest + 2) * whole + item_length)
        asked, answer = number * whole, (number + 1) * whole
        place = jnp.where(t < asked, t, t - asked + query * whole)
        shown = within(bits, jnp.where(t < answer, place, -1), longest * whole)
        flags = marker((t < asked) & (t % whole == 0), (t == asked) | (t == answer))
        answers = (t > answer) & (t < answer + whole)
        targets = within(bits, jnp.where(answers, t - answer + (query + 1) * whole, -1), longest * whole)
        return jnp.concatenate([shown, flags], axis=-1), targets, answers.astype(jnp.float32)

    network = functools.partial(
        DNC,
        num_bits,
        hidden_size=hidden_size,
        word_size=word_size,
        num_reads=num_reads,
    )
    return sequence_task(example, 2, max_items, batch_size, network, num_slots)


def _distinct(key: Key, number: int, num_bits: int) -> Array:
    """Rows of random bits, f32[number, num_bits], no two of them alike.

    Sorted draws are moved apart by their rank, so that neighbouring codes, which often differ in one bit,
    come together about half as often as in uniform sets.
    """
    code_key, order_key, bits_key = jax.random.split(key, 3)
    coded = min(num_bits, _CODED_BITS)
    codes = jnp.sort(jax.random.randint(code_key, (number,), 0, 2**coded - number + 1)) + jnp.arange(number)
    codes = jax.random.permutation(order_key, codes)
    first = codes[:, None] >> jnp.arange(coded)[None] & 1
    rest = jax.random.bernoulli(bits_key, 0.5, (number, num_bits - coded))
    return jnp.concatenate([first.astype(jnp.float32), rest.astype(jnp.float32)], axis=-1)
