"""A race as sections of a report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.comparison import generalization, statistics
from benchmarks.comparison.aggregates import Pool, Pools, baseline, best_swept, common, common_losses, pooled
from benchmarks.harness.results import Cell
from learned_opt.runs import Column, Section, interval_plot, line_plot

DRAWN = 9  # lines of a figure of curves; more cannot be told apart
RATIOS = np.geomspace(1, 1e4, 81)


def race_sections(cells: Sequence[Cell], metrics: Mapping[str, Column]) -> list[Section]:
    """The overview, the stress tests, and a section a task and horizon."""
    pools = pooled(cells)
    if not pools:
        return []
    order = _in_order(pools)
    strong = _learned(pools)
    sections = [_overview(pools, strong), *generalization.sections(pools)]
    for task, horizon in order:
        sections.append(_task(task, horizon, pools[task, horizon], metrics, strong))
    return sections


def task_rows(group: dict[str, Pool], metrics: Mapping[str, Column]) -> list[dict[str, Any]]:
    """The table of a task, the lowest loss first and references last."""
    reference = baseline(group)
    rows = []
    for pool in sorted(group.values(), key=lambda p: (p.is_reference, p.loss.value, p.name)):
        row: dict[str, Any] = {
            "optimizer": pool.name,
            "on_edge": pool.on_edge,
            "unranked": pool.is_reference,
            "loss": pool.loss.value,
            "loss_low": pool.loss.low,
            "loss_high": pool.loss.high,
            "mean": float(statistics.nan_last(pool.final).mean()),
            "diverged": pool.diverged,
            "learning_rate": pool.learning_rate,
        }
        if reference is not None and (speed := pool.speed_up(reference)) is not None:
            row |= {"speed": speed.value, "speed_low": speed.low, "speed_high": speed.high}
        for name in metrics:
            if (metric := pool.metric(name)) is not None:
                row |= {name: metric.value, f"{name}_low": metric.low, f"{name}_high": metric.high}
        if pool.cost is not None:
            row["time"] = pool.time
            if "state_bytes" in pool.cost:
                row["bytes"] = pool.cost["state_bytes"] / pool.cost["adam_state_bytes"]
        rows.append(row)
    return rows


def task_columns(rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, Column]) -> dict[str, Column]:
    """The columns that the rows have something in."""
    speed = ("speed_low", "speed_high")
    columns = {
        "optimizer": Column("optimizer"),
        "loss": Column("final loss (IQM)", "low", 3, ("loss_low", "loss_high")),
        "mean": Column("mean", "low", 3),
        "diverged": Column("diverged", digits=2),
        "speed": Column("speed-up", "high", 3, speed),
        **{
            name: Column(c.label, c.best, c.digits, (f"{name}_low", f"{name}_high"))
            for name, c in metrics.items()
        },
        "learning_rate": Column("rate", digits=2),
        "time": Column("time", digits=2),
        "bytes": Column("state", digits=2),
    }
    return {k: c for k, c in columns.items() if any(row.get(k) not in (None, 0.0) for row in rows)}


def _task(
    task: str, horizon: int, group: dict[str, Pool], metrics: Mapping[str, Column], strong: Sequence[str]
) -> Section:
    rows = task_rows(group, metrics)
    first = next(iter(group.values()))
    problems = first.final.size
    shown = _shown(group, strong)
    figure = line_plot(
        {name: group[name].quantiles() for name in shown},
        title=f"{task}: loss over {horizon:,} steps",
        x_label="inner step",
        y_label="loss",
        x_log=horizon > 200,
        y_limits=_limits([group[name] for name in shown]),
        highlight=strong,
    )
    left_out = len(group) - len(shown)
    timed = {name: group[name].over_time() for name in shown if group[name].cost is not None}
    caption = f"Lines are medians over {problems} problems ({len(first.seeds)} seeds), bands the quartiles."
    if left_out:
        caption += f" With the highest final losses, {left_out} of the contenders are left out."
    figures, captions = [figure], [caption]
    if len(timed) > 1:
        figures.append(
            line_plot(
                timed,
                title=f"{task}: loss over time",
                x_label="time, in steps of Adam",
                y_label="loss",
                x_log=True,
                y_limits=_limits([group[name] for name in timed]),
                highlight=strong,
            )
        )
        captions.append("The same over the time that the steps take on one problem, in units of Adam's.")
    speeds = {r["optimizer"]: (r["speed"], r["speed_low"], r["speed_high"]) for r in rows if "speed" in r}
    if len(speeds) > 1:
        figures.append(
            interval_plot(
                speeds,
                title=f"{task}: speed-up over tuned Adam at step {horizon:,}",
                x_label="times fewer steps to tuned Adam's final loss",
                x_log=True,
                level=1.0,
                highlight=strong,
            )
        )
        captions.append("A cross: that loss was never reached within the horizon.")
    window = first.settings["window"]
    around = f", averaged over {window} steps" if window > 1 else ""
    explained = (
        f"Losses at step {horizon:,}{around}: the interquartile mean over {problems} problems, with 95 % "
        "bootstrap intervals. Speed-up: how many times fewer steps it takes to tuned Adam's final loss, 0 "
        "if it never gets there. Time a step and state a parameter are ratios to Adam's. Rate: the swept "
        "learning rate."
    )
    return Section(
        f"{task}, {horizon:,} steps",
        prose=f"{first.settings['summary']}\n\n{explained}",
        rows=rows,
        columns=task_columns(rows, metrics),
        figures=figures,
        captions=captions,
    )


def _limits(shown: Sequence[Pool]) -> tuple[float, float] | None:
    """The losses that an axis has to show: a reference that is at once at the solution leaves the picture."""
    curves = [pool.quantiles()[1] for pool in shown if not pool.is_reference]
    values = np.concatenate(curves) if curves else np.zeros(0)
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return None
    top = min(values.max(), 3 * max(curve[0] for curve in curves))
    return float(max(values.min() / 2, 1e-12 * top)), float(max(top, values.min() * 1.1))


def _overview(pools: Pools, strong: Sequence[str]) -> Section:
    pools = common(pools)
    losses = common_losses(pools)
    rows = []
    for name in dict.fromkeys(n for group in pools.values() for n in group):
        groups = [g for g in pools.values() if name in g]
        ratios, wins, speeds = [], 0, []
        for group in groups:
            best = best_swept({n: p for n, p in group.items() if n != name})
            if best is not None and best.loss.value > 0 and np.isfinite(group[name].loss.value):
                ratios.append(group[name].loss.value / best.loss.value)
                wins += group[name].loss.high < best.loss.low
            reference = baseline(group)
            if reference is not None and (speed := group[name].speed_up(reference)) is not None:
                speeds.append(speed.value)
        rows.append(
            {
                "optimizer": name,
                "kind": groups[0][name].kind,
                "ratio": float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-30))))) if ratios else None,
                "wins": wins,
                "speed": float(np.median(speeds)) if speeds else None,
                "diverged": float(np.mean([g[name].diverged for g in groups])),
            }
        )
    rows.sort(key=lambda row: np.inf if row["ratio"] is None else row["ratio"])
    figures, captions = [], []
    if len(losses) > 1:
        profile = statistics.performance_profile(losses, RATIOS)
        kept = sorted(profile, key=lambda n: (n not in strong, -profile[n].mean()))[:DRAWN]
        figures.append(
            line_plot(
                {name: np.stack([RATIOS, profile[name]]) for name in kept},
                title="Performance profile",
                x_label="factor of the best final loss on the same problem",
                y_label="share of problems",
                x_log=True,
                y_log=False,
                y_limits=(0.0, 1.02),
                highlight=strong,
            )
        )
        count = next(iter(losses.values())).size
        captions.append(
            f"{count} problems of these tasks; higher is better, the left end is how often a contender is "
            "the best."
        )
    return Section(
        "Overview",
        prose="Tasks and horizons that all of these contenders ran on: "
        f"{', '.join(f'{task} ({horizon:,})' for task, horizon in sorted(pools))}. References are in the "
        "sections below.\n\nRatios are of the interquartile means of the final losses to that of the "
        "best other swept baseline, as a geometric mean over tasks and horizons. A win is an interval "
        "that lies below that baseline's. Speed-ups are medians over tasks.",
        rows=rows,
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


def _in_order(pools: Pools) -> list[tuple[str, int]]:
    """Plain tasks first, then those with a single thing changed, each by horizon."""

    def place(group: tuple[str, int]):
        shift = next(iter(pools[group].values())).settings["shift"]
        return (shift is not None, group[0], group[1])

    return sorted(pools, key=place)


def _learned(pools: Pools) -> list[str]:
    """The learned contenders, in the order of their names, so that each has one colour throughout."""
    return sorted({p.name for group in pools.values() for p in group.values() if p.kind == "learned"})


def _shown(group: dict[str, Pool], strong: Sequence[str]) -> list[str]:
    """The contenders of a figure: learned ones and Adam, then by loss."""
    ranked = sorted(group, key=lambda n: (n not in strong, n != "adam", group[n].loss.value))
    return ranked[:DRAWN]
