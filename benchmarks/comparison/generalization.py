"""How learned optimizers hold beyond what they were meta-trained for: longer runs, other problems."""

from typing import Any

import numpy as np

from benchmarks.comparison import statistics
from benchmarks.comparison.aggregates import Pools, best_swept
from learned_opt.runs import Column, Section, line_plot


def sections(pools: Pools) -> list[Section]:
    """The sections that the cells have something for."""
    return [s for s in (_horizons(pools), _shifts(pools)) if s is not None]


def horizon_rows(pools: Pools) -> list[dict[str, Any]]:
    """A row a learned contender, task and horizon of at least the one it was meta-trained for."""
    rows = []
    for (task, horizon), group in sorted(pools.items()):
        for pool in group.values():
            trained_for = pool.settings["trained_for"]
            if pool.kind != "learned" or not trained_for or horizon < trained_for:
                continue
            worst = [
                statistics.worst_after(
                    np.asarray(c.result["mean_steps"]), np.asarray(c.result["mean_curve"]), trained_for
                )
                for c in pool.cells
            ]
            best = best_swept(group)
            rows.append(
                {
                    "optimizer": pool.name,
                    "task": task,
                    "steps": horizon,
                    "times": horizon / trained_for,
                    "loss": pool.loss.value,
                    "loss_low": pool.loss.low,
                    "loss_high": pool.loss.high,
                    "ratio": None if best is None else pool.loss.value / max(best.loss.value, 1e-300),
                    "worst": float(max(worst)),
                    "diverged": pool.diverged,
                }
            )
    return rows


def shift_rows(pools: Pools) -> list[dict[str, Any]]:
    """A row a learned contender and change: its ratio to the best swept baseline, before and after."""
    rows = []
    for (_, horizon), group in sorted(pools.items()):
        shift = next(iter(group.values())).settings["shift"]
        if shift is None or (shift[0], horizon) not in pools:
            continue
        base = pools[shift[0], horizon]
        for pool in group.values():
            if pool.kind != "learned" or pool.name not in base:
                continue
            before, after = (_ratio(g, pool.name) for g in (base, group))
            rows.append(
                {
                    "optimizer": pool.name,
                    "task": shift[0],
                    "change": shift[1],
                    "steps": horizon,
                    "before": before,
                    "after": after,
                    "diverged": pool.diverged,
                }
            )
    return rows


def _ratio(group: dict, name: str) -> float | None:
    best = best_swept(group)
    return None if best is None else group[name].loss.value / max(best.loss.value, 1e-300)


def _horizons(pools: Pools) -> Section | None:
    rows = horizon_rows(pools)
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
            "loss": Column("final loss (IQM)", digits=3, interval=("loss_low", "loss_high")),
            "ratio": Column("x best swept", digits=3),
            "worst": Column("highest after, x", digits=3),
            "diverged": Column("diverged", digits=2),
        },
    )


def _shifts(pools: Pools) -> Section | None:
    rows = shift_rows(pools)
    if not rows:
        return None
    figures, captions = [], []
    if (figure := _scale_figure(pools)) is not None:
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


def _scale_figure(pools: Pools) -> str | None:
    """Final loss against the factor on the gradients, where a suite varied it."""
    points: dict[str, list[tuple[float, float, float, float]]] = {}
    learned = set()
    groups = []
    for (_, horizon), group in pools.items():
        first = next(iter(group.values())).settings
        if first["loss_scale"] != 1.0:
            groups.append((first["loss_scale"], group))
            if (first["shift"][0], horizon) in pools and all(scale != 1.0 for scale, _ in groups):
                groups.append((1.0, pools[first["shift"][0], horizon]))
    for scale, group in sorted(groups, key=lambda item: item[0]):
        for name in set.intersection(*(set(g) for _, g in groups)):
            learned |= {name} if group[name].kind == "learned" else set()
            points.setdefault(name, []).append((scale, *group[name].loss))
    if len(groups) < 3:
        return None
    return line_plot(
        {name: np.array(rows).T for name, rows in sorted(points.items())},
        title="Final loss against the scale of the gradients",
        x_label="factor on the loss and its gradients",
        y_label="final loss (IQM)",
        x_log=True,
        highlight=sorted(learned),
    )
