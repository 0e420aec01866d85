"""Metrics for TensorBoard, where its writer is installed."""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol


class Writer(Protocol):
    """What takes the metrics of a period; a `MetricsWriter` is one."""

    def write(self, step: int, **values: Any) -> None:
        """Takes one period's numbers; `None` for what was not finite."""
        ...


@contextlib.contextmanager
def tensorboard_writer(directory: str | Path, resume_step: int) -> Iterator[Writer | None]:
    """Writes metrics as TensorBoard's events, if the extra `tensorboard` is installed.

    Args:
        directory: of the event files.
        resume_step: where a resumed run goes on; TensorBoard hides what was written of later steps.

    Yields:
        The writer, or `None` without tensorboardX.

    Example:
        >>> with tensorboard_writer("events", resume_step=0) as writer:
        ...     if writer is not None:
        ...         writer.write(10, loss=0.5)
    """
    if importlib.util.find_spec("tensorboardX") is None:
        yield None
        return
    from tensorboardX import SummaryWriter

    # Files are named by the second; the suffix keeps a run that is resumed at once from overwriting one.
    options = {"purge_step": resume_step + 1, "filename_suffix": f".{resume_step}"}
    with contextlib.closing(SummaryWriter(str(directory), **options)) as events:
        yield _Events(events)


class _Events:
    def __init__(self, events: Any):
        self._events = events

    def write(self, step: int, **values: Any) -> None:
        for name, value in values.items():
            if value is not None:
                self._events.add_scalar(name, float(value), step)
        self._events.flush()
