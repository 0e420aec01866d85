"""How far a long job is: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from learned_opt.core.extras import needed_for

Show = Callable[[int, str, bool], None]  # show(done, status, last)


class Progress:
    """What `progress` gives: call `update` as the work goes on."""

    def __init__(self, total: int, unit: str, show: Show):
        self.total, self.unit, self._show = total, unit, show
        self._first: tuple[int, float] | None = None
        self._latest: tuple[int, str] | None = None

    def update(self, done: int, **figures: Any) -> None:
        """Says how much is done since the start of the job, an earlier run's part included.

        The figures, numbers or text, are shown beside it; `None` is left out.
        """
        now = time.monotonic()
        # The first update counts as the start: what is before it is compilation, or an earlier run.
        self._first = self._first or (done, now)
        first_done, start = self._first
        parts = [_figure(name, value) for name, value in figures.items() if value is not None]
        if done > first_done and now > start:
            rate = (done - first_done) / (now - start)
            parts.append(f"{rate:.3g} {self.unit}/s")
            if done < self.total:
                parts.append(f"{duration((self.total - done) / rate)} left")
        self._latest = (done, "  ".join(parts))
        self._show(*self._latest, False)

    def close(self) -> None:
        """Shows the last update for good."""
        if self._latest is not None:
            self._show(*self._latest, True)


@contextlib.contextmanager
def progress(
    total: int,
    title: str,
    *,
    unit: str = "steps",
    interval: float = 10.0,
    quiet: bool = False,
    stream: TextIO | None = None,
) -> Iterator[Progress]:
    """Shows the progress of a job on the standard error stream.

    On a terminal it is one bar with the figures, the rate and the time left. In a log it is a line
    with the same, the first and the last update and at most one every `interval` seconds between.

    Args:
        total: how much there is to do, at least 1.
        title: what is being done.
        unit: the word for one piece of it, in the plural.
        interval: seconds between the lines of a log.
        quiet: whether to print nothing.
        stream: where to print instead.

    Yields:
        A `Progress`; call its `update(done, **figures)`.

    Raises:
        ValueError: if `total` is below 1.

    Example:
        >>> with progress(100, "meta-training", stream=sys.stdout) as bar:
        ...     bar.update(50, meta_loss=0.25)
        meta-training 50/100 (50%)  meta-loss 0.25
    """
    if total < 1:
        raise ValueError(f"progress needs a total of at least 1, got {total}")
    out = stream or sys.stderr
    with contextlib.ExitStack() as stack:
        if quiet:
            show: Show = lambda done, status, last: None  # noqa: E731
        elif out.isatty() and os.environ.get("TERM") != "dumb":
            show = _bar(total, title, out, stack)
        else:
            show = _lines(total, title, out, interval)
        shown = Progress(total, unit, show)
        stack.callback(shown.close)
        yield shown


def duration(seconds: float) -> str:
    """A time span for people, in its two largest units, such as "3m 12s"."""
    rest = round(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def _figure(name: str, value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"{name.replace('_', '-')} {text}"


def _lines(total: int, title: str, stream: TextIO, interval: float) -> Show:
    printed: tuple[int, float] | None = None  # what was done at the last line, and when that was

    def show(done: int, status: str, last: bool) -> None:
        nonlocal printed
        now = time.monotonic()
        if printed is not None and (done == printed[0] if last else now - printed[1] < interval):
            return
        printed = (done, now)
        line = f"{title} {done:,}/{total:,} ({done / total:.0%})  {status}"
        print(line.rstrip(), file=stream, flush=True)

    return show


def _bar(total: int, title: str, stream: TextIO, stack: contextlib.ExitStack) -> Show:
    with needed_for("a progress bar", "train"):
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as RichProgress

    console = Console(file=stream)
    bar = RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=min(24, max(6, console.width - 80))),  # leaves room for the figures
        TaskProgressColumn(),
        TextColumn("{task.fields[status]}", markup=False),
        console=console,
    )
    task = bar.add_task(title, total=total, status="")

    def show(done: int, status: str, last: bool) -> None:
        if not bar.live.is_started:
            stack.enter_context(bar)
        bar.update(task, completed=done, status=status, refresh=last)

    return show
