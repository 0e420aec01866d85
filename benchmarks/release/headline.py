"""The default optimizers beside tuned Adam: the picture and the tables of the README and the documentation.

All are drawn from the cells of the suite `generalization`, and costs from those of `speed`, in
`benchmarks/results`. Where there are none, the table has the figures of `docs/research/default_optimizer.md`.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

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
    "tasks won, test loss",
    "diverged",
    "time of an update, x Adam",
)
# The kinds that no meta-training family resembles, a task of each: two can be solved, two are noisy.
PICTURED = {
    "recurrent-waves": "Elman network, sums of sines",
    "residual-wine": "residual network, wine table",
    "embeddings-words": "word embeddings",
    "generative-variational": "variational autoencoder",
}
CAPTION = (
    "*Medians over problems: `general` without any tuning, its band from the least to the greatest; `adam` "
    "with the best of 13 learning rates for each task; `prodigy` as it comes. Two tasks can be solved, "
    "two are noisy.*"
)
# What the suite `speed` calls them.
COSTS = {"general": "controller-auto", "general-lite": "controller-lite"}
LOG = Path(__file__).parents[2] / "docs" / "research" / "default_optimizer.md"

Row = tuple[str, ...]


def rows(cells: Sequence[Cell]) -> list[Row]:
    """The rows of the table under `HEAD`."""
    found = _outcomes(cells)
    if not found:
        return _logged(LOG.read_text())
    costs = _costs(cells)
    summary = {row["rule"]: row for row in results.summary_rows(found)}
    made = []
    for rule, label in RULES.items():
        if rule in summary:
            row = summary[rule]
            test = "" if row["test_won"] is None else f"{row['test_won']:.0%}"
            problems = sum(len(group[rule].train) for group in found.values() if rule in group)
            diverged = f"{row['diverged']} of {problems}"
            figures = f"{row['adam_speed']:.2f}", f"{row['adam_won']:.0%}", test, diverged
            made.append((label, *figures, costs.get(rule.removesuffix(KNOWN), "")))
    return made


def explanation(cells: Sequence[Cell]) -> str:
    """What the rows of the table are of."""
    found = _outcomes(cells)
    if not found:
        return (
            "On 23 held-out families of small problems, three problems each, 453 steps. Only training losses "
            "were measured. Time: four matrices of 512x512 on two cores of a CPU, where `general` "
            "orthogonalises matrices with at most 128 rows or columns only. "
            "All figures are those of [the log](docs/research/default_optimizer.md)."
        )
    kinds = {task.partition("-")[0] for task, _ in found}
    seeds = sorted({len(outcome.train) for group in found.values() for outcome in group.values()})
    text = (
        f"On {len(found)} tasks of {len(kinds)} kinds that meta-training has not seen, "
        f"{' or '.join(map(str, seeds))} problems each. Last losses: those on a fixed batch of what is "
        "trained on, and on what was held out where anything was."
    )
    devices = {c.provenance.get("device") for c in cells if c.key.part == COST}
    if devices:
        machine = " and ".join(sorted(map(str, devices)))
        text += (
            f" Time: four matrices of 512x512 on {machine}; on a CPU `general` orthogonalises matrices with "
        )
        text += "at most 128 rows or columns only."
    return text


def picture(cells: Sequence[Cell]) -> str | None:
    """Losses of `general`, Prodigy and tuned Adam on four tasks, as an `<svg>`; `None` without cells."""
    panels = {}
    for (task, _), group in _outcomes(cells).items():
        if task in PICTURED:
            shown = (rule for rule in ("general", ADAM, "prodigy") if rule in group)
            panels[PICTURED[task]] = {rule: _band(group[rule]) for rule in shown}
    if not panels:
        return None
    ordered = {label: panels[label] for label in PICTURED.values() if label in panels}
    title = "Training losses on four tasks of unseen kinds"
    return curve_panels(ordered, title=title, x_label="step", highlight=["general"], columns=2) + "\n"


def sections(cells: Sequence[Cell]) -> str:
    """All tables of the suite as Markdown."""
    own = _own(cells)
    if not own:
        return "The cells of this suite are not among the results of this version."
    tables = (
        f"**{section.heading}.** {section.prose}\n\n{report.markdown_table(section.rows, section.columns)}"
        for section in generalization.SUITE.sections(own)  # type: ignore[misc]
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


def _logged(text: str) -> list[Row]:
    """The rows from the log's table of held-out families, and its costs."""
    (costs,) = re.findall(r"general-lite ([\d.]+), general ([\d.]+),", text)
    by_rule = {"general": costs[1], "general-lite": costs[0]}
    held_out = text.partition("## Held-out families")[2]
    made = []
    for rule, label in RULES.items():
        name = rule.replace(KNOWN, ", T known").replace("prodigy", "Prodigy")
        (line,) = re.findall(rf"^\| (?:\*\*)?{re.escape(name)}(?:\*\*)? \| (.*) \|$", held_out, re.MULTILINE)
        speed, won, _, _, _, not_finite = line.split(" | ")
        made.append((label, speed, won, "", not_finite, by_rule.get(rule.removesuffix(KNOWN), "")))
    return made
