"""What each network got wrong, and right, seed by seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.comparison.aggregates import PART
from benchmarks.harness.results import Cell
from learned_opt.reports import Column

BITS = {
    "bit_errors": Column("wrong bits, %"),
    "bit_errors_at_twice": Column("at twice the length, %"),
    "bit_errors_at_twice_with_room": Column("there with twice the slots, %"),
}
ANSWERS = {"exact_answers": Column("exact answers, %")}
HEAD = {"what": Column("task"), "optimizer": Column("optimizer"), "steps": Column("steps")}


def rows(cells: Sequence[Cell], metrics: Mapping[str, Column]) -> list[dict[str, Any]]:
    """A row for each optimizer on each task that has the metrics: in per cent, one for each seed."""
    groups: dict[tuple[str, str, int], list[Cell]] = {}
    for cell in cells:
        if cell.key.part == PART and set(metrics) <= set(cell.result["metrics"]):
            groups.setdefault((cell.key.task, cell.key.optimizer, cell.key.horizon), []).append(cell)
    found = []
    for (task, optimizer, horizon), group in sorted(groups.items()):
        group.sort(key=lambda cell: cell.key.seed or 0)
        row = {"what": f"{task}: {group[0].settings['summary']}", "optimizer": optimizer, "steps": horizon}
        for name in metrics:
            values = np.concatenate([cell.result["metrics"][name] for cell in group])
            row[name] = ", ".join(f"{100 * value:.1f}" for value in values)
        found.append(row)
    return found
