"""Training one network on batches from the disk, by any optax optimizer; to be stopped and resumed."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt import runs
from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Params
from learned_opt.datasets.streams.batches import PADDING, batches, blank_batch
from learned_opt.datasets.streams.source import Source, UnreadableError
from learned_opt.tasks.streamed import StreamedTask

LEAST_SEEN = 100  # samples before the share of those that could not be read means anything
NAMED = 3  # of them that an error names


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """How a network is trained.

    Attributes:
        num_steps: updates.
        batch_size: samples in a batch.
        period: steps after which metrics and a checkpoint are written.
        seed: of the params, the order of the samples and the crops.
        num_workers: processes that read samples; 0 for threads of this one.
        max_skipped: the share of samples that cannot be read above which the run stops.

    Raises:
        ValueError: if one is out of its range.

    Example:
        >>> FitSettings(num_steps=10).max_skipped
        0.01
    """

    num_steps: int = 1000
    batch_size: int = 64
    period: int = 100
    seed: int = 0
    num_workers: int = 0
    max_skipped: float = 0.01

    def __post_init__(self):
        check_at_least(1, num_steps=self.num_steps, batch_size=self.batch_size, period=self.period)
        check_at_least(0, num_workers=self.num_workers)
        if not 0 <= self.max_skipped <= 1:
            raise ValueError(f"max_skipped={self.max_skipped!r}: give a share from 0 to 1")


class FitState(NamedTuple):
    """What a run carries from step to step, and a checkpoint holds.

    `step` is the number of the next batch, which with the seed is all that the pipeline's state is.

    Attributes:
        step: updates made.
        params: of the network.
        net_state: such as the statistics of batch normalisation.
        opt_state: of the optimizer.
        skipped: samples so far that could not be read.
    """

    step: int
    params: Params
    net_state: Any
    opt_state: Any
    skipped: int


class Fitted(NamedTuple):
    """What `fit` gives.

    Attributes:
        state: after the last step.
        rows: of metrics, a dictionary a period.
    """

    state: FitState
    rows: list[dict[str, Any]]


def fit(
    task: StreamedTask,
    source: Source,
    tx: optax.GradientTransformation,
    settings: FitSettings,
    *,
    test: Source | None = None,
    directory: runs.RunDirectory | None = None,
    on_step: Callable[[int, dict[str, Any]], None] = lambda step, figures: None,
) -> Fitted:
    """Trains a network on the batches of a source.

    With a directory it goes on from the newest checkpoint, and a run that was stopped and resumed sees the
    same batches as one that was not. Samples that cannot be read are left out of the loss and counted.

    Args:
        task: the network and its loss.
        source: of the samples.
        tx: any optax transformation.
        settings: of the run.
        test: samples that the accuracy is measured on after every period.
        directory: where metrics and checkpoints are stored; `None` to store nothing.
        on_step: called after each step with its number and figures, such as to move a progress bar.

    Returns:
        The last state and the metrics: `loss` and `accuracy` in training, `test_loss`, `test_accuracy` and
        one accuracy a kind of samples in test, `skipped` samples, `samples_per_second`, and `waiting`, the
        share of the time in which the step waited for the pipeline.

    Raises:
        UnreadableError: if more than `max_skipped` of the samples cannot be read; some are named.

    Example:
        >>> import numpy as np
        >>> from learned_opt.tasks import Answers, StreamedTask
        >>> class Numbers:
        ...     remedy = "nothing"
        ...
        ...     def __len__(self):
        ...         return 8
        ...
        ...     def sample(self, index, rng):
        ...         return {"x": np.float32(index)}
        >>> def answers(params, state, batch, is_training):
        ...     loss = (params - batch["x"]) ** 2
        ...     return Answers(loss, loss < 4), state
        >>> task = StreamedTask(lambda key, batch: (jnp.zeros(()), ()), answers)
        >>> settings = FitSettings(num_steps=50, batch_size=8, period=50)
        >>> fitted = fit(task, Numbers(), optax.sgd(0.1), settings)
        >>> round(float(fitted.state.params), 2)
        3.5
    """
    tx = optax.with_extra_args_support(tx)
    like = blank_batch(source, settings.batch_size)
    params, net_state = jax.jit(task.init)(jax.random.key(settings.seed), like)
    start = FitState(0, params, net_state, tx.init(params), 0)
    with runs.history(directory, start) as history:
        first = int(history.state.step)
        reading = batches(
            source,
            batch_size=settings.batch_size,
            seed=settings.seed,
            first=first,
            num_workers=settings.num_workers,
        )
        with reading as found:
            trainer = _Trainer(task, source, tx, settings, found, test, on_step)
            runs.run_periods(
                history,
                trainer.advance,
                trainer.end_period,
                num_steps=settings.num_steps,
                period=settings.period,
                steps_per_call=1,
            )
        return Fitted(history.state, history.rows)


def held_out_metrics(
    task: StreamedTask, state: FitState, source: Source, settings: FitSettings
) -> dict[str, float]:
    """The mean loss and the accuracy over a source, in one epoch; that of each kind of samples besides."""
    measured = _measured(task)
    losses, right, groups, skipped = [], [], [], 0
    reading = batches(source, batch_size=settings.batch_size, seed=None, num_workers=settings.num_workers)
    with reading as found:
        for batch in found:
            answers = measured(state.params, state.net_state, _arrays(batch))
            valid = batch["valid"]
            skipped += int(np.sum(~valid & (batch["index"] != PADDING)))
            losses.append(np.asarray(answers.loss)[valid])
            right.append(np.asarray(answers.right)[valid])
            groups.append(batch["type"][valid] if task.groups else np.zeros(valid.sum(), np.int32))
    _check_skipped(source, skipped, len(source), settings.max_skipped)
    right, groups = np.concatenate(right), np.concatenate(groups)
    row = {"test_loss": float(np.concatenate(losses).mean()), "test_accuracy": float(right.mean())}
    for number, name in enumerate(task.groups):
        if np.any(groups == number):
            row[f"test_accuracy_{name}"] = float(right[groups == number].mean())
    return row | {"test_skipped": skipped}


@dataclasses.dataclass
class _Trainer:
    task: StreamedTask
    source: Source
    tx: optax.GradientTransformationExtraArgs
    settings: FitSettings
    batches: Iterator[dict[str, np.ndarray]]
    test: Source | None
    on_step: Callable[[int, dict[str, Any]], None]

    def __post_init__(self):
        self.began = time.monotonic()

    def advance(self, state: FitState, count: int) -> tuple[FitState, dict[str, Any]]:
        """One step; the report's arrays are still on their way."""
        del count
        asked = time.monotonic()
        batch = next(self.batches)
        waited = time.monotonic() - asked
        skipped = state.skipped + int(np.sum(~batch["valid"]))
        step = state.step + 1
        _check_skipped(self.source, skipped, step * self.settings.batch_size, self.settings.max_skipped)
        update = batch_update(self.task, self.tx)
        params, net_state, opt_state, loss, accuracy = update(
            state.params, state.net_state, state.opt_state, _arrays(batch)
        )
        report = {"loss": loss, "accuracy": accuracy, "waited": waited}
        self.on_step(step, {"skipped": skipped or None})
        return FitState(step, params, net_state, opt_state, skipped), report

    def end_period(self, state: FitState, reports: Any) -> tuple[FitState, dict[str, Any]]:
        """The metrics of a period."""
        row = {name: float(np.mean([report[name] for report in reports])) for name in ("loss", "accuracy")}
        seconds = time.monotonic() - self.began
        row["samples_per_second"] = len(reports) * self.settings.batch_size / seconds
        row["waiting"] = sum(report["waited"] for report in reports) / seconds
        row["skipped"] = state.skipped
        if self.test is not None:
            row |= held_out_metrics(self.task, state, self.test, self.settings)
        self.began = time.monotonic()
        return state, row


@functools.lru_cache(maxsize=8)
def batch_update(task: StreamedTask, tx: optax.GradientTransformationExtraArgs) -> Callable[..., Any]:
    """One jitted update on a batch, in place of its arguments.

    Args:
        task: the network and its loss.
        tx: the optimizer; takes extra arguments.

    Returns:
        `update(params, net_state, opt_state, batch)`, which gives the first three anew, the loss f32[] and
        the share f32[] of right answers.

    Example:
        >>> from learned_opt.tasks import image_classifier
        >>> callable(batch_update(image_classifier("resnet18", 10), optax.adam(0.1)))
        True
    """

    def update(params: Params, net_state: Any, opt_state: Any, batch: Mapping[str, Array]) -> Any:
        valid = batch["valid"].astype(jnp.float32)
        weights = valid / jnp.maximum(jnp.sum(valid), 1)

        def loss(params: Params) -> tuple[Array, tuple[Any, Array]]:
            answers, state = task.answers(params, net_state, batch, True)
            return jnp.sum(answers.loss * weights), (state, jnp.sum(jnp.where(answers.right, weights, 0)))

        (value, (state, accuracy)), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        # optax's own optimizers count on int and float promoting, whatever the user has set.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt = tx.update(gradient, opt_state, params, value=value)
        return optax.apply_updates(params, updates), state, opt, value, accuracy

    return jax.jit(update, donate_argnums=(0, 1, 2))


@functools.lru_cache(maxsize=8)
def _measured(task: StreamedTask) -> Callable[..., Any]:
    return jax.jit(lambda params, state, batch: task.answers(params, state, batch, False)[0])


def _arrays(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the network sees of a batch."""
    return {name: value for name, value in batch.items() if name != "index"}


def _check_skipped(source: Source, skipped: int, seen: int, most: float) -> None:
    """Stops a run that leaves out too much, and says what."""
    if skipped <= most * max(seen, LEAST_SEEN):
        return
    named = []
    for index in range(len(source)):
        try:
            source.sample(index, None)
        except UnreadableError as error:
            named.append(str(error))
            if len(named) == NAMED:
                break
    raise UnreadableError(
        f"{skipped} of {seen} samples could not be read, more than max_skipped={most:g}; {source.remedy}. "
        "The first of them:\n  " + "\n  ".join(named)
    )
