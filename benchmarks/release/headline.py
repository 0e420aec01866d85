"""The default optimizers beside tuned Adam: the picture and the tables of the README and the documentation.

All are drawn from the cells of the suite `generalization`, and costs from those of `speed`, in
`benchmarks/results`.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.comparison.panels import curve_panels
from benchmarks.comparison.statistics import nan_last
from benchmarks.harness import report
from benchmarks.harness.results import Cell
from benchmarks.suites.generalization import results
from benchmarks.suites.generalization import suite as generalization
from benchmarks.suites.generalization.results import Outcomes
from benchmarks.suites.generalization.rules import ADAM, KNOWN
from benchmarks.suites.speed.rules import COST

RULES = {
    "general": "`general`",
    f"general{KNOWN}": "`general`, told `num_steps`",
    "general-lite": "`general-lite`",
    f"general-lite{KNOWN}": "`general-lite`, told `num_steps`",
    "prodigy": "Prodigy, untuned",
}
HEAD = (
    "optimizer",
    "speed-up over tuned Adam, median",
    "tasks won, training loss",
    "test loss",
    "won against tuned AdamW with cosine",
    "diverged",
    "time of an update, x Adam",
)
# Well-known ones; `general` loses one of the four, about as it does of all tasks.
PICTURED = {
    "dense-mnist": "dense network, MNIST",
    "conv-fashion": "conv net, Fashion-MNIST",
    "attention-characters": "transformer, characters",
    "embeddings-words": "word embeddings",
}
CAPTION = (
    "*Medians over problems, with the band of `general` from the least to the greatest: `general` without "
    "any tuning, `adam` with the best of 13 learning rates for each task, `prodigy` as it comes.*"
)
# What the suite `speed` calls them.
COSTS = {"general": "controller-auto", "general-lite": "controller-lite"}

Row = tuple[str, ...]


def rows(cells: Sequence[Cell]) -> list[Row]:
    """The rows of the table under `HEAD`."""
    found = _outcomes(cells)
    costs = _costs(cells)
    summary = {row["rule"]: row for row in results.summary_rows(found)}
    made = []
    for rule, label in RULES.items():
        if rule in summary:
            row = summary[rule]
            test = "" if row["test_won"] is None else _percent(row["test_won"])
            problems = sum(len(group[rule].train) for group in found.values() if rule in group)
            diverged = f"{row['diverged']} of {problems}"
            cosine = _percent(row["cosine_won"]) if "cosine_won" in row else ""
            figures = f"{row['adam_speed']:.2f}", _percent(row["adam_won"]), test, cosine, diverged
            made.append((label, *figures, costs.get(rule.removesuffix(KNOWN), "")))
    return made


def explanation(cells: Sequence[Cell]) -> str:
    """What the rows of the table are of."""
    found = _outcomes(cells)
    kinds = {task.partition("-")[0] for task, _ in found}
    seeds = sorted({len(outcome.train) for group in found.values() for outcome in group.values()})
    text = (
        f"On {len(found)} tasks of {len(kinds)} kinds that meta-training has not seen, "
        f"{' or '.join(map(str, seeds))} problems each. Losses are the last ones: in training on a fixed "
        "batch, in test on what was held out, where anything was."
    )
    published = _published(cells)
    if published:
        text += f" Against the best of four tuned baselines published with VeLOdrome's tasks: {published}."
    devices = {c.provenance.get("device") for c in cells if c.key.part == COST}
    if devices:
        machine = " and ".join(sorted(map(str, devices)))
        text += (
            f" Time: four matrices of 512x512 on {machine}; on a CPU `general` orthogonalises matrices with "
        )
        text += "at most 128 rows or columns only."
    return text


def _published(cells: Sequence[Cell]) -> str:
    """The speed-ups of `general` over published baselines, told the number of steps or not."""
    rows = results.published_rows(results.of_kind(results.outcomes(_own(cells)), "velodrome"))
    parts = []
    for rule in ("general", f"general{KNOWN}"):
        for steps in sorted({row["steps"] for row in rows}):
            speeds = [row["speed"] for row in rows if (row["rule"], row["steps"]) == (rule, steps)]
            if speeds:
                told = ", told `num_steps`" if rule.endswith(KNOWN) else ""
                low, high = f"{min(speeds):.2g}", f"{max(speeds):.2g}"
                speed = low if len(speeds) == 1 else f"{low} to {high}"
                count = "1 task" if len(speeds) == 1 else f"{len(speeds)} tasks"
                parts.append(f"{speed} times as fast at {steps:,} steps{told} ({count})")
    return "; ".join(parts)


def picture(cells: Sequence[Cell]) -> str:
    """Losses of `general`, Prodigy and tuned Adam on those of four tasks that there are, as an `<svg>`."""
    panels = {}
    for (task, _), group in _outcomes(cells).items():
        if task in PICTURED:
            shown = (rule for rule in ("general", ADAM, "prodigy") if rule in group)
            panels[PICTURED[task]] = {rule: _band(group[rule]) for rule in shown}
    ordered = {label: panels[label] for label in PICTURED.values() if label in panels}
    title = "Training losses on four tasks of unseen kinds"
    return curve_panels(ordered, title=title, x_label="step", highlight=["general"], columns=2) + "\n"


def sections(cells: Sequence[Cell]) -> str:
    """All tables of the suite as Markdown."""
    tables = (
        f"**{section.heading}.** {section.prose}\n\n{report.markdown_table(section.rows, section.columns)}"
        for section in generalization.SUITE.sections(_own(cells))  # type: ignore[misc]
    )
    return "\n\n".join(tables)


def _own(cells: Iterable[Cell]) -> list[Cell]:
    return [cell for cell in cells if cell.key.suite == generalization.NAME]


def _outcomes(cells: Iterable[Cell]) -> Outcomes:
    """Those of the plain tasks: no stress tests, and no published ones."""
    found = results.outcomes(_own(cells))
    return {
        task: group
        for task, group in found.items()
        if task[0].partition("-")[0] not in ("stress", "velodrome")
    }


def _band(outcome: results.Outcome) -> np.ndarray:
    losses = nan_last(outcome.train)
    return np.stack([outcome.steps, np.median(losses, 0), losses.min(0), losses.max(0)])


def _costs(cells: Iterable[Cell]) -> dict[str, str]:
    """The time of an update over that of Adam's, by rule."""
    own = {cell.key.optimizer: cell.result for cell in cells if cell.key.part == COST}
    measured = {rule: own[name] for rule, name in COSTS.items() if name in own}
    return {rule: f"{r['seconds'] / r['adam_seconds']:.2g}" for rule, r in measured.items()}


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
