"""All tasks of deep networks in one table, and their curves in one figure."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.comparison.aggregates import Aggregate, aggregated
from benchmarks.comparison.panels import curve_panels
from benchmarks.comparison.report import task_rows
from benchmarks.comparison.statistics import ends
from benchmarks.harness.results import Cell
from learned_opt.reports import Column
from learned_opt.reports.tables import format_value

NO_BREAK = "\N{NO-BREAK SPACE}"  # a number and its interval stay on a line, however narrow the column
COLUMNS = {
    "task": Column("task"),
    "optimizer": Column("optimizer"),
    "loss": Column("training loss", digits=3, interval=ends("loss")),
    "test": Column("in test"),
    "learning_rate": Column("learning rate", digits=2),
    "time": Column("time of a step", digits=2),
    "bytes": Column("state", digits=2),
}


def rows(cells: Sequence[Cell], metrics: Mapping[str, Column]) -> list[dict[str, Any]]:
    """A row for each task and optimizer, by task, the lowest training loss first."""
    return [
        {"task": task, "optimizer": row["optimizer"], "test": _in_test(row, metrics)}
        | {key: row[key] for key in (*COLUMNS, *ends("loss")) if key in row}
        for (task, _), group in aggregated(cells).items()
        for row in task_rows(group, metrics)
    ]


def figure(cells: Sequence[Cell], title: str, highlight: Sequence[str]) -> str:
    """The losses of all optimizers on each task, an `<svg>`."""
    panels = {
        task: {name: a.quantiles() for name, a in _strong_last(group, highlight).items()}
        for (task, _), group in aggregated(cells).items()
    }
    return curve_panels(panels, title=title, x_label="step", highlight=highlight)


def _strong_last(group: Mapping[str, Aggregate], highlight: Sequence[str]) -> dict[str, Aggregate]:
    return dict(sorted(group.items(), key=lambda item: (item[0] in highlight, item[0])))


def _in_test(row: Mapping[str, Any], metrics: Mapping[str, Column]) -> str:
    """What was measured in test, in words, with the ends of its interval."""
    parts = []
    for name, column in metrics.items():
        if row.get(name) is not None:
            low, high = (format_value(row[end], 2) for end in ends(name))
            interval = f" [{low}, {high}]" if low != high else ""
            value = f" {format_value(row[name], column.digits)}{interval}"
            parts.append(column.label + value.replace(" ", NO_BREAK))
    return ", ".join(parts)
