"""Makes cells, each once: what is finished stays, what is damaged is made anew."""

import fnmatch
import itertools
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import jax

from benchmarks.harness import discovery, results
from benchmarks.harness.suite import Job, Key, Request, Suite
from learned_opt import runs
from learned_opt.core.errors import unknown_name

# Compiled programs stay in memory as long as jax has them cached, each in maps of its own, and Linux allows a
# process 65,530 of those: some 120 cells of deep networks.
CELLS_TO_KEEP_PROGRAMS_FOR = 50


class Failed(Exception):
    """Some cells could not be made; the others were."""


def run(
    chosen: Sequence[Suite],
    request: Request,
    out: Path,
    *,
    command: str,
    quiet: bool = False,
    processes: int = 1,
    sources: Mapping[str, str] | None = None,
) -> int:
    """Runs suites into a result directory, finished cells aside, and gives the number of cells made.

    `sources` has what `discovery.find` finds a suite by, if not its name. What is timed runs alone, last.
    """
    for suite in chosen:
        _check_directory(suite, request, out)
    for suite, jobs in (planned := _planned(chosen, request)):
        if not jobs:
            raise ValueError(
                f"{suite.name} has nothing to do with these optimizers: {', '.join(request.optimizers)}"
            )
        _record(suite, request, out, command, jobs)
    jobs = [job for _, suite_jobs in planned for job in suite_jobs]
    todo = [job for job in jobs if not _is_finished(out, job)]
    if not todo:
        return 0
    independent = {suite.name for suite in chosen if suite.independent}
    beside: dict[tuple[str, str], list[Key]] = {}  # by the suite's source, and by task where these go alone
    for job in todo:
        if not job.timed:
            source = (sources or {}).get(job.key.suite, job.key.suite)
            task = job.key.task if job.key.suite in independent else ""
            beside.setdefault((source, task), []).append(job.key)
    if processes > 1 and len(beside) > 1:
        alone = [job for job in todo if job.timed]
        made = _side_by_side(beside, request, out, processes)
    else:
        alone, made = todo, iter(())
    failures: dict[Key, str] = {}
    with runs.progress(len(jobs), "benchmarks", unit="cells", quiet=quiet) as bar:
        done = len(jobs) - len(todo)
        bar.update(done)
        for key, problem in itertools.chain(made, _made(out, alone)):
            if problem:
                failures[key] = problem
            done += 1
            bar.update(done, cell="/".join(map(str, key[1:4])))
    if failures:
        lines = [f"  {'/'.join(map(str, key))}: {text}" for key, text in failures.items()]
        raise Failed(
            f"{len(failures)} of {len(todo)} cells could not be made; the same command tries them again:\n"
            + "\n".join(lines)
        )
    return len(todo)


def _planned(chosen: Sequence[Suite], request: Request) -> list[tuple[Suite, list[Job]]]:
    """The jobs of the tasks that were asked for, and what they need; suites that have none are left out."""
    planned = [(suite, list(suite.plan(request))) for suite in chosen]
    if not request.tasks:
        return planned
    known = dict.fromkeys(job.key.task for _, jobs in planned for job in jobs)
    tasks: set[str] = set()
    for pattern in request.tasks:
        found = [pattern] if pattern in known else fnmatch.filter(known, pattern)
        if not found:
            raise unknown_name("task", pattern, known)
        tasks.update(found)
    chosen_jobs = []
    for suite, jobs in planned:
        asked = {job.key: job.needs for job in jobs if job.key.task in tasks}
        wanted = {*asked, *asked.values()}
        if asked:
            chosen_jobs.append((suite, [job for job in jobs if job.key in wanted]))
    return chosen_jobs


def _side_by_side(
    keys: Mapping[tuple[str, str], Sequence[Key]], request: Request, out: Path, processes: int
) -> Iterator[tuple[Key, str | None]]:
    """Makes groups of cells in several processes; gives each cell's key and what went wrong, if it did."""
    # A process that is forked would share jax's threads, and hang.
    context = multiprocessing.get_context("spawn")
    workers = ProcessPoolExecutor(processes, context, _end_with_the_parent)
    with context.Manager() as manager, workers as executor:
        made = manager.Queue()
        # The largest first, so that no process is left with it at the end.
        order = sorted(keys, key=lambda group: -len(keys[group]))
        futures = [executor.submit(_work, group[0], request, out, list(keys[group]), made) for group in order]
        try:
            left = sum(map(len, keys.values()))
            while left:
                if made.empty():
                    time.sleep(0.05)
                    for future in wait(futures, timeout=0).done:
                        future.result()  # a process that died says so here
                    continue
                yield made.get()
                left -= 1
        finally:
            executor.shutdown(cancel_futures=True)


def _end_with_the_parent() -> None:
    """Ends this process when the one that started it has gone, as one that is killed goes without a word."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(source: str, request: Request, out: Path, keys: Sequence[Key], made: Any) -> None:
    """In one process: cells of one suite, in the plan's order."""
    wanted = set(map(tuple, keys))
    for done in _made(out, [job for job in discovery.find(source).plan(request) if tuple(job.key) in wanted]):
        made.put(done)


def _is_finished(out: Path, job: Job) -> bool:
    try:
        return results.finished(out, job) is not None
    except results.CellError as error:
        print(f"{error}; it is made anew", file=sys.stderr)
        return False


def _made(out: Path, jobs: Sequence[Job]) -> Iterator[tuple[Key, str | None]]:
    """Makes cells in this process; gives each one's key and what went wrong, if it did."""
    for number, job in enumerate(jobs, 1):
        yield job.key, _make(out, job)
        if number % CELLS_TO_KEEP_PROGRAMS_FOR == 0:
            jax.clear_caches()


def _make(out: Path, job: Job) -> str | None:
    """Makes a cell; what went wrong, if it did."""

    def load(key: Key) -> dict[str, Any]:
        return results.read(results.path_of(out, key)).result

    start = time.monotonic()
    try:
        results.write(out, job, job.run(load), time.monotonic() - start)
    except results.CellError as error:
        return f"it needs a cell that is missing ({error})"
    except Exception as error:
        # A long run goes on; what failed is told at the end, and again by the same command.
        traceback.print_exc()
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return None


def _check_directory(suite: Suite, request: Request, out: Path) -> None:
    path = results.suite_file(out, suite.name)
    if not path.exists():
        return
    record = results.read_suite(path)
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
    path = results.suite_file(out, suite.name)
    earlier = results.read_suite(path) if path.exists() else {"commands": [], "cells": []}
    planned = dict.fromkeys([*earlier["cells"], *(str(results.path_of(Path(), j.key)) for j in jobs)])
    results.write_suite(
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
