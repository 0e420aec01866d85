"""The cells of a result directory as numbers, by task and rule, and the rows of the tables."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.comparison.statistics import median_and_range
from benchmarks.harness.results import Cell
from benchmarks.suites.generalization import measures
from benchmarks.suites.generalization.rules import ADAM, COSINE, FIXED_ADAM
from benchmarks.suites.generalization.tasks import velodrome

Row = dict[str, Any]
PART = "curves"
NATURES = ("solvable", "noisy", "between")
CONTROLS = (FIXED_ADAM, "prodigy", "dowg", "schedule-free", "nadamw", "muon")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A rule on a task, all its seeds."""

    rule: str
    cell: Cell

    @property
    def learned(self) -> bool:
        return self.cell.settings["kind"] == "learned"

    @property
    def steps(self) -> np.ndarray:
        return np.asarray(self.cell.result["steps"])

    @functools.cached_property
    def train(self) -> np.ndarray:
        return np.asarray(self.cell.result["train"], np.float64)

    @property
    def last(self) -> np.ndarray:
        return self.train[:, -1]

    @property
    def test(self) -> np.ndarray | None:
        """The last losses on what was held out."""
        test = self.cell.result["test"]
        return None if test is None else np.asarray(test, np.float64)[:, -1]

    @property
    def diverged(self) -> int:
        return int(measures.diverged(self.train).sum())

    def speed_ups(self, control: "Outcome") -> np.ndarray:
        return measures.speed_ups(self.steps, control.train, self.train)

    def log_ratio(self, control: "Outcome") -> float:
        """Of the last losses, the mean over seeds."""
        return float(measures.log_ratios(control.last, self.last, self.train[:, 0]).mean())

    def held_out_log_ratio(self, control: "Outcome") -> float | None:
        if self.test is None or control.test is None:
            return None
        first = np.asarray(self.cell.result["test"], np.float64)[:, 0]
        return float(measures.log_ratios(control.test, self.test, first).mean())


def band(outcome: Outcome) -> np.ndarray:
    """Steps, median losses over seeds, the least and the greatest, f[4, points]."""
    losses = measures.nan_last(outcome.train)
    return np.stack([outcome.steps, np.median(losses, 0), losses.min(0), losses.max(0)])


Task = tuple[str, int]  # name and steps
Outcomes = dict[Task, dict[str, Outcome]]


def outcomes(cells: Iterable[Cell]) -> Outcomes:
    """By task, then by rule; of the cells with curves."""
    found: Outcomes = {}
    for cell in cells:
        if cell.key.part == PART:
            group = found.setdefault((cell.key.task, cell.key.horizon), {})
            group[cell.key.optimizer] = Outcome(cell.key.optimizer, cell)
    return found


def of_kind(found: Outcomes, *kinds: str) -> Outcomes:
    """The tasks whose names start with one of these words."""
    return {task: group for task, group in found.items() if task[0].partition("-")[0] in kinds}


def all_rules(found: Outcomes) -> list[str]:
    """Learned ones first, then in the order of the cells."""
    kinds = {rule: outcome.learned for group in found.values() for rule, outcome in group.items()}
    return sorted(kinds, key=lambda rule: (not kinds[rule], rule.split(":") if kinds[rule] else []))


def summary_rows(found: Outcomes) -> list[Row]:
    """A row a rule: speed-ups and last losses against tuned Adam and tuned cosine, over tasks."""
    rows = []
    for rule in all_rules(found):
        row: Row = {"rule": rule}
        for name, control in (("adam", ADAM), ("cosine", COSINE)):
            pairs = _pairs(found, rule, control)
            if not pairs:
                continue
            ratios = np.array([own.log_ratio(other) for own, other in pairs])
            row |= {
                f"{name}_speed": float(np.median([np.median(own.speed_ups(other)) for own, other in pairs])),
                f"{name}_won": float(np.mean(ratios < 0)),
                f"{name}_ratio": float(np.exp(np.median(ratios))),
            }
        pairs = _pairs(found, rule, ADAM)
        tests = [ratio for own, other in pairs if (ratio := own.held_out_log_ratio(other)) is not None]
        row |= {
            "tasks": len(pairs),
            "test_won": float(np.mean(np.array(tests) < 0)) if tests else None,
            "test_ratio": float(np.exp(np.median(tests))) if tests else None,
            "diverged": sum(group[rule].diverged for group in found.values() if rule in group),
        }
        rows.append(row)
    return rows


def nature_rows(found: Outcomes) -> list[Row]:
    """A row a rule: its speed-up over tuned Adam and its share of wins, by what limits the loss."""
    rows = []
    for rule in all_rules(found):
        row: Row = {"rule": rule}
        for nature in NATURES:
            pairs = [(a, b) for a, b in _pairs(found, rule, ADAM) if a.cell.settings["nature"] == nature]
            if pairs:
                row[f"{nature}_speed"] = float(np.median([np.median(a.speed_ups(b)) for a, b in pairs]))
                row[f"{nature}_won"] = float(np.mean([a.log_ratio(b) < 0 for a, b in pairs]))
        rows.append(row)
    return rows


def win_rows(found: Outcomes) -> list[Row]:
    """A row a learned rule: the share of tasks that it ends lower on than each of the others."""
    rows = []
    rules = all_rules(found)
    learned = [rule for rule in rules if any(g[rule].learned for g in found.values() if rule in g)]
    for rule in learned:
        row: Row = {"rule": rule}
        for control in (*CONTROLS, *(other for other in learned if other.startswith(rule) and other != rule)):
            pairs = _pairs(found, rule, control)
            column = control if control in CONTROLS else control.removeprefix(rule)
            if pairs:
                row[column] = float(np.mean([own.log_ratio(other) < 0 for own, other in pairs]))
        rows.append(row)
    return rows


def task_rows(found: Outcomes, shown: Sequence[str]) -> list[Row]:
    """A row a task: tuned Adam's rate and loss, and the speed-ups and ratios of some rules."""
    rows = []
    for (task, steps), group in found.items():
        adam = group.get(ADAM)
        if adam is None:
            continue
        row: Row = {
            "task": task,
            "steps": steps,
            "nature": adam.cell.settings["nature"],
            "rate": adam.cell.result["rate"],
            "on_edge": adam.cell.result["on_edge"],
            **median_and_range(adam.last).row("loss"),
        }
        for rule in shown:
            if rule in group:
                row |= median_and_range(group[rule].speed_ups(adam)).row(f"{rule} speed")
                row[f"{rule} ratio"] = float(np.exp(group[rule].log_ratio(adam)))
        rows.append(row)
    return rows


def stress_rows(found: Outcomes) -> list[Row]:
    """A row a stress test: the last losses, with those of the seeds that diverged."""
    rows = []
    for (task, steps), group in found.items():
        row: Row = {"task": task.partition("-")[2], "steps": steps}
        for rule, outcome in group.items():
            row[rule] = float(np.median(measures.nan_last(outcome.last)))
            row["first"] = float(np.median(outcome.train[:, 0]))
        rows.append(row | {"diverged": _who_diverged(group)})
    return rows


def _who_diverged(group: Mapping[str, Outcome]) -> str:
    return (
        ", ".join(f"{rule} ({o.diverged} of {len(o.train)})" for rule, o in group.items() if o.diverged)
        or "none"
    )


def published_rows(found: Outcomes) -> list[Row]:
    """A row a task of VeLOdrome, horizon and rule: how many times the steps tuned baselines need."""
    rows = []
    for (task, steps), group in found.items():
        name = task.removeprefix(velodrome.PREFIX)
        for rule, outcome in group.items():
            speeds = np.array([velodrome.steps_of_baselines(name, loss) for loss in outcome.last]) / steps
            row = {"task": name, "steps": steps, "rule": rule, **median_and_range(speeds).row("speed")}
            rows.append(row | median_and_range(outcome.last).row("loss"))
    return rows


def _pairs(found: Outcomes, rule: str, control: str) -> list[tuple[Outcome, Outcome]]:
    return [(group[rule], group[control]) for group in found.values() if rule in group and control in group]
