"""What tasks of sequences of bits have in common: the network, the loss and the errors that are reported."""

from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.networks import DNC

NUM_TEST_SEQUENCES = 256


class Sequences(NamedTuple):
    """A minibatch of sequences.

    Attributes:
        inputs: f32[B, T, num_inputs].
        targets: f32[B, T, num_outputs], of zeros and ones.
        answers: f32[B, T], 1 in the steps in which the network has to say the target.
    """

    inputs: Array
    targets: Array
    answers: Array


def sequence_task(
    example: Callable[[Key, int, int], tuple[Array, Array, Array]],
    shortest: int,
    longest: int,
    batch_size: int,
    network: Callable[..., DNC],
    num_slots: int,
) -> Task:
    """A task of sequences that a Differentiable Neural Computer answers with bits.

    Args:
        example: `example(key, shortest, longest)`, one sequence of a random length in between.
        shortest: the least length in training.
        longest: the greatest one; the metrics are measured at this length and at twice this length, there in
            the memory of training and in one of twice as many slots: a network that writes at every step
            runs out of them.
        batch_size: sequences of a minibatch.
        network: `network(num_slots=)` makes the network, inside a haiku transform.
        num_slots: words of its memory.
    """

    def logits(inputs: Array, num_slots: int = num_slots) -> Array:
        core = network(num_slots=num_slots)
        said, _ = hk.dynamic_unroll(core, inputs, core.initial_state(inputs.shape[0]), time_major=False)
        return jnp.asarray(said)

    net = hk.without_apply_rng(hk.transform(logits))
    net_init = jax.jit(net.init)  # one operation after another takes seconds

    def draw(key: Key, number: int, shortest: int, longest: int) -> Sequences:
        keys = jax.random.split(key, number)
        return Sequences(*jax.vmap(lambda key: example(key, shortest, longest))(keys))

    def init(key: Key, problem: tuple[()]) -> Params:
        del problem
        return net_init(key, draw(key, 1, shortest, longest).inputs)

    def batch(key: Key, problem: tuple[()], data: tuple[()]) -> Sequences:
        del problem, data
        return draw(key, batch_size, shortest, longest)

    def loss(params: Params, problem: tuple[()], batch: Sequences) -> Array:
        del problem
        errors = optax.sigmoid_binary_cross_entropy(net.apply(params, batch.inputs), batch.targets)
        return jnp.sum(errors.mean(-1) * batch.answers) / jnp.sum(batch.answers)

    def metrics(params: Params, problem: tuple[()], data: tuple[()]) -> dict[str, Array]:
        del problem, data

        def bit_errors(length: int, slots: int) -> Array:
            test = draw(jax.random.key(length), NUM_TEST_SEQUENCES, length, length)
            wrong = (net.apply(params, test.inputs, slots) > 0) != (test.targets > 0)
            return jnp.sum(wrong.mean(-1) * test.answers) / jnp.sum(test.answers)

        return {
            "bit_errors": bit_errors(longest, num_slots),
            "bit_errors_at_twice": bit_errors(2 * longest, num_slots),
            "bit_errors_at_twice_with_room": bit_errors(2 * longest, 2 * num_slots),
        }

    return Task(lambda key: (), init, batch, loss, metrics=metrics)


def within(values: Array, places: Array, count: Array | int) -> Array:
    """The rows of f32[n, num_bits] at some places i32[T], zeros where a place is not in [0, count)."""
    rows = values[jnp.clip(places, 0, values.shape[0] - 1)]
    return jnp.where(((places >= 0) & (places < count))[:, None], rows, 0)


def marker(*flags: Array) -> Array:
    """Input channels of their own, f32[T, len(flags)]."""
    return jnp.stack([flag.astype(jnp.float32) for flag in flags], axis=-1)
