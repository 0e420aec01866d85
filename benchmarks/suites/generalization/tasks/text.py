"""Language models of characters."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks import data
from benchmarks.suites.generalization.tasks.layers import Weights, cross_entropy
from benchmarks.suites.generalization.tasks.supervised import FIXED
from learned_opt.core.types import Array, Key, Task

MEASURED = 48  # pieces of the fixed batches

Texts = tuple[Array, Array]


def next_characters(
    init: Callable[[Key], Weights],
    logits: Callable[[Weights, Array], Array],
    length: int,
    *,
    batch_size: int,
) -> Task:
    """The next character at every place of docstrings; `logits` are f32[batch, length, characters]."""

    def pieces(key: Key, text: Array, number: int) -> Array:
        starts = jax.random.randint(key, (number,), 0, text.shape[0] - length)
        return text[starts[:, None] + jnp.arange(length + 1)]

    def loss(weights: Weights, problem: tuple[()], batch: Array) -> Array:
        del problem
        return jnp.mean(cross_entropy(logits(weights, batch[:, :-1]), batch[:, 1:]))

    def metrics(weights: Weights, problem: tuple[()], texts: Texts) -> dict[str, Array]:
        train, test = (pieces(jax.random.key(FIXED), text, MEASURED) for text in texts)
        return {"train": loss(weights, problem, train), "test": loss(weights, problem, test)}

    train, test = (jnp.asarray(text) for text in data.characters())
    return Task(
        lambda key: (),
        lambda key, problem: init(key),
        lambda key, problem, texts: pieces(key, texts[0], batch_size),
        loss,
        (train, test),
        metrics,
    )
