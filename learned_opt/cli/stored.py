"""What commands share that are given something stored: a shipped name, a run or a file."""

from pathlib import Path
from typing import Any

from learned_opt import meta, reports, runs, zoo
from learned_opt.cli.common import with_imports
from learned_opt.core.paths import quoted


def trained_on(what: str, stored: zoo.Stored, fix: str = "save it with its task") -> Any:
    """The configuration of what something was trained on; `ValueError` with a fix if it does not say."""
    if stored.config.task is None:
        raise ValueError(f"{what} does not say what the {stored.kind} was trained on; {fix}")
    return stored.config.task


def label(what: str) -> str:
    """What something stored is called in titles: its name, that of its run's directory, or of its file."""
    path = Path(what)
    return path.resolve().name if path.is_dir() else path.stem


def what_next(command: str, run: meta.Run) -> str:
    """The command to go on with after a run."""
    assert run.directory is not None
    return "next: " + with_imports(f"learned-opt {command} {quoted(run.directory)}")


def report_path(what: str) -> Path:
    """Where a report on something goes by default: into a run's directory, or else to NAME.html."""
    path = Path(what)
    return runs.RunDirectory.open(path).report_path if path.is_dir() else Path(f"{path.stem}.html")


def write_report(out: Path, title: str, stored: zoo.Stored, sections: list[reports.Section]) -> str:
    """Writes a report on something stored; what to say of it, after all else that is printed."""
    summary = f"{stored.kind.capitalize()}: {stored.config.model}. Trained on: {stored.config.task}."
    reports.write_report(out, title=title, summary=summary, sections=sections)
    return f"report: {out}"
