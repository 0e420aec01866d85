"""A comparison as a table in the terminal and as sections of a report."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from learned_opt import reports, runs
from learned_opt.reports.tables import format_value
from learned_opt.training import Comparison
from learned_opt.zoo.card import MANY
from learned_opt.zoo.card import brief as short

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


@contextlib.contextmanager
def progress(num_optimizers: int) -> Iterator[Callable[[str], None]]:
    """Shows how far a comparison is; what it gives is called with each optimizer's name before its turn."""
    with runs.progress(num_optimizers, "comparing with swept baselines", unit="optimizers") as bar:
        done = itertools.count()
        yield lambda name: bar.update(next(done), running=name)
        bar.update(num_optimizers)


def print_comparison(comparison: Comparison, name: str, task: Any) -> None:
    """Prints the table, and the sentence that matters."""
    rows = comparison.rows()
    reports.print_table(rows, _columns(rows), title=_caption(comparison, task))
    print(verdict(comparison, name))


def verdict(comparison: Comparison, name: str) -> str:
    """A learned optimizer beside the best of the swept baselines: in training, and on what was held out."""
    best = comparison.best_baseline()
    ours, theirs = (comparison.final_losses(n).mean() for n in (name, best))
    words = f"{name}: mean loss {ours:.4g} at step {comparison.num_steps}, "
    words += f"{ratio(ours, theirs)}x that of the best swept baseline ({best}, {theirs:.4g})"
    if best == "adam" or any(e.name == "adam" for e in comparison.entries):
        steps = comparison.steps_to(name, comparison.final_losses("adam").mean())
        reached = "never reached" if steps is None else f"reached in {steps} steps"
        words += f"; Adam's loss at step {comparison.num_steps} is {reached}"
    found = {row["optimizer"]: row for row in comparison.rows()}
    held_out = [key for key in ("test_accuracy", "test_loss") if key in found[name]]
    if not held_out:
        return words + "."
    figures = (
        f"{COLUMNS[key].label} {found[name][key]:.4g} against {found[best][key]:.4g}" for key in held_out
    )
    return f"{words}. These are training losses; held out: {', '.join(figures)}."


def ratio(ours: Any, theirs: Any) -> str:
    """A loss over another, to three digits however small.

    Example:
        >>> ratio(1e-9, 2.0), ratio(1.0, 0.0)
        ('5.00e-10', '∞')
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return format_value(float(np.divide(ours, theirs)), 3)


def comparison_sections(comparison: Comparison, name: str, task: Any, command: str) -> list[reports.Section]:
    """The table, the curves and the command of a comparison."""
    rows = comparison.rows()
    curves = {entry.name: entry.curves for entry in comparison.entries}
    figure = reports.loss_curves(
        curves,
        title=f"Training loss, {_problems(comparison, task)}",
        step_marker=comparison.num_steps,
        highlight=(name,),
        window=comparison.window,
    )
    return [
        reports.Section("Results", prose=verdict(comparison, name), rows=rows, columns=_columns(rows)),
        reports.Section(
            "Loss curves",
            prose="Lines are means over problems; the band of the learned optimizer holds the middle half of "
            "its problems.",
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
    around = f", averaged over {comparison.window} steps" if comparison.window > 1 else ""
    return f"Loss at step {comparison.num_steps}{around}, {_problems(comparison, task)}"


def _problems(comparison: Comparison, task: Any) -> str:
    return f"{comparison.entries[0].curves.shape[0]} fresh problems of {brief(task)}"


def brief(task: Any) -> str:
    """A task's name, its first argument, and those that are not as they are by default.

    Example:
        >>> from learned_opt import tasks
        >>> brief(tasks.random_scaling(tasks.quadratic(dim=3)).config)
        'random_scaling(task=quadratic(dim=3))'
    """
    fields = [(f.name, getattr(task, f.name), f.default) for f in dataclasses.fields(task)]
    shown = (f"{k}={_brief_value(v)}" for i, (k, v, default) in enumerate(fields) if i == 0 or v != default)
    return f"{task.name}({', '.join(shown)})"


def _brief_value(value: Any) -> str:
    if hasattr(value, "make"):
        return brief(value)
    if type(value) is tuple and any(hasattr(one, "make") for one in value):
        return f"{len(value)} tasks" if len(value) > 2 else f"({', '.join(map(_brief_value, value))})"
    return short(value) if type(value) is tuple and len(value) > MANY else repr(value)
