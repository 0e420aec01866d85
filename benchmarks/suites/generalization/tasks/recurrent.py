"""Recurrent networks, unrolled in time."""

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks import text
from benchmarks.suites.generalization.tasks.data import NUM_CHARACTERS
from benchmarks.suites.generalization.tasks.layers import Weights, matrix, squared_error
from benchmarks.suites.generalization.tasks.supervised import deterministic, streamed
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.core.types import Array, Key, Task

UNITS, LENGTH = 24, 12


def characters() -> Task:
    def init(key: Key) -> Weights:
        keys = jax.random.split(key, 4)
        return {
            "embedding": 0.3 * jax.random.normal(keys[0], (NUM_CHARACTERS, 12)),
            "inputs": matrix(keys[1], 12, 4 * UNITS),
            "recurrent": matrix(keys[2], UNITS, 4 * UNITS),
            "bias": jnp.zeros(4 * UNITS).at[UNITS : 2 * UNITS].set(1.0),
            "readout": matrix(keys[3], UNITS, NUM_CHARACTERS),
            "readout_bias": jnp.zeros(NUM_CHARACTERS),
        }

    def logits(weights: Weights, codes: Array) -> Array:
        drive = weights["embedding"][codes] @ weights["inputs"] + weights["bias"]
        hidden = cell = jnp.zeros((codes.shape[0], UNITS))
        states = []
        for t in range(codes.shape[1]):
            gates = drive[:, t] + hidden @ weights["recurrent"]
            write, keep, content, read = jnp.split(gates, 4, axis=-1)
            cell = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(write) * jnp.tanh(content)
            hidden = jax.nn.sigmoid(read) * jnp.tanh(cell)
            states.append(hidden)
        return jnp.stack(states, axis=1) @ weights["readout"] + weights["readout_bias"]

    return text.next_characters(init, logits, LENGTH, batch_size=8)


def adding() -> Task:
    """The sum of the two numbers of a sequence that are marked (Hochreiter and Schmidhuber, 1997)."""
    units = 16

    def draw(key: Key, problem: tuple[()], number: int) -> tuple[Array, Array]:
        del problem
        values_key, first, second = jax.random.split(key, 3)
        values = jax.random.uniform(values_key, (number, LENGTH))
        half = LENGTH // 2
        marks = jax.nn.one_hot(jax.random.randint(first, (number,), 0, half), LENGTH)
        marks += jax.nn.one_hot(jax.random.randint(second, (number,), half, LENGTH), LENGTH)
        return jnp.stack([values, marks], axis=-1), jnp.sum(values * marks, axis=1)[:, None]

    def init(key: Key) -> Weights:
        keys = jax.random.split(key, 5)
        return {
            "gates": matrix(keys[0], 2 + units, 2 * units),
            "gate_bias": jnp.zeros(2 * units),
            "content": matrix(keys[1], 2 + units, units),
            "content_bias": jnp.zeros(units),
            "readout": matrix(keys[2], units, 1),
            "readout_bias": jnp.zeros(1),
        }

    def loss(weights: Weights, problem: tuple[()], batch: tuple[Array, Array]) -> Array:
        del problem
        x, y = batch
        state = jnp.zeros((x.shape[0], units))
        for t in range(LENGTH):
            seen = jnp.concatenate([x[:, t], state], axis=-1)
            gates = jax.nn.sigmoid(seen @ weights["gates"] + weights["gate_bias"])
            reset, update = jnp.split(gates, 2, axis=-1)
            seen = jnp.concatenate([x[:, t], reset * state], axis=-1)
            content = jnp.tanh(seen @ weights["content"] + weights["content_bias"])
            state = update * state + (1 - update) * content
        return jnp.mean(squared_error(state @ weights["readout"] + weights["readout_bias"], y))

    return streamed(lambda key: (), init, draw, loss, batch_size=16, measured=128)


def waves() -> Task:
    """An Elman network that follows eight sums of two sines."""
    units, length, count = 16, 20, 8

    def sample(key: Key) -> Array:
        keys = jax.random.split(key, 2)
        frequencies = jax.random.uniform(keys[0], (count, 2, 1), minval=0.2, maxval=0.8)
        phases = jax.random.uniform(keys[1], (count, 2, 1), maxval=2 * jnp.pi)
        return jnp.sin(frequencies * jnp.arange(length + 1) + phases).mean(1)

    def init(key: Key, problem: Array) -> Weights:
        del problem
        keys = jax.random.split(key, 2)
        return {
            "inputs": jax.random.normal(keys[0], (1, units)),
            "recurrent": jnp.linalg.qr(jax.random.normal(keys[1], (units, units)))[0],
            "bias": jnp.zeros(units),
            "readout": jnp.zeros((units, 1)),
        }

    def loss(weights: Weights, problem: Array) -> Array:
        state, outputs = jnp.zeros((count, units)), []
        for t in range(length):
            state = jnp.tanh(
                problem[:, t, None] @ weights["inputs"] + state @ weights["recurrent"] + weights["bias"]
            )
            outputs.append(state @ weights["readout"])
        return jnp.mean(squared_error(jnp.concatenate(outputs, axis=1), problem[:, 1:]))

    return deterministic(sample, init, loss)


TRIALS = (
    Trial(
        "recurrent-characters", "noisy", 600, characters, "an LSTM of 24 units on docstrings, batches of 8"
    ),
    Trial("recurrent-adding", "between", 1000, adding, "a GRU of 16 units adds two marked numbers of twelve"),
    Trial(
        "recurrent-waves", "solvable", 1000, waves, "an Elman network of 16 units follows eight sums of sines"
    ),
)
