"""What each deep network is known to reach: levels for the best hand-made optimizer of the default size.

Reference:
    LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, Proceedings of
    the IEEE 1998, figure 9: errors of 12 % and 1.7 % of a linear classifier and of LeNet-1 on MNIST.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.comparison.aggregates import aggregated
from benchmarks.comparison.report import task_rows
from benchmarks.harness.results import Cell
from learned_opt.reports import Column, Section


class Level(NamedTuple):
    """What has to be reached, on data of which the task's summary speaks."""

    metric: str
    bound: float
    of: str  # what the bound is
    data: str = ""


THREE_CHARACTERS = "the next character from counts of the two before"
LEVELS: Mapping[str, Level] = {
    "dnc-copy": Level("bit_errors", 0.01, "one wrong bit in a hundred"),
    "neural-programmer": Level("exact_answers", 0.95, "19 answers in 20"),
    "character-lstm": Level("test_loss", 2.111, THREE_CHARACTERS),
    "transformer": Level("test_loss", 2.111, THREE_CHARACTERS),
    "conv": Level("test_accuracy", 0.983, "LeNet-1", "MNIST"),
    "resnet": Level("test_accuracy", 0.88, "a linear classifier", "MNIST"),
    "autoencoder": Level("test_loss", 0.367, "six principal components"),
    "vae": Level("test_loss", 205.8, "independent pixels", "MNIST"),
    "physics": Level("relative_error", 0.1, "a tenth of the solution's norm"),
    "style": Level("style_loss", 0.2, "a fifth of the Gram matrices' squares"),
}
COLUMNS = {
    "task": Column("task"),
    "measure": Column("measure"),
    "bound": Column("known level", digits=3),
    "of": Column("which is that of"),
    "value": Column("best hand-made", digits=3),
    "optimizer": Column("by"),
    "reached": Column("reached"),
}
PROSE = "Means over seeds in test, of the hand-made optimizer that is best by them."


def rows(cells: Sequence[Cell], metrics: Mapping[str, Column]) -> list[dict[str, Any]]:
    """A row for each task of the suite `deep` that has a level on its data."""
    found = []
    for (task, _), group in aggregated(cells).items():
        level = LEVELS.get(task)
        summary = next(str(cell.settings.get("summary", "")) for cell in cells if cell.key.task == task)
        if level is None or level.data not in summary:
            continue
        by_hand = [row for row in task_rows(group, metrics) if row["learning_rate"] is not None]
        if by_hand:
            found.append({"task": task, **_best(by_hand, level, metrics[level.metric])})
    return found


def _best(by_hand: Sequence[Mapping[str, Any]], level: Level, column: Column) -> dict[str, Any]:
    """The optimizer that is best by the level's measure, beside the level."""
    sign = 1 if column.best == "low" else -1
    best = min(by_hand, key=lambda row: sign * row[level.metric])
    reached = sign * best[level.metric] <= sign * level.bound
    return {
        "measure": column.label,
        "bound": level.bound,
        "of": level.of,
        "value": best[level.metric],
        "optimizer": best["optimizer"],
        "reached": "yes" if reached else "no",
    }


def section(cells: Sequence[Cell], metrics: Mapping[str, Column]) -> list[Section]:
    """The table, where the cells have something for it."""
    made = rows(cells, metrics)
    return [Section("Known levels", prose=PROSE, rows=made, columns=COLUMNS)] if made else []
