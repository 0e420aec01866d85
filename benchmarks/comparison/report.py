"""A comparison of optimizers as sections of a report."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from benchmarks.comparison import generalization, statistics
from benchmarks.comparison.aggregates import (
    Aggregate,
    Aggregates,
    aggregated,
    baseline,
    best_swept,
    common,
    common_losses,
)
from benchmarks.comparison.statistics import ends
from benchmarks.harness.results import Cell
from learned_opt.reports import Column, Section, interval_plot, line_plot

DRAWN = 9  # lines of a figure of curves; more cannot be told apart
RATIOS = np.geomspace(1, 1e4, 81)
NOTES = {  # by the column that they explain
    "speed": "Speed-up: how many times fewer steps it takes to tuned Adam's final loss, 0 if it never gets "
    "there.",
    "time": "Time a step and state a parameter are ratios to Adam's.",
    "learning_rate": "Rate: the swept learning rate.",
}


def sections(cells: Sequence[Cell], metrics: Mapping[str, Column]) -> list[Section]:
    """The overview, the stress tests, and a section a task and horizon."""
    groups = aggregated(cells)
    if not groups:
        return []
    strong = _learned(groups)
    tasks = [
        _task(task, horizon, groups[task, horizon], metrics, strong) for task, horizon in _in_order(groups)
    ]
    shared = common(groups)
    overview = [_overview(shared, strong)] if any(shared.values()) else []
    return [*overview, *generalization.sections(groups), *tasks]


def task_rows(group: dict[str, Aggregate], metrics: Mapping[str, Column]) -> list[dict[str, Any]]:
    """The table of a task, the lowest loss first and references last."""
    reference = baseline(group)
    rows = []
    for a in sorted(group.values(), key=lambda a: (a.is_reference, a.loss.value, a.name)):
        row: dict[str, Any] = {
            "optimizer": a.name,
            "on_edge": a.on_edge,
            "unranked": a.is_reference,
            **a.loss.row("loss"),
            "mean": float(statistics.nan_last(a.final).mean()),
            "diverged": a.diverged,
            "learning_rate": a.learning_rate,
        }
        found = {name: a.metric(name) for name in metrics}
        found["speed"] = None if reference is None else a.speed_up(reference)
        for name, interval in found.items():
            row |= {} if interval is None else interval.row(name)
        if a.cost is not None:
            row["time"] = a.time
            if "state_bytes" in a.cost:
                row["bytes"] = a.cost["state_bytes"] / a.cost["adam_state_bytes"]
        rows.append(row)
    return rows


def task_columns(rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, Column]) -> dict[str, Column]:
    """The columns that the rows have something in."""
    columns = {
        "optimizer": Column("optimizer"),
        "loss": Column("final loss (IQM)", "low", 3, ends("loss")),
        "mean": Column("mean", "low", 3),
        "diverged": Column("diverged", digits=2),
        "speed": Column("speed-up", "high", 3, ends("speed")),
        **{name: dataclasses.replace(c, interval=ends(name)) for name, c in metrics.items()},
        "learning_rate": Column("rate", digits=2),
        "time": Column("time", digits=2),
        "bytes": Column("state", digits=2),
    }
    if not any(row.get("diverged") for row in rows):
        del columns["diverged"]
    return {k: c for k, c in columns.items() if any(row.get(k) is not None for row in rows)}


def _task(
    task: str,
    horizon: int,
    group: dict[str, Aggregate],
    metrics: Mapping[str, Column],
    strong: Sequence[str],
) -> Section:
    rows = task_rows(group, metrics)
    first = next(iter(group.values()))
    shown = sorted(group, key=lambda n: (n not in strong, n != "adam", group[n].loss.value))[:DRAWN]
    drawn = _curves(task, horizon, {name: group[name] for name in shown}, len(group) - len(shown), strong)
    speeds = {r["optimizer"]: (r["speed"], r["speed_low"], r["speed_high"]) for r in rows if "speed" in r}
    if len(speeds) > 1:
        figure = interval_plot(
            speeds,
            title=f"{task}: speed-up over tuned Adam at step {horizon:,}",
            x_label="times fewer steps to tuned Adam's final loss",
            x_log=True,
            level=1.0,
            highlight=strong,
        )
        drawn.append((figure, "A cross: that loss was never reached within the horizon."))
    window = first.settings["window"]
    around = f", averaged over {window} steps" if window > 1 else ""
    problems = _counted(first.final.size, "problem")
    columns = task_columns(rows, metrics)
    explained = (
        f"Losses at step {horizon:,}{around}: the interquartile mean over {problems}, with "
        "95 % bootstrap intervals."
    )
    explained = " ".join([explained, *(note for key, note in NOTES.items() if key in columns)])
    figures, captions = zip(*drawn, strict=True)
    return Section(
        f"{task}, {horizon:,} steps",
        prose=f"{first.settings['summary']}\n\n{explained}",
        rows=rows,
        columns=columns,
        figures=figures,
        captions=captions,
    )


def _curves(
    task: str, horizon: int, shown: dict[str, Aggregate], left_out: int, strong: Sequence[str]
) -> list[tuple[str, str]]:
    """Figures and captions: losses over steps, and over the time that these take."""

    def figure(lines: dict[str, np.ndarray], over: str, x_label: str, log: Literal["y", "xy"]) -> str:
        return line_plot(
            lines,
            title=f"{task}: loss over {over}",
            x_label=x_label,
            y_label="loss",
            log=log,
            y_limits=_limits([shown[name] for name in lines]),
            highlight=strong,
        )

    first = next(iter(shown.values()))
    problems, seeds = _counted(first.final.size, "problem"), _counted(len(first.seeds), "seed")
    bands = "bands, of the learned optimizers alone, are" if {*shown} & {*strong} else "bands are"
    caption = f"Lines are medians over {problems} ({seeds}); {bands} the quartiles."
    if left_out:
        caption += f" With the highest final losses, {left_out} of the optimizers are left out."
    lines = {name: a.quantiles() for name, a in shown.items()}
    drawn = [(figure(lines, f"{horizon:,} steps", "inner step", "xy" if horizon > 200 else "y"), caption)]
    timed = {name: a.over_time() for name, a in shown.items() if a.cost is not None}
    if len(timed) > 1:
        caption = "The same over the time that the steps take on one problem, in units of Adam's."
        drawn.append((figure(timed, "time", "time, in steps of Adam", "xy"), caption))
    return drawn


def _limits(shown: Sequence[Aggregate]) -> tuple[float, float] | None:
    """The losses that an axis has to show: a reference that is at once at the solution leaves the picture."""
    curves = [a.quantiles()[1] for a in shown if not a.is_reference]
    values = np.concatenate(curves) if curves else np.zeros(0)
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return None
    top = min(values.max(), 3 * max(curve[0] for curve in curves))
    lower = np.concatenate([a.quantiles()[0] for a in shown if not a.is_reference])  # where a band begins
    least = lower[lower > 0].min(initial=values.min())
    return float(max(least, values.min() / 2, 1e-12 * top)), float(max(top, values.min() * 1.1))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def _overview(groups: Aggregates, strong: Sequence[str]) -> Section:
    """Of what `common` gave."""
    figures, captions = [], []
    losses = common_losses(groups)
    if len(losses) > 1:
        profile = statistics.performance_profile(losses, RATIOS)
        kept = sorted(profile, key=lambda n: (n not in strong, -profile[n].mean()))[:DRAWN]
        figures.append(
            line_plot(
                {name: np.stack([RATIOS, profile[name]]) for name in kept},
                title="Performance profile",
                x_label="factor of the best final loss on the same problem",
                y_label="share of problems",
                log="x",
                y_limits=(0.0, 1.02),
                highlight=strong,
            )
        )
        captions.append(
            f"{next(iter(losses.values())).size} problems of these tasks; higher is better, the left end is "
            "how often an optimizer is the best."
        )
    return Section(
        "Overview",
        prose="Tasks and horizons that all of these optimizers ran on: "
        f"{', '.join(f'{task} ({horizon:,})' for task, horizon in sorted(groups))}. References are in the "
        "sections below.\n\nRatios are of the interquartile means of the final losses to that of the best "
        "swept baseline of each task and horizon, the same for all optimizers, as a geometric mean over "
        "tasks and horizons; no swept baseline is below 1. A win is an interval that lies below that "
        "baseline's. Speed-ups are medians over tasks.",
        rows=_overview_rows(groups),
        columns={
            "optimizer": Column("optimizer"),
            "kind": Column("kind"),
            "ratio": Column("loss, x best swept", "low", 3),
            "wins": Column("wins"),
            "speed": Column("speed-up over tuned Adam", "high", 3),
            "diverged": Column("diverged", digits=2),
        },
        figures=figures,
        captions=captions,
    )


def _overview_rows(groups: Aggregates) -> list[dict[str, Any]]:
    rows = []
    for name in dict.fromkeys(n for group in groups.values() for n in group):
        own = [group for group in groups.values() if name in group]
        ratios, wins, speeds = [], 0, []
        for group in own:
            best = best_swept(group)
            if best is not None and best.loss.value > 0 and np.isfinite(group[name].loss.value):
                ratios.append(group[name].loss.value / best.loss.value)
                wins += group[name].loss.high < best.loss.low
            reference = baseline(group)
            if reference is not None and (speed := group[name].speed_up(reference)) is not None:
                speeds.append(speed.value)
        rows.append(
            {
                "optimizer": name,
                "kind": own[0][name].kind,
                "ratio": float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-30))))) if ratios else None,
                "wins": wins,
                "speed": float(np.median(speeds)) if speeds else None,
                "diverged": float(np.mean([group[name].diverged for group in own])),
            }
        )
    return sorted(rows, key=lambda row: np.inf if row["ratio"] is None else row["ratio"])


def _in_order(groups: Aggregates) -> list[tuple[str, int]]:
    """Plain tasks first, then those with a single thing changed, each by horizon."""

    def position(group: tuple[str, int]):
        shift = next(iter(groups[group].values())).settings["shift"]
        return (shift is not None, group[0], group[1])

    return sorted(groups, key=position)


def _learned(groups: Aggregates) -> list[str]:
    """The learned optimizers, in the order of their names, so that each has one colour throughout."""
    return sorted({p.name for group in groups.values() for p in group.values() if p.kind == "learned"})
