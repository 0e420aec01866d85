"""`learned-opt watch`: the curves of a run, while it goes on or afterwards."""

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from learned_opt import reports, runs
from learned_opt.cli.options import parse, target
from learned_opt.runs.files import write_atomically

USAGE = """\
usage: learned-opt watch RUN [--png FILE] [--every SECONDS]

Draws the losses and gradient norms of the run in the directory RUN in the terminal, again whenever there are
new ones, until the run is finished; of a finished run once. Stop it with Ctrl-C: the run goes on.

  learned-opt watch runs/lstm-mnist
  learned-opt watch runs/lstm-mnist --png curve.png   # a picture of what there is now, and no more"""

HOME_AND_CLEAR = "\033[H\033[J"


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of watch.

    Attributes:
        png: a file to draw to, once, instead of the terminal.
        every: seconds between two looks at the run.
    """

    png: Path | None = None
    every: float = 2.0

    def __post_init__(self):
        if not self.every > 0:
            raise ValueError(f"every={self.every!r}: it must be positive")


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt watch`."""
    name, rest = target(words, USAGE)
    options = parse(Options, rest, "learned-opt watch RUN", "The curves of a run.")
    run = runs.RunDirectory.open(name)
    if options.png is not None:
        write_atomically(options.png, reports.meta_training_png(_metrics(run), title=name))
        print(options.png)
        return
    shown: list[dict[str, Any]] = []
    if not _metrics(run) and not run.theta_path.exists():
        first = run.config.get("settings", {}).get("validate_every")
        when = "" if first is None else f"; the first is at meta-step {first:,}"
        print(f"{name}: no validation yet{when}", flush=True)
    while True:
        finished = run.theta_path.exists()  # before reading, so that the last rows are not missed
        metrics = _metrics(run)
        if metrics != shown:
            _draw(metrics, name)
            shown = metrics
        if finished:
            if not metrics:
                raise ValueError(f"{run.metrics_path} holds no metrics; the run was made without any")
            return
        time.sleep(options.every)


def _metrics(run: runs.RunDirectory) -> list[dict[str, Any]]:
    return runs.read_metrics(run.metrics_path) if run.metrics_path.exists() else []


def _draw(metrics: list[dict[str, Any]], name: str) -> None:
    tty = sys.stdout.isatty()
    width = min(shutil.get_terminal_size().columns, 110)
    last = metrics[-1]
    title = f"{name}, step {last['step']:,}"
    color = tty and not os.environ.get("NO_COLOR")
    text = reports.terminal_curves(metrics, title=title, width=width, color=color)
    print(f"{HOME_AND_CLEAR if tty else ''}{text}", flush=True)
