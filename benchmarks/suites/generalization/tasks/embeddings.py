"""Embeddings: parameters of which a batch touches a few rows."""

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks import data
from benchmarks.suites.generalization.tasks.layers import Weights, cross_entropy, matrix
from benchmarks.suites.generalization.tasks.supervised import MEASURED, supervised
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.core.types import Array, Key, Task

VOCABULARY = 300


def words() -> Task:
    """Which module a piece of a docstring is from, by the mean of its words' embeddings."""
    width, classes = 16, len(data.MODULES)

    def init(key: Key) -> Weights:
        keys = jax.random.split(key)
        return {
            "embedding": 0.1 * jax.random.normal(keys[0], (VOCABULARY, width)),
            "w": matrix(keys[1], width, classes),
            "b": jnp.zeros(classes),
        }

    def apply(weights: Weights, codes: Array) -> Array:
        return weights["embedding"][codes].mean(1) @ weights["w"] + weights["b"]

    return supervised(data.words(VOCABULARY, 12), init, apply, cross_entropy, batch_size=16)


def neighbours() -> Task:
    """A word from another one near it (Mikolov et al., 2013, with a full softmax)."""
    width, reach = 12, 3

    def init(key: Key) -> Weights:
        return {
            "words": 0.1 * jax.random.normal(key, (VOCABULARY, width)),
            "contexts": jnp.zeros((width, VOCABULARY)),
            "frequencies": jnp.zeros(VOCABULARY),
        }

    def logits(weights: Weights, codes: Array) -> Array:
        return weights["words"][codes] @ weights["contexts"] + weights["frequencies"]

    def row_loss(logits: Array, codes: Array) -> Array:
        return cross_entropy(logits, codes)

    rows = data.words(VOCABULARY, 12)
    pairs = [(x[:, :-reach].ravel(), x[:, reach:].ravel()) for x in (rows.inputs, rows.test_inputs)]
    return supervised(data.Rows(*pairs[0], *pairs[1]), init, logits, row_loss, batch_size=32)


def ratings() -> Task:
    """Ratings of 40 things by 60 people from factors of both, in batches of 16."""
    people, things, rank, width = 60, 40, 3, 6

    def sample(key: Key) -> Array:
        keys = jax.random.split(key, 3)
        taste, kind = (jax.random.normal(k, (n, rank)) for k, n in zip(keys, (people, things), strict=False))
        return taste @ kind.T * rank**-0.5 + 0.3 * jax.random.normal(keys[2], (people, things))

    def batch(key: Key, problem: Array, data: tuple[()]) -> Array:
        del problem, data
        return jax.random.randint(key, (16,), 0, people * things * 3 // 4)

    def loss(weights: Weights, problem: Array, batch: Array) -> Array:
        # Entries are counted in an order that leaves the last quarter, spread over all rows, for the test.
        entry = batch * 7 % (people * things)
        i, j = entry // things, entry % things
        guess = jnp.sum(weights["people"][i] * weights["things"][j], axis=-1)
        guess += weights["person_bias"][i] + weights["thing_bias"][j]
        return jnp.mean(jnp.square(guess - problem[i, j]))

    def init(key: Key, problem: Array) -> Weights:
        del problem
        keys = jax.random.split(key)
        return {
            "people": 0.1 * jax.random.normal(keys[0], (people, width)),
            "things": 0.1 * jax.random.normal(keys[1], (things, width)),
            "person_bias": jnp.zeros(people),
            "thing_bias": jnp.zeros(things),
        }

    def metrics(weights: Weights, problem: Array, data: tuple[()]) -> dict[str, Array]:
        del data
        cut = people * things * 3 // 4
        train = loss(weights, problem, jnp.arange(4 * MEASURED))
        return {"train": train, "test": loss(weights, problem, jnp.arange(cut, people * things))}

    return Task(sample, init, batch, loss, (), metrics)


TRIALS = (
    Trial(
        "embeddings-words",
        "noisy",
        1000,
        words,
        "means of word embeddings tell 16 modules apart, batches of 16",
    ),
    Trial("embeddings-neighbours", "noisy", 800, neighbours, "skip-grams of 300 words, batches of 32"),
    Trial(
        "embeddings-ratings",
        "noisy",
        1000,
        ratings,
        "2,400 noisy ratings by factors of width 6, batches of 16",
    ),
)
