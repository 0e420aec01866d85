"""What commands share that are given something stored: a shipped name, a run or a file."""

from pathlib import Path
from typing import Any

from learned_opt import reports, runs, zoo


def trained_on(what: str, stored: zoo.Stored, fix: str = "save it with its task") -> Any:
    """The configuration of what something was trained on; `ValueError` with a fix if it does not say."""
    if stored.config.task is None:
        raise ValueError(f"{what} does not say what the {stored.kind} was trained on; {fix}")
    return stored.config.task


def report_path(what: str) -> Path:
    """Where a report on something goes by default: into a run's directory, or else to NAME.html."""
    path = Path(what)
    return runs.RunDirectory.open(path).report_path if path.is_dir() else Path(f"{path.stem}.html")


def write_report(out: Path, title: str, stored: zoo.Stored, sections: list[reports.Section]) -> None:
    """Writes a report on something stored, and says where."""
    summary = f"{stored.kind.capitalize()}: {stored.config.model}. Trained on: {stored.config.task}."
    reports.write_report(out, title=title, summary=summary, sections=sections)
    print(f"report: {out}")
