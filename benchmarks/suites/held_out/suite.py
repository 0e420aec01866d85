"""What makes a function learner generalise to functions of two bits that it has never seen.

One factor at a time around one base, on ten random splits. Answers that are remembered serve for every
function; functions that are ruled out serve only for those of training. A probe tells the two apart.
"""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.comparison.learners import judge
from benchmarks.comparison.statistics import ends, median_and_range
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Job, Key, Load, Request, Suite
from benchmarks.suites.held_out import splits
from learned_opt.core.kinds import kind_named
from learned_opt.in_context import families, learners
from learned_opt.in_context.functions.learners import FunctionLearner
from learned_opt.meta import Settings
from learned_opt.reports import Column, Section, interval_plot, line_plot, scatter_plot

# No setting of any recipe was chosen on these splits.
FIRST_SPLIT, NUM_HELD_OUT = 100, 3
PAPER = {"num_cells": (6,), "num_units": (6,), "forget_gate": False}
SWITCHING = {"length": 8, "num_functions": 4}
RECALL = {"target": "recall", **SWITCHING}


@dataclasses.dataclass(frozen=True)
class Variant:
    """What differs from the base: the network, the settings, how long it trains."""

    factor: str
    learner: dict[str, Any] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    times: float = 1.0  # as many steps as the base

    def make(self) -> FunctionLearner:
        arguments: dict[str, Any] = {"num_cells": (12,)} | self.learner
        return learners.lstm(**arguments)


BASE = "base"
RECIPE = "recall, 4 functions, twice the training"
VARIANTS: dict[str, Variant] = {
    BASE: Variant("base"),
    RECIPE: Variant("recall and switching", settings=RECALL, times=2),
    "recall, 4 functions": Variant("recall and switching", settings=RECALL),
    "recall": Variant("recall", settings={"target": "recall"}),
    "4 functions": Variant("switching", settings=SWITCHING),
    "4 functions, with reset": Variant("switching", settings={"length": 8, "batch_size": 100}),
    "6 cells": Variant("width", {"num_cells": (6,)}),
    "noise 0.3": Variant("noise", settings={"noise": 0.3}),
    "weight decay 0.1": Variant("weight decay", settings={"weight_decay": 0.1}),
    "forget bias 3": Variant("forget bias", {"forget_bias": 3.0}),
    "a quarter of the training": Variant("training", times=0.25),
    "1997, recall, 4 functions, twice": Variant("network of 1997", PAPER, RECALL, 2),
    "24 cells": Variant("width", {"num_cells": (24,)}),
    "forget bias 0": Variant("forget bias", {"forget_bias": 0.0}),
    "noise 0.1": Variant("noise", settings={"noise": 0.1}),
    "weight decay 0.01": Variant("weight decay", settings={"weight_decay": 0.01}),
    "4 times the training": Variant("training", times=4),
    "3 cells": Variant("width", {"num_cells": (3,)}),
    "network of 1997": Variant("network of 1997", PAPER),
    "6 cells, recall, 4 functions, twice": Variant("recall and switching", {"num_cells": (6,)}, RECALL, 2),
}
# Written by hand: what a learner of either kind does in its purest form.
STORES, EXCLUDES = "stores answers, by hand", "rules out functions, by hand"
BY_HAND = {STORES: splits.storing, EXCLUDES: splits.excluding}
DRAWN = (BASE, "4 times the training", "4 functions", "recall", RECIPE, EXCLUDES)

# By name: the number of functions and the examples of each that learners are judged on; the variants.
SETS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "boolean-14": (14, 64, tuple(VARIANTS)),
    "boolean-16": (16, 256, (BASE, RECIPE)),
}


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a size spends: splits, steps of the base, sequences of each split; on which variants and sets."""

    num_splits: int
    num_steps: int
    num_sequences: int
    variants: tuple[str, ...] = tuple(VARIANTS)
    sets: tuple[str, ...] = tuple(SETS)


BUDGETS = {
    "quick": Budget(2, 40, 20, (BASE, "recall, 4 functions"), ("boolean-14",)),
    "default": Budget(10, 1500, 500),
    "full": Budget(30, 1500, 1000),
}
PROSE = """\
Twelve cells, 32 examples of one function in a sequence, trained to predict; each row differs from this base
in what its name says. Of the functions three are held out, others in every split; the splits are numbers 100
and up. Accuracies are on fresh sequences, the state reset at the start of each: medians over splits, with
the lowest and the highest.

The probe shows three answers of a held-out function until they are known, where one training function has
these three, and then all four. What a learner says once the fourth answer was shown contradicts every
training function: 1 is a learner that stores answers, 0 one that rules out functions."""


def settings_of(variant: Variant, num_steps: int) -> Settings:
    """The training of a variant, where that of the base has `num_steps`."""
    steps = max(2, round(num_steps * variant.times))
    base: dict[str, Any] = {"length": 32, "batch_size": 25, "learning_rate": 2e-2, "seed": FIRST_SPLIT}
    base |= {"num_meta_steps": steps, "warmup_steps": min(100, steps // 4)}
    return Settings.of(kind_named("function learner"), base | variant.settings)


def plan(request: Request) -> list[Job]:
    request.without_optimizers("held_out", "has its own networks")
    budget = BUDGETS[request.size]
    if request.seeds is not None:
        budget = dataclasses.replace(budget, num_splits=request.seeds)
    jobs = []
    # Every set of a variant, before the next variant: what matters most comes first.
    for variant, name in itertools.product((*budget.variants, *BY_HAND), budget.sets):
        _, length, variants = SETS[name]
        if variant in VARIANTS and variant not in variants:
            continue
        key = Key("held_out", name, variant, length, None, "splits")
        settings: dict[str, Any] = {"num_splits": budget.num_splits, "num_sequences": budget.num_sequences}
        if variant in VARIANTS:
            settings |= {
                "learner": learners.registry.to_json(VARIANTS[variant].make().config),
                "settings": settings_of(VARIANTS[variant], budget.num_steps).to_json(),
            }
        jobs.append(Job(key, settings, functools.partial(_run, name, variant, budget)))
    return jobs


def _run(name: str, variant: str, budget: Budget, load: Load) -> dict[str, Any]:
    del load
    num_functions, length, _ = SETS[name]
    numbers = range(FIRST_SPLIT, FIRST_SPLIT + budget.num_splits)
    drawn = splits.draw_splits(num_functions, NUM_HELD_OUT, numbers)
    if variant in BY_HAND:
        learner, thetas, epochs = BY_HAND[variant](), drawn.training, None
    else:
        learner, settings = VARIANTS[variant].make(), settings_of(VARIANTS[variant], budget.num_steps)
        thetas = splits.train(learner, settings, drawn)
        epochs = settings.num_meta_steps * settings.estimator.epochs_per_step
    result: dict[str, Any] = {"epochs": epochs, "as_shown": splits.probe(learner, thetas, drawn)}
    for part in drawn._fields:
        tables = getattr(drawn, part), splits.known_functions(drawn, part)
        result[part] = judge(
            learner, thetas, families.among, *tables, length=length, num_sequences=budget.num_sequences
        )
    return result


def row_of(name: str, result: dict[str, Any]) -> dict[str, Any]:
    """The row of a variant: medians over splits, with the lowest and the highest."""
    held_out = np.array([summary["accuracy"] for summary in result["held_out"]])
    shown = np.asarray(result["as_shown"], np.float64)[:, 1]
    columns = {
        "mse": np.array([summary["mse"] for summary in result["training"]]),
        "training": np.array([summary["accuracy"] for summary in result["training"]]),
        "held_out": held_out,
        "as_shown": shown[np.isfinite(shown)],
    }
    epochs = result["epochs"]
    row: dict[str, Any] = {"name": name, "epochs": None if epochs is None else round(epochs)}
    for key, values in columns.items():
        if values.size:
            row |= median_and_range(values).row(key)
    return row


def sections(cells: Sequence[Cell]) -> list[Section]:
    return [
        _section(name, {cell.key.optimizer: cell.result for cell in cells if cell.key.task == name})
        for name in SETS
        if any(cell.key.task == name for cell in cells)
    ]


def _section(name: str, results: dict[str, dict[str, Any]]) -> Section:
    results = {variant: results[variant] for variant in (*VARIANTS, *BY_HAND) if variant in results}
    rows = [row_of(variant, result) for variant, result in results.items()]
    rows.sort(key=lambda row: -row["held_out"])
    bayes = float(np.mean([s["bayes_accuracy"] for result in results.values() for s in result["held_out"]]))
    least = float(np.mean([s["bayes_mse"] for result in results.values() for s in result["training"]]))
    strong = [variant for variant in ("recall, 4 functions", RECIPE) if variant in results]
    accuracies = interval_plot(
        {row["name"]: (row["held_out"], row["held_out_low"], row["held_out_high"]) for row in rows},
        title=f"{name}: functions that training held out",
        x_label="accuracy (the line: Bayes-optimal)",
        level=bayes,
        highlight=strong,
    )
    drawn = [(accuracies, "Median and range over splits."), *_probe_figures(name, results, strong)]
    figures, captions = zip(*drawn, strict=True)
    return Section(
        f"{name}, {NUM_HELD_OUT} held out",
        prose=f"{PROSE}\n\nThe Bayes-optimal predictor reaches {bayes:.1%} on held-out functions, and a mean "
        f"squared error of {least:.4f} on those of training.",
        rows=rows,
        columns={
            "name": Column("setting"),
            "epochs": Column("epochs", digits=4),
            "mse": Column("error in training", "low", 3, ends("mse")),
            "training": Column("accuracy in training", "high", 3, ends("training")),
            "held_out": Column("held-out accuracy", "high", 3, ends("held_out")),
            "as_shown": Column("answered as shown", "high", 2, ends("as_shown")),
        },
        figures=figures,
        captions=captions,
    )


def _probe_figures(
    name: str, results: dict[str, dict[str, Any]], strong: Sequence[str]
) -> list[tuple[str, str]]:
    """Figures and captions of what the probe tells."""
    points: dict[str, list[np.ndarray]] = {}
    curves = {}
    for variant, result in results.items():
        shown = np.asarray(result["as_shown"], np.float64)
        accuracy = [summary["accuracy"] for summary in result["held_out"]]
        factor = VARIANTS[variant].factor if variant in VARIANTS else "by hand"
        points.setdefault(factor, []).append(np.stack([shown[:, 1], accuracy]))
        shown = shown[np.isfinite(shown).all(1)]
        if len(shown) and variant in DRAWN:
            low, middle, high = np.quantile(shown, (0.25, 0.5, 0.75), axis=0)
            curves[variant] = np.stack([np.arange(len(middle)), middle, low, high])
    scatter = scatter_plot(
        {factor: np.concatenate(tables, axis=1) for factor, tables in points.items()},
        title=f"{name}: to store answers or to rule out functions",
        x_label="share answered as shown, after one contradiction",
        y_label="accuracy on held-out functions",
        highlight=[factor for factor in ("base", "recall and switching") if factor in points],
    )
    drawn = [
        (scatter, "A point is a split. Left are learners that rule out functions, right those that store.")
    ]
    if curves:
        figure = line_plot(
            curves,
            title=f"{name}: an answer that contradicts every training function",
            x_label="times that this answer was shown",
            y_label="share answered as shown",
            log="",
            y_limits=(0.0, 1.02),
            highlight=[variant for variant in (BASE, *strong) if variant in curves],
        )
        drawn.append((figure, "Median and quartiles over splits."))
    return drawn


SUITE = Suite(
    "held_out",
    1,
    "What makes a function learner generalise to functions that training held out: length of training, "
    "width, switching, noise, weight decay, forget bias and target, and whether it stores answers or rules "
    "out functions.",
    plan,
    sections=sections,
)
