"""Cells of losses aggregated over seeds: what tables and figures are made of."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.comparison import statistics
from benchmarks.comparison.statistics import Interval
from benchmarks.harness.results import Cell

PART = "losses"

Group = tuple[str, int]  # task and horizon


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """One optimizer on one task and horizon, all its seeds together."""

    name: str
    cells: tuple[Cell, ...]  # one a seed, by seed
    cost: dict[str, Any] | None = None  # of its step on this task, if that was measured

    @property
    def settings(self) -> Any:
        return self.cells[0].settings

    @property
    def kind(self) -> str:
        return self.settings["kind"]

    @property
    def is_reference(self) -> bool:
        return self.kind in ("reference", "solver")

    @property
    def seeds(self) -> tuple[int | None, ...]:
        return tuple(cell.key.seed for cell in self.cells)

    def all(self, name: str) -> np.ndarray:
        """A result of every problem of every seed."""
        return np.concatenate([np.asarray(cell.result[name]) for cell in self.cells])

    @functools.cached_property
    def final(self) -> np.ndarray:
        return np.asarray(self.all("final"), np.float64)

    @functools.cached_property
    def loss(self) -> Interval:
        return statistics.interval(self.final)

    @property
    def diverged(self) -> float:
        return statistics.divergence_rate(self.all("finite"), self.all("initial"), self.final)

    @property
    def learning_rate(self) -> float | None:
        return self.cells[0].result["learning_rate"]

    @property
    def on_edge(self) -> bool:
        return bool(self.cells[0].result["on_edge"])

    def metric(self, name: str) -> Interval | None:
        """The mean of a metric over problems, `None` where the task does not have it."""
        if name not in self.cells[0].result["metrics"]:
            return None
        values = np.concatenate([np.asarray(cell.result["metrics"][name]) for cell in self.cells])
        return statistics.interval(values, np.mean)

    @property
    def time(self) -> float:
        """Of a step, as a ratio to Adam's; where it was measured."""
        assert self.cost is not None
        return self.cost["seconds"] / self.cost["adam_seconds"]

    def ratio(self, best: "Aggregate | None") -> float | None:
        """Of its loss to another's."""
        return None if best is None else self.loss.value / max(best.loss.value, 1e-300)

    def over_time(self) -> np.ndarray:
        """As `quantiles`, with the time in steps of Adam in the place of the steps; without the start."""
        steps, *values = self.quantiles()[:, 1:]
        return np.stack([steps * self.time, *values])

    def quantiles(self) -> np.ndarray:
        """f[4, steps]: steps, median, quartiles over problems and seeds; what `line_plot` takes."""
        low, middle, high = statistics.curve_quantiles(self.all("curves"))
        return np.stack([np.asarray(self.cells[0].result["steps"]), middle, low, high])

    def speed_up(self, baseline: "Aggregate") -> Interval | None:
        """How many times fewer steps it needs than the baseline, over the seeds that both have."""
        ours, theirs = ({c.key.seed: c.result for c in each.cells} for each in (self, baseline))
        values = [
            statistics.speed_up(
                np.asarray(theirs[seed]["mean_steps"]),
                np.asarray(theirs[seed]["mean_curve"]),
                float(theirs[seed]["mean_curve"][-1]),
                np.asarray(ours[seed]["mean_steps"]),
                np.asarray(ours[seed]["mean_curve"]),
            )
            for seed in ours
            if seed in theirs
        ]
        return statistics.interval(np.asarray(values)) if values else None


Aggregates = dict[Group, dict[str, Aggregate]]


def aggregated(cells: Iterable[Cell]) -> Aggregates:
    """A suite's cells of losses, by task and horizon, then by optimizer."""
    losses: dict[tuple[str, int, str], list[Cell]] = {}
    costs: dict[tuple[str, str], dict[str, Any]] = {}
    for cell in cells:
        key = cell.key
        if key.part == PART:
            losses.setdefault((key.task, key.horizon, key.optimizer), []).append(cell)
        elif key.part == "cost":
            costs[key.task, key.optimizer] = cell.result
    found: Aggregates = {}
    for (task, horizon, name), group in sorted(losses.items(), key=lambda item: (item[0][1], item[0][2])):
        group.sort(key=lambda cell: cell.key.seed or 0)
        found.setdefault((task, horizon), {})[name] = Aggregate(name, tuple(group), costs.get((task, name)))
    return found


def baseline(group: dict[str, Aggregate]) -> Aggregate | None:
    """What speed is compared with: tuned Adam, or else the best swept optimizer."""
    if "adam" in group:
        return group["adam"]
    return best_swept(group)


def best_swept(group: dict[str, Aggregate]) -> Aggregate | None:
    """The swept optimizer with the lowest loss."""
    swept = [a for a in group.values() if a.kind == "swept"]
    return min(swept, key=lambda a: a.loss.value) if swept else None


def common(aggregates: Aggregates) -> Aggregates:
    """The tasks that most optimizers ran on, and the optimizers, not references, that ran on all of them."""
    most = max((len(group) for group in aggregates.values()), default=0)
    groups = {g: group for g, group in aggregates.items() if len(group) > 0.6 * most}
    names = [
        name
        for name in dict.fromkeys(name for group in groups.values() for name in group)
        if all(name in group and not group[name].is_reference for group in groups.values())
    ]
    return {g: {name: group[name] for name in names} for g, group in groups.items()}


def common_losses(aggregates: Aggregates) -> dict[str, np.ndarray]:
    """Final losses by optimizer, problem by problem on the same problems, of what `common` gave."""
    losses: dict[str, list[np.ndarray]] = {}
    for group in aggregates.values():
        seeds = set.intersection(*(set(a.seeds) for a in group.values())) if group else set()
        for name, aggregate in group.items():
            losses.setdefault(name, []).extend(
                np.asarray(c.result["final"], np.float64) for c in aggregate.cells if c.key.seed in seeds
            )
    return {name: np.concatenate(parts) for name, parts in losses.items() if parts}
