"""Two result directories side by side: what became better, what worse."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.statistics import ends, interval
from benchmarks.harness import results
from benchmarks.harness.results import Cell
from learned_opt.reports import Column

COLUMNS = {
    "suite": Column("suite"),
    "task": Column("task"),
    "steps": Column("steps"),
    "optimizer": Column("optimizer"),
    "old": Column("old loss (IQM)", digits=3, interval=ends("old")),
    "new": Column("new loss (IQM)", digits=3, interval=ends("new")),
    "ratio": Column("new / old", digits=3),
    "verdict": Column("verdict"),
}


def rows(old: Path, new: Path) -> list[dict[str, Any]]:
    """A row for whatever both directories have: losses over the seeds of both, and what became of them.

    The `verdict` is "worse" or "better" where each final loss lies outside the other's interval.
    """
    (old_records, old_cells, _), (new_records, new_cells, _) = results.load(old), results.load(new)
    versions = {r["suite"]: r["suite_version"] for r in old_records}
    for record in new_records:
        known = versions.get(record["suite"], record["suite_version"])
        if known != record["suite_version"]:
            raise ValueError(
                f"{old} holds version {known} of {record['suite']}, {new} version "
                f"{record['suite_version']}: they do not compare"
            )
    ours, theirs = _with_losses(new_cells), _with_losses(old_cells)
    groups: dict[tuple[str, str, int, str], list[tuple[Cell, Cell]]] = {}
    for key in sorted(theirs.keys() & ours.keys()):
        groups.setdefault((key.suite, key.task, key.horizon, key.optimizer), []).append(
            (theirs[key], ours[key])
        )
    if not groups:
        raise ValueError(f"{old} and {new} have no cell in common")
    found = []
    for (suite, task, horizon, optimizer), pairs in groups.items():
        before, after = (
            interval(np.concatenate([pair[side].result["final"] for pair in pairs])) for side in (0, 1)
        )
        apart = not (before.low <= after.value <= before.high or after.low <= before.value <= after.high)
        found.append(
            {
                "suite": suite,
                "task": task,
                "steps": horizon,
                "optimizer": optimizer,
                **before.row("old"),
                **after.row("new"),
                "ratio": after.value / before.value if before.value else None,
                "verdict": "" if not apart else "worse" if after.value > before.value else "better",
            }
        )
    return found


def _with_losses(cells: list[Cell]) -> dict[Any, Cell]:
    return {cell.key: cell for cell in cells if "final" in cell.result}
