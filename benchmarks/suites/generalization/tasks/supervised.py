"""Tasks on rows of inputs and targets, and on batches that are drawn from a distribution."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks.data import Rows, on_device
from learned_opt.core.types import Array, Key, Params, Task

MEASURED = 256  # rows of the fixed batches that losses are compared on
FIXED = 0x5EED  # the stream of keys that fixed batches are drawn from


def supervised(
    rows: Rows,
    init: Callable[[Key], Params],
    apply: Callable[[Params, Array], Array],
    row_loss: Callable[[Array, Array], Array],
    *,
    batch_size: int | None,
    num_rows: int | None = None,
    penalty: Callable[[Params], Array] | None = None,
) -> Task:
    """The mean loss over minibatches of rows, or over all of them.

    `num_rows`: each problem has so many rows of its own. A batch size of `None` takes all that there are.
    """
    count = len(rows.inputs)

    def sample(key: Key) -> Any:
        return () if num_rows is None else jax.random.choice(key, count, (num_rows,), replace=False)

    def own(problem: Any) -> Array:
        return jnp.arange(count) if num_rows is None else problem

    def batch(key: Key, problem: Any, data: Rows) -> tuple[Array, Array]:
        chosen = own(problem)
        if batch_size is not None:
            chosen = chosen[jax.random.randint(key, (batch_size,), 0, len(chosen))]
        return data.inputs[chosen], data.targets[chosen]

    def loss(params: Params, problem: Any, batch: tuple[Array, Array]) -> Array:
        del problem
        mean = jnp.mean(row_loss(apply(params, batch[0]), batch[1]))
        return mean if penalty is None else mean + penalty(params)

    def metrics(params: Params, problem: Any, data: Rows) -> dict[str, Array]:
        chosen = own(problem)[:MEASURED]
        test = data.test_inputs[:MEASURED], data.test_targets[:MEASURED]
        return {
            "train": loss(params, problem, (data.inputs[chosen], data.targets[chosen])),
            "test": loss(params, problem, test),
        }

    return Task(sample, lambda key, problem: init(key), batch, loss, on_device(rows), metrics)


def streamed(
    sample: Callable[[Key], Any],
    init: Callable[[Key], Params],
    draw: Callable[[Key, Any, int], Any],
    loss: Callable[[Params, Any, Any], Array],
    *,
    batch_size: int,
    measured: int = MEASURED,
) -> Task:
    """Batches drawn anew at every step, `draw(key, problem, number)`: the fixed batch is held out too."""

    def metrics(params: Params, problem: Any, data: Any) -> dict[str, Array]:
        del data
        return {"train": loss(params, problem, draw(jax.random.key(FIXED), problem, measured))}

    return Task(
        sample,
        lambda key, problem: init(key),
        lambda key, problem, data: draw(key, problem, batch_size),
        loss,
        (),
        metrics,
    )


def deterministic(
    sample: Callable[[Key], Any],
    init: Callable[[Key, Any], Params],
    loss: Callable[[Params, Any], Array],
    test_loss: Callable[[Params, Any], Array] | None = None,
) -> Task:
    """A loss without any batches."""

    def metrics(params: Params, problem: Any, data: Any) -> dict[str, Array]:
        del data
        held_out = {} if test_loss is None else {"test": test_loss(params, problem)}
        return {"train": loss(params, problem), **held_out}

    return Task(
        sample,
        init,
        lambda key, problem, data: (),
        lambda params, problem, batch: loss(params, problem),
        (),
        metrics,
    )
