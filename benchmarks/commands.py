"""The commands of `python -m benchmarks`."""

import dataclasses
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import jax
import tyro

from benchmarks.comparison import baselines, changes
from benchmarks.comparison.report import sections
from benchmarks.harness import discovery, report, runner
from benchmarks.harness.suite import Request, Suite
from learned_opt import reports, runs, zoo
from learned_opt.cli.options import parse
from learned_opt.cli.terminal import any_terminal
from learned_opt.core.errors import unknown_name

USAGE = """\
usage: python -m benchmarks COMMAND [OPTIONS]

Measures optimizers, learned and other, on suites of tasks, beside baselines whose learning rates were swept.

  list                     the suites and the optimizers
  run SUITE...             measure; `all` for every suite; what is finished is not measured again
  report DIR               one HTML file and a Markdown table from a result directory
  compare OLD NEW          what became better or worse; fails if something became worse

  python -m benchmarks run all --quick
  python -m benchmarks run quadratics --optimizers adam lstm-quadratic mine.safetensors

`python -m benchmarks COMMAND --help` explains each."""

Words = tyro.conf.Positional[tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Run:
    """Options of run.

    Attributes:
        suites: names, or Python files with a SUITE; `all` for every suite.
        quick: a smaller size: minutes instead of hours.
        full: the whole size: days on a laptop; it can be stopped and goes on with the same command.
        optimizers: names, runs, .safetensors files, or Python files with OPTIMIZERS; the suite's own by
            default.
        seeds: cells for each optimizer and task; the size's own number by default.
        tasks: of these suites, or patterns such as 'stress-*'; all by default. A wrong name is met with those
            that there are.
        out: the result directory; runs/benchmarks/SIZE by default.
        processes: suites that run side by side, what is timed excepted; by default as many as there are CPU
            cores, at most 4, and 1 on an accelerator.
    """

    suites: Words
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    full: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    optimizers: tuple[str, ...] = ()
    seeds: int | None = None
    tasks: tuple[str, ...] = ()
    out: Path | None = None
    processes: int | None = None

    def __post_init__(self):
        if self.processes is not None and self.processes < 1:
            raise ValueError(f"processes={self.processes!r}: it must be at least 1")


@dataclasses.dataclass(frozen=True)
class Report:
    """Options of report.

    Attributes:
        directory: that `run` wrote, or that of one suite in it.
        out: the HTML file; report.html in the directory by default.
        markdown: the Markdown file; results.md in the directory by default.
    """

    directory: tyro.conf.Positional[Path]
    out: Path | None = None
    markdown: Path | None = None


@dataclasses.dataclass(frozen=True)
class Compare:
    """Options of compare.

    Attributes:
        old: a result directory.
        new: another.
    """

    old: tyro.conf.Positional[Path]
    new: tyro.conf.Positional[Path]


@any_terminal()
def main(words: Sequence[str]) -> None:
    """Runs a command; errors are one line and status 2, something worse is status 1.

    Args:
        words: after `python -m benchmarks`.
    """
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return
    try:
        if words[0] not in COMMANDS:
            raise unknown_name("command", words[0], COMMANDS)
        status = COMMANDS[words[0]](words[1:])
    except BrokenPipeError:
        raise
    except (ValueError, OSError, ImportError, runs.WeightsError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except runner.Failed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("\nbenchmarks: stopped; the same command goes on", file=sys.stderr)
        raise SystemExit(130) from None
    if status:
        raise SystemExit(status)


def list_command(words: Sequence[str]) -> int:
    """The suites and the optimizers."""
    del words
    found = [discovery.find(name) for name in discovery.names()]
    rows = [{"suite": s.name, "version": s.version, "what": s.summary} for s in found]
    reports.print_table(rows)
    known = [{"optimizer": c.name, "kind": c.kind} for c in baselines.BASELINES.values()]
    shipped = [{"optimizer": name, "kind": "learned"} for name in zoo.available()]
    reports.print_table([*known, *shipped])
    return 0


def run_command(words: Sequence[str]) -> int:
    """Measures."""
    runs.use_every_core()  # as meta-training does; what is not split over devices is on one of them
    options = parse(Run, words, "python -m benchmarks run", "Runs suites into a result directory.")
    if options.quick and options.full:
        raise ValueError("--quick and --full: give one of them, or neither")
    if not options.suites:
        raise ValueError(f"which suite? Known: {', '.join(discovery.names())}, all")
    size = "quick" if options.quick else "full" if options.full else "default"
    request = Request(size, options.optimizers, options.seeds, options.tasks)
    out = options.out or Path("runs") / "benchmarks" / size
    chosen = _suites(options.suites)
    cores = min(os.cpu_count() or 1, 4) if jax.default_backend() == "cpu" else 1
    made = runner.run(
        list(chosen.values()),
        request,
        out,
        command=f"python -m benchmarks run {shlex.join(words)}",
        processes=options.processes or cores,
        sources={suite.name: source for source, suite in chosen.items()},
    )
    print(f"{made} cells made, in {out}\nnext: python -m benchmarks report {out}")
    return 0


def report_command(words: Sequence[str]) -> int:
    """Draws."""
    options = parse(Report, words, "python -m benchmarks report", "Draws the report of a result directory.")
    reports.require_plots()
    out = options.out or options.directory / "report.html"
    markdown = options.markdown or options.directory / "results.md"
    for problem in report.write(options.directory, out, markdown, sections):
        print(f"left out: {problem}", file=sys.stderr)
    print(f"report: {out}\ntables: {markdown}")
    return 0


def compare_command(words: Sequence[str]) -> int:
    """Compares; 1 if something became worse."""
    options = parse(Compare, words, "python -m benchmarks compare", "Compares two result directories.")
    rows = changes.rows(options.old, options.new)
    changed = [row for row in rows if row["verdict"]]
    if changed:
        reports.print_table(changed, changes.COLUMNS)
    worse = sum(row["verdict"] == "worse" for row in rows)
    print(
        f"{len(rows)} in common: {worse} worse, {len(changed) - worse} better, "
        f"{len(rows) - len(changed)} within their intervals"
    )
    return int(worse > 0)


def _suites(names: Sequence[str]) -> dict[str, Suite]:
    """The suites by what they were found by."""
    found = discovery.names() if "all" in names else names
    return {name: discovery.find(name) for name in dict.fromkeys(found)}


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "list": list_command,
    "run": run_command,
    "report": report_command,
    "compare": compare_command,
}
