"""Transformers."""

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks import text
from benchmarks.suites.generalization.tasks.data import NUM_CHARACTERS
from benchmarks.suites.generalization.tasks.layers import Weights, cross_entropy, matrix, normalized
from benchmarks.suites.generalization.tasks.supervised import streamed
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.core.types import Array, Key, Task


def transformer(vocabulary: int, length: int, width: int, layers: int, *, heads: int, causal: bool):
    """`init(key) -> weights` and `apply(weights, codes) -> logits`, of pre-normalised blocks."""

    def init(key: Key) -> Weights:
        keys = iter(jax.random.split(key, 3 + 4 * layers))
        weights = {
            "embedding": 0.3 * jax.random.normal(next(keys), (vocabulary, width)),
            "positions": 0.1 * jax.random.normal(next(keys), (length, width)),
            "readout": matrix(next(keys), width, vocabulary),
        }
        for i in range(layers):
            weights |= {
                f"attend{i}": matrix(next(keys), width, 3 * width),
                f"mix{i}": matrix(next(keys), width, width),
                f"up{i}": matrix(next(keys), width, 4 * width),
                f"down{i}": matrix(next(keys), 4 * width, width),
                f"scales{i}": jnp.ones((2, width)),
            }
        return weights

    def attended(weights: Weights, x: Array, i: int) -> Array:
        parts = (x @ weights[f"attend{i}"]).reshape(*x.shape[:2], 3, heads, width // heads)
        query, key, value = (parts[:, :, j] for j in range(3))
        scores = jnp.einsum("bihd,bjhd->bhij", query, key) * (width // heads) ** -0.5
        if causal:
            scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
        mixed = jnp.einsum("bhij,bjhd->bihd", jax.nn.softmax(scores), value)
        return mixed.reshape(x.shape) @ weights[f"mix{i}"]

    def apply(weights: Weights, codes: Array) -> Array:
        x = weights["embedding"][codes] + weights["positions"]
        for i in range(layers):
            scales = weights[f"scales{i}"]
            x += attended(weights, normalized(x) * scales[0], i)
            x += jax.nn.gelu(normalized(x) * scales[1] @ weights[f"up{i}"]) @ weights[f"down{i}"]
        return normalized(x) @ weights["readout"]

    return init, apply


def characters() -> Task:
    length = 16
    init, apply = transformer(NUM_CHARACTERS, length, 16, 2, heads=2, causal=True)
    return text.next_characters(init, apply, length, batch_size=4)


def reversal() -> Task:
    """A sequence of eight of ten symbols, backwards."""
    length, symbols = 8, 10
    init, apply = transformer(symbols, length, 16, 1, heads=2, causal=False)

    def loss(weights: Weights, problem: tuple[()], batch: Array) -> Array:
        del problem
        return jnp.mean(cross_entropy(apply(weights, batch), batch[:, ::-1]))

    def draw(key: Key, problem: tuple[()], number: int) -> Array:
        del problem
        return jax.random.randint(key, (number, length), 0, symbols)

    return streamed(lambda key: (), init, draw, loss, batch_size=16, measured=64)


TRIALS = (
    Trial(
        "attention-characters",
        "noisy",
        600,
        characters,
        "a transformer of two blocks and width 16 on docstrings, batches of 4",
    ),
    Trial(
        "attention-reversal", "solvable", 700, reversal, "a transformer of one block reverses eight symbols"
    ),
)
