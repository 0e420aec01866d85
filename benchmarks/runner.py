"""Makes cells, each once: what is finished stays, what is damaged is made anew."""

import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import cells
from benchmarks.suite import Job, Key, Request, Suite
from learned_opt import runs


class Failed(Exception):
    """Some cells could not be made; the others were."""


def run(suites: Sequence[Suite], request: Request, out: Path, *, command: str, quiet: bool = False) -> int:
    """Runs suites into a result directory.

    Args:
        suites: what to measure.
        request: size, optimizers, seeds.
        out: the directory; cells that are finished in it are not made again.
        command: that was given, for the report.
        quiet: whether to show no progress.

    Returns:
        How many cells were made.

    Raises:
        ValueError: if the directory holds another version or size of a suite.
        Failed: naming the cells that could not be made.
    """
    for suite in suites:
        _check_directory(suite, request, out)
    planned = [(suite, suite.plan(request)) for suite in suites]
    for suite, jobs in planned:
        if not jobs:
            raise ValueError(
                f"{suite.name} has nothing to do with these optimizers: {', '.join(request.optimizers)}"
            )
        _record(suite, request, out, command, jobs)
    jobs = [job for _, suite_jobs in planned for job in suite_jobs]
    todo = [job for job in jobs if not _is_finished(out, job)]
    if not todo:
        return 0
    failures: dict[Key, str] = {}
    with runs.progress(len(jobs), "benchmarks", unit="cells", quiet=quiet) as bar:
        done = len(jobs) - len(todo)
        bar.update(done)
        for job in todo:
            problem = _make(out, job)
            if problem:
                failures[job.key] = problem
            done += 1
            bar.update(done, cell="/".join(map(str, job.key[1:4])))
    if failures:
        lines = [f"  {'/'.join(map(str, key))}: {text}" for key, text in failures.items()]
        raise Failed(
            f"{len(failures)} of {len(todo)} cells could not be made; the same command tries them again:\n"
            + "\n".join(lines)
        )
    return len(todo)


def _is_finished(out: Path, job: Job) -> bool:
    try:
        return cells.finished(out, job) is not None
    except cells.CellError as error:
        print(f"{error}; it is made anew", file=sys.stderr)
        return False


def _make(out: Path, job: Job) -> str | None:
    """Makes a cell; what went wrong, if it did."""

    def load(key: Key) -> dict[str, Any]:
        return cells.read(cells.path_of(out, key)).result

    start = time.monotonic()
    try:
        result = job.run(load)
    except cells.CellError as error:
        return f"it needs a cell that is missing ({error})"
    except Exception as error:
        # A long run goes on; what failed is told at the end, and again by the same command.
        traceback.print_exc()
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    cells.write(out, job, result, time.monotonic() - start)
    return None


def _check_directory(suite: Suite, request: Request, out: Path) -> None:
    path = cells.suite_file(out, suite.name)
    if not path.exists():
        return
    record = cells.read_suite(path)
    if record["suite_version"] != suite.version:
        raise ValueError(
            f"{out} holds version {record['suite_version']} of {suite.name}, and this is version "
            f"{suite.version}: their results do not compare; give another --out"
        )
    if record["size"] != request.size:
        raise ValueError(
            f"{out} holds the {record['size']} size of {suite.name}, not {request.size}; give another --out"
        )


def _record(suite: Suite, request: Request, out: Path, command: str, jobs: Sequence[Job]) -> None:
    path = cells.suite_file(out, suite.name)
    earlier = cells.read_suite(path) if path.exists() else {"commands": [], "cells": []}
    planned = dict.fromkeys([*earlier["cells"], *(str(cells.path_of(Path(), j.key)) for j in jobs)])
    cells.write_suite(
        out,
        {
            "suite": suite.name,
            "suite_version": suite.version,
            "summary": suite.summary,
            "size": request.size,
            "commands": list(dict.fromkeys([*earlier["commands"], command])),
            "metrics": {
                name: {"label": c.label, "best": c.best, "digits": c.digits}
                for name, c in suite.metrics.items()
            },
            "cells": list(planned),
        },
    )
