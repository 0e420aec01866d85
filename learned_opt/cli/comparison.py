"""A comparison as a table in the terminal and as sections of a report."""

import dataclasses
from typing import Any

from learned_opt import reports
from learned_opt.training import Comparison

# Column of `Comparison.rows()`: what a reader calls it, and which end of it is good.
COLUMNS = {
    "optimizer": reports.Column("optimizer"),
    "mean_loss": reports.Column("mean loss", best="low"),
    "standard_error": reports.Column("± s.e.", digits=2),
    "median_loss": reports.Column("median loss", best="low"),
    "steps_to_adam": reports.Column("steps to Adam's loss", best="low"),
    "diverged": reports.Column("diverged", best="low"),
    "test_accuracy": reports.Column("test accuracy", best="high"),
    "test_loss": reports.Column("test loss", best="low"),
    "learning_rate": reports.Column("swept rate", digits=3),
}


def print_comparison(comparison: Comparison, name: str, task: Any) -> None:
    """Prints the table, and the sentence that matters."""
    rows = comparison.rows()
    reports.print_table(rows, _columns(rows), title=_caption(comparison, task))
    print(verdict(comparison, name))


def verdict(comparison: Comparison, name: str) -> str:
    """One sentence on a learned optimizer beside the best of the swept baselines."""
    best = comparison.best_baseline()
    ours, theirs = (comparison.final_losses(n).mean() for n in (name, best))
    words = f"{name}: mean loss {ours:.4g} at step {comparison.num_steps}, "
    words += f"{ours / theirs:.3f}x that of the best swept baseline ({best}, {theirs:.4g})"
    if best == "adam" or any(e.name == "adam" for e in comparison.entries):
        steps = comparison.steps_to(name, comparison.final_losses("adam").mean())
        reached = "never reached" if steps is None else f"reached in {steps} steps"
        words += f"; Adam's loss at step {comparison.num_steps} is {reached}"
    return words + "."


def comparison_sections(comparison: Comparison, name: str, task: Any, command: str) -> list[reports.Section]:
    """The table, the curves and the command of a comparison."""
    rows = comparison.rows()
    curves = {entry.name: entry.curves for entry in comparison.entries}
    figure = reports.loss_curves(
        curves,
        title=_caption(comparison, task),
        step_marker=comparison.num_steps,
        highlight=(name,),
        window=comparison.window,
    )
    return [
        reports.Section("Results", prose=verdict(comparison, name), rows=rows, columns=_columns(rows)),
        reports.Section(
            "Loss curves",
            prose="Lines are means over problems, bands hold the middle half of the problems.",
            figures=[figure],
        ),
        reports.Section("Reproduce", command=command),
    ]


def _columns(rows: list[dict[str, Any]]) -> dict[str, reports.Column]:
    """Those that the rows have; a column of nothing but zeros or blanks says nothing."""
    return {
        key: column for key, column in COLUMNS.items() if any(row.get(key) not in (None, 0.0) for row in rows)
    }


def _caption(comparison: Comparison, task: Any) -> str:
    problems = comparison.entries[0].curves.shape[0]
    around = f", averaged over {comparison.window} steps" if comparison.window > 1 else ""
    return f"Loss at step {comparison.num_steps}{around}, {problems} fresh problems of {_brief(task)}"


def _brief(task: Any) -> str:
    """A task's name, its first argument, and those that are not as they are by default."""
    fields = [(f.name, getattr(task, f.name), f.default) for f in dataclasses.fields(task)]
    shown = (f"{k}={v!r}" for i, (k, v, default) in enumerate(fields) if i == 0 or v != default)
    return f"{task.name}({', '.join(shown)})"
