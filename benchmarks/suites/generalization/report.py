"""The sections of the report: figures over all tasks, a table of tasks, stress, published baselines."""

from collections.abc import Sequence

import numpy as np

from benchmarks.comparison.panels import curve_panels, strip_plot
from benchmarks.comparison.statistics import ends
from benchmarks.harness.results import Cell
from benchmarks.suites.generalization import clock, results
from benchmarks.suites.generalization.results import Outcomes
from benchmarks.suites.generalization.rules import ADAM, COSINE, KNOWN, ZERO
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.reports import Column, Section

PANELS = 12
NAMED = 15  # missing tasks that are named
MEASURES = """\
Every rule has the same problems, starting points and batches, and nothing is tuned for the learned ones.
Losses are those on a fixed batch to train on, measured at some fifty log-spaced steps. The speed-up is the
number of steps of the run over the step at which a rule is first as low as the control at its end, 0 if it
never is: the median over seeds, then over tasks. A task is won if the mean over seeds of the log of the
ratio of last losses is below zero, a ten-millionth of the first loss added to both; ratios are medians over
tasks. Diverged are the problems, over all tasks and seeds, with a loss that is not finite or that ended
above where it started.

Tuned: the best of 13 rates from 1e-4 to 1 by the mean log of the last loss, on these very problems.
`:decay`: the rule is told the number of steps. `:zero`: the same rule without what it learned."""


def sections(cells: Sequence[Cell], trials: Sequence[Trial]) -> list[Section]:
    """What the cells have something for."""
    found = results.outcomes(cells)
    timed = [cell for cell in cells if cell.key.part == clock.PART]
    stress, published = results.of_kind(found, "stress"), results.of_kind(found, "velodrome")
    plain = {task: group for task, group in found.items() if task not in stress and task not in published}
    order = {trial.name: i for i, trial in enumerate(trials)}
    plain = dict(sorted(plain.items(), key=lambda item: order.get(item[0][0], len(order))))
    made = []
    if plain:
        made += [_overview(plain, trials), _natures(plain), _wins(plain), _tasks(plain)]
        made.append(clock.section(plain, timed, [*_strong(plain), "prodigy"]))
    if stress:
        made.append(_stress(stress))
    if published:
        made.append(_published(published))
    return [section for section in made if section.rows]


def _strong(found: Outcomes) -> list[str]:
    """The learned rules as they are shipped, with and without the number of steps."""
    rules = {rule for group in found.values() for rule, outcome in group.items() if outcome.learned}
    return sorted((rule for rule in rules if ZERO not in rule), key=lambda rule: rule.split(":"))


def _overview(found: Outcomes, trials: Sequence[Trial]) -> Section:
    strong = _strong(found)
    shown = [*strong, "prodigy", "muon", COSINE, ADAM]
    chosen = _selection(found)
    panels = {
        task: {rule: results.band(group[rule]) for rule in shown if rule in group}
        for (task, _), group in found.items()
        if task in chosen
    }
    speeds = {
        task: {
            r: float(np.median(group[r].speed_ups(group[ADAM]))) for r in (*strong, "prodigy") if r in group
        }
        for (task, _), group in found.items()
        if ADAM in group
    }
    figures, captions = [], []
    if any(speeds.values()):
        figures.append(
            strip_plot(
                speeds,
                title="Speed-up over tuned Adam",
                x_label="times sooner at its last loss",
                highlight=strong,
            )
        )
        captions.append("Medians over seeds, a row a task. At the left end: never as low within the run.")
    figures.append(curve_panels(panels, title="Losses", x_label="inner step", highlight=strong))
    captions.append("Medians over seeds, bands from the least to the greatest; some tasks of each kind.")
    return Section(
        "Overview",
        prose=f"{MEASURES}\n\n{_coverage(found, trials)}",
        rows=results.summary_rows(found),
        columns={
            "rule": Column("rule"),
            "tasks": Column("tasks"),
            "adam_speed": Column("speed-up over tuned Adam", "high", 3),
            "adam_won": Column("won", "high", 2),
            "adam_ratio": Column("loss, x tuned Adam", "low", 3),
            "cosine_speed": Column("speed-up over tuned cosine", "high", 3),
            "cosine_won": Column("won against it", "high", 2),
            "cosine_ratio": Column("loss, x tuned cosine", "low", 3),
            "test_won": Column("test won against tuned Adam", "high", 2),
            "test_ratio": Column("test loss, x tuned Adam", "low", 3),
            "diverged": Column("diverged"),
        },
        figures=figures,
        captions=captions,
    )


def _coverage(found: Outcomes, trials: Sequence[Trial]) -> str:
    """How many tasks there are, and which are missing."""
    names = {task for task, _ in found}
    seeds = sorted({len(outcome.train) for group in found.values() for outcome in group.values()})
    kinds = {name.partition("-")[0] for name in names}
    text = f"{len(names)} tasks of {len(kinds)} kinds, {' or '.join(map(str, seeds))} seeds."
    absent = [trial for trial in trials if trial.name not in names]
    if absent:
        named = ", ".join(t.name + (f" (needs {t.needs[0]})" if t.needs else "") for t in absent)
        text += f" {len(absent)} tasks of the suite are not in these results"
        text += f": {named}." if len(absent) <= NAMED else "."
    return text


def _selection(found: Outcomes) -> set[str]:
    """Tasks whose curves are drawn: the first of each kind, then the second ones."""
    kinds: dict[str, list[str]] = {}
    for task, _ in found:
        kinds.setdefault(task.partition("-")[0], []).append(task)
    ranked = [
        names[i] for i in range(max(map(len, kinds.values()))) for names in kinds.values() if i < len(names)
    ]
    return set(ranked[:PANELS])


def _natures(found: Outcomes) -> Section:
    columns = {"rule": Column("rule")}
    for nature, label in (("solvable", "solvable"), ("noisy", "noisy"), ("between", "neither")):
        columns[f"{nature}_speed"] = Column(f"{label}: speed-up", "high", 3)
        columns[f"{nature}_won"] = Column("won", "high", 2)
    return Section(
        "Solvable and noisy tasks",
        prose="Against tuned Adam, by what limits the loss: it can go to nearly zero, or the gradients' "
        "noise keeps it up.",
        rows=results.nature_rows(found),
        columns=columns,
    )


def _wins(found: Outcomes) -> Section:
    labels = {ZERO: "itself without what it learned", KNOWN: "itself, told the steps"}
    columns = {name: Column(labels.get(name, name), digits=2) for name in (*results.CONTROLS, ZERO, KNOWN)}
    return Section(
        "Wins",
        prose="The share of tasks that a learned rule ends lower on than each of these. Muon is tuned, the "
        "others are not: Adam at 1e-3, Prodigy and DoWG as they come, schedule-free AdamW at .0025 with 2 % "
        "of warm-up, NadamW at .0019 with 10 % of warm-up and a cosine decay.",
        rows=results.win_rows(found),
        columns={"rule": Column("rule"), **columns},
    )


def _tasks(found: Outcomes) -> Section:
    shown = [*_strong(found), "prodigy"]
    columns = {
        "task": Column("task"),
        "steps": Column("steps"),
        "nature": Column("nature"),
        "rate": Column("Adam's rate", digits=2),
        "loss": Column("its last loss", digits=3, interval=ends("loss")),
    }
    for rule in shown:
        columns[f"{rule} speed"] = Column(f"{rule}: speed-up", digits=3, interval=ends(f"{rule} speed"))
        columns[f"{rule} ratio"] = Column("loss, x Adam's", digits=3)
    return Section(
        "Tasks",
        prose="Medians over seeds, with the least and the greatest.",
        rows=results.task_rows(found, shown),
        columns=columns,
    )


def _stress(found: Outcomes) -> Section:
    rules = results.all_rules(found)
    return Section(
        "Stress",
        prose="Small networks on digits, each with a single thing that is unusual. Median last losses, which "
        "are measured without it, beside those of tuned Adam; and the seeds of each rule that diverged.",
        rows=results.stress_rows(found),
        columns={
            "task": Column("stress"),
            "steps": Column("steps"),
            "first": Column("first loss", digits=3),
            **{rule: Column(rule, digits=3) for rule in rules},
            "diverged": Column("diverged"),
        },
    )


def _published(found: Outcomes) -> Section:
    return Section(
        "Published baselines",
        prose="The MNIST and Fashion-MNIST tasks of VeLOdrome (Metz et al., 2022). The speed-up is the step "
        "at which the best of four tuned baselines (Adam with constant, square-root and exponentially "
        "decaying rates, and RAdam, 15 rates each, five seeds) reaches the rule's training loss, over the "
        "rule's steps; at most 100,000 over these. Losses are averaged as theirs. Medians over seeds, with "
        "the least and the greatest.",
        rows=results.published_rows(found),
        columns={
            "task": Column("task"),
            "steps": Column("steps"),
            "rule": Column("rule"),
            "loss": Column("training loss", digits=3, interval=ends("loss")),
            "speed": Column("speed-up", digits=3, interval=ends("speed")),
        },
    )
