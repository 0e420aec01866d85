"""Tasks with a test loss on a tenth of their data that is not trained on."""

from typing import Any

import jax.numpy as jnp

from learned_opt import tasks
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.tasks import TextSplits

TEST_SHARE, TEST_PIECES = 0.1, 256


def characters(*, text: str | None, length: int, **arguments: Any) -> Task:
    """`tasks.characters`, with a test loss without a file too."""
    task = tasks.characters(text=text, length=length, **arguments)
    if text is not None:
        return task  # which keeps the last tenth of a file itself

    def metrics(params: Params, problem: tuple[()], data: TextSplits) -> dict[str, Array]:
        starts = jnp.linspace(0, len(data.test) - length - 1, TEST_PIECES).astype(jnp.int32)
        pieces = data.test[starts[:, None] + jnp.arange(length + 1)[None]]
        return {"test_loss": task.loss(params, problem, pieces.astype(jnp.int32))}

    return task._replace(data=_split(task.data), metrics=metrics)


def autoencoder(**arguments: Any) -> Task:
    """`tasks.autoencoder`, with a test loss."""
    task = tasks.autoencoder(**arguments)

    def batch(key: Key, problem: tuple[()], data: TextSplits) -> Array:
        return task.batch(key, problem, data.train)

    def metrics(params: Params, problem: tuple[()], data: TextSplits) -> dict[str, Array]:
        return {"test_loss": task.loss(params, problem, data.test)}

    return task._replace(data=_split(task.data), batch=batch, metrics=metrics)


def _split(data: Array) -> TextSplits:
    cut = round(len(data) * (1 - TEST_SHARE))
    return TextSplits(data[:cut], data[cut:])
