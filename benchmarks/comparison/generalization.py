"""How learned optimizers hold beyond what they were meta-trained for: longer runs, other problems."""

from typing import Any

import numpy as np

from benchmarks.comparison import statistics
from benchmarks.comparison.aggregates import Aggregates, best_swept
from benchmarks.comparison.statistics import ends
from learned_opt.reports import Column, Section, line_plot


def sections(groups: Aggregates) -> list[Section]:
    """The sections that the cells have something for."""
    return [s for s in (_horizons(groups), _shifts(groups)) if s is not None]


def horizon_rows(groups: Aggregates) -> list[dict[str, Any]]:
    """A row a learned optimizer, task and horizon of at least the one it was meta-trained for."""
    rows = []
    for (task, horizon), group in sorted(groups.items()):
        for a in group.values():
            trained_for = a.settings["trained_for"]
            if a.kind != "learned" or not trained_for or horizon < trained_for:
                continue
            worst = [
                statistics.worst_after(
                    np.asarray(c.result["mean_steps"]), np.asarray(c.result["mean_curve"]), trained_for
                )
                for c in a.cells
            ]
            rows.append(
                {
                    "optimizer": a.name,
                    "task": task,
                    "steps": horizon,
                    "times": horizon / trained_for,
                    **a.loss.row("loss"),
                    "ratio": a.ratio(best_swept(group)),
                    "worst": float(max(worst)),
                    "diverged": a.diverged,
                }
            )
    return rows


def shift_rows(groups: Aggregates) -> list[dict[str, Any]]:
    """A row a learned optimizer and change: its ratio to the best swept baseline, before and after."""
    rows = []
    for (_, horizon), group in sorted(groups.items()):
        shift = next(iter(group.values())).settings["shift"]
        if shift is None or (shift[0], horizon) not in groups:
            continue
        base = groups[shift[0], horizon]
        for a in group.values():
            if a.kind != "learned" or a.name not in base:
                continue
            rows.append(
                {
                    "optimizer": a.name,
                    "task": shift[0],
                    "change": shift[1],
                    "steps": horizon,
                    "before": base[a.name].ratio(best_swept(base)),
                    "after": a.ratio(best_swept(group)),
                    "diverged": a.diverged,
                }
            )
    return rows


def _horizons(groups: Aggregates) -> Section | None:
    rows = horizon_rows(groups)
    if not any(row["times"] > 1 for row in rows):
        return None
    return Section(
        "Longer runs",
        prose="Learned optimizers at the horizon that they were meta-trained for and beyond it. The ratio is "
        "to the best baseline swept for that horizon. The last but one column is the highest mean loss after "
        "the meta-training horizon over the mean loss there: 1 where it never rises above it.",
        rows=rows,
        columns={
            "optimizer": Column("optimizer"),
            "task": Column("task"),
            "steps": Column("steps"),
            "times": Column("x meta-training", digits=3),
            "loss": Column("final loss (IQM)", digits=3, interval=ends("loss")),
            "ratio": Column("x best swept", digits=3),
            "worst": Column("highest after, x", digits=3),
            "diverged": Column("diverged", digits=2),
        },
    )


def _shifts(groups: Aggregates) -> Section | None:
    rows = shift_rows(groups)
    if not rows:
        return None
    figures, captions = [], []
    if (figure := _scale_figure(groups)) is not None:
        figures.append(figure)
        captions.append("Losses are divided by the factor again; an optimizer that sees no scale is level.")
    return Section(
        "Other problems",
        prose="Each is a task with a single thing changed. Ratios are to the best baseline swept on the same "
        "problems, before the change and after.",
        rows=rows,
        columns={
            "optimizer": Column("optimizer"),
            "task": Column("task"),
            "change": Column("change"),
            "steps": Column("steps"),
            "before": Column("x best swept, before", digits=3),
            "after": Column("after", digits=3),
            "diverged": Column("diverged", digits=2),
        },
        figures=figures,
        captions=captions,
    )


def _scale_figure(groups: Aggregates) -> str | None:
    """Final loss against the factor on the gradients, where a suite varied it."""
    points: dict[str, list[tuple[float, float, float, float]]] = {}
    learned = set()
    scaled = []
    for (_, horizon), group in groups.items():
        first = next(iter(group.values())).settings
        if first["loss_scale"] != 1.0:
            scaled.append((first["loss_scale"], group))
            if (first["shift"][0], horizon) in groups and all(scale != 1.0 for scale, _ in scaled):
                scaled.append((1.0, groups[first["shift"][0], horizon]))
    for scale, group in sorted(scaled, key=lambda item: item[0]):
        for name in set.intersection(*(set(g) for _, g in scaled)):
            learned |= {name} if group[name].kind == "learned" else set()
            points.setdefault(name, []).append((scale, *group[name].loss))
    if len(scaled) < 3:
        return None
    return line_plot(
        {name: np.array(rows).T for name, rows in sorted(points.items())},
        title="Final loss against the scale of the gradients",
        x_label="factor on the loss and its gradients",
        y_label="final loss (IQM)",
        log="xy",
        highlight=sorted(learned),
    )
