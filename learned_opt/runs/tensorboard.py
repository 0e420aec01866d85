"""Metrics for TensorBoard, where its writer is installed."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def tensorboard_writer(directory: Path, resume_step: int) -> Iterator[Callable[..., None]]:
    """What writes `(step, **values)` as TensorBoard's events, if the extra `tensorboard` is installed.

    TensorBoard hides what was written of steps after `resume_step`, where a resumed run goes on.
    """
    if importlib.util.find_spec("tensorboardX") is None:
        yield lambda step, **values: None
        return
    from tensorboardX import SummaryWriter

    # Files are named by the second; the suffix keeps a run that is resumed at once from overwriting one.
    options = {"purge_step": resume_step + 1, "filename_suffix": f".{resume_step}"}
    with contextlib.closing(SummaryWriter(str(directory), **options)) as events:

        def write(step: int, **values: Any) -> None:
            for name, value in values.items():
                if value is not None:
                    events.add_scalar(name, float(value), step)
            events.flush()

        yield write
