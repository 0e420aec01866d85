"""Function learners: which network learns which family of functions, beside the Bayes-optimal predictor."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.comparison.statistics import ends, median_and_range
from benchmarks.harness.results import Cell, fingerprint
from benchmarks.harness.suite import Job, Key, Request, Suite
from benchmarks.suites.in_context import measured
from benchmarks.suites.in_context.descent import DESCENTS
from benchmarks.suites.in_context.sets import BUDGETS, IN_A_ROW, LABELS, RTRL, SETS
from learned_opt import zoo
from learned_opt.in_context.functions import learners
from learned_opt.reports import Column, Section, interval_plot, line_plot

LEARNED = 2.0  # times the Bayes-optimal error up to which a network has learned to learn
SHIPPED = "shipped: "  # and the name of the learner
MEAN = "running mean of the targets"
UNTOLD = "Bayes-optimal, not told when"
PROSE = f"""\
Fresh sequences, the state reset at the start of each. Medians over seeds, with the best and the worst. A
network has learned where its error is at most {LEARNED:g} times the Bayes-optimal predictor's on the same
sequences.

On a set every network has the same training: each learning rate is tried for a quarter of it, more
where the best is the least or the greatest, and the best taken. What is shipped was trained by the recipe of
its name, with one seed, and is judged on as many sets of sequences as the others have seeds. An epoch is 100
sequences.

The running mean of the targets looks at no input: what is not well below it has learned nothing. A
function takes as many cycles to learn as there are examples until the mean squared error stays at or below a
tenth of the running mean's. A perceptron that is trained by gradient descent on the examples of a sequence,
as they come, is what a learner is to be faster than; its learning rate was swept on other sequences.

Five functions in a row follow each other without reset, and nothing tells where one begins;
Bayes-optimal is then one that is told.

Of eight starts, each with the same training, the one with the least error on sequences of a
validation is shown, beside the extremes of all; "learned" counts the starts."""


def plan(request: Request) -> list[Job]:
    request.without_optimizers("in_context", "meta-trains networks and has no optimizers")
    budget = BUDGETS[request.size]
    budget = dataclasses.replace(budget, seeds=request.seeds or budget.seeds)
    jobs = []
    for name in budget.sets:
        what = SETS[name]
        own = budget.on(what)
        spent = {k: v for k, v in dataclasses.asdict(own).items() if k not in ("sets", "networks", "descent")}
        spent |= {"length": what.length, "training_length": what.training_length}
        if what.num_functions > 1:
            spent["num_functions"] = what.num_functions
        made: dict[str, tuple[dict[str, Any], Callable[..., dict[str, Any]]]] = {
            SHIPPED + shipped: (
                {"theta": fingerprint(zoo.load(shipped, "function learner"))},
                functools.partial(measured.shipped, what, shipped),
            )
            for shipped in what.shipped
        }
        if what.starts:
            spent["starts"] = what.starts
        else:  # the references are those of the set with one start
            made[MEAN] = {}, functools.partial(measured.mean, what)
        if what.num_functions > 1:
            made[UNTOLD] = {}, functools.partial(measured.untold, what)
        for label in DESCENTS if budget.descent and not what.starts else ():
            made[label] = {}, functools.partial(measured.descent, what, label)
        for network in (n for n in what.networks if n in budget.networks):
            learner = what.networks[network]()
            settings = {"learner": learners.registry.to_json(learner.config)}
            made[network] = (settings, functools.partial(measured.trained, what, learner))
        for network, (settings, run) in made.items():
            key = Key("in_context", name, network, what.length, None, "meta-training")
            jobs.append(Job(key, spent | settings, functools.partial(run, own)))
    # Real-time recurrent learning takes about as long as all else.
    return sorted(jobs, key=lambda job: job.key.optimizer == RTRL)


def rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """A row for each set and network, by set, the best first."""
    found = [{"task": cell.key.task} | row_of(cell.key.optimizer, cell.result) for cell in cells]
    return sorted(found, key=lambda row: (list(SETS).index(row["task"]), row["mse"]))


def figure_three(cells: Sequence[Cell], name: str = f"boolean-16{IN_A_ROW}") -> str:
    """Figure 3 of Younger et al., absolute error against time where functions change, as an `<svg>`."""
    what, by_network = SETS[name], {c.key.optimizer: c.result for c in cells if c.key.task == name}
    shown = (*(SHIPPED + learner for learner in what.shipped), UNTOLD, next(iter(DESCENTS)))
    lines = {
        network: np.stack([np.arange(1, len(errors) + 1), errors])
        for network in shown
        if network in by_network
        for errors in [np.asarray(by_network[network]["absolute"])]
    }
    total = what.num_functions * what.length
    return line_plot(
        lines,
        title=f"{name}, {what.length} examples each",
        x_label="example",
        y_label="mean absolute error",
        log="",
        marks=[begin + 0.5 for begin in range(what.length, total, what.length)],
        highlight=[SHIPPED + what.shipped[0]],
    )


def row_of(network: str, result: dict[str, Any]) -> dict[str, Any]:
    """The row of a network: medians and extremes over seeds, and whether the best rate was at the edge.

    Of several starts the one that validation has chosen stands in place of the median.
    """
    chosen = result.get("chosen")

    def middle(values: np.ndarray) -> float:
        return float(np.median(values) if chosen is None else values[chosen])

    figures = {key: np.array([f[key] for f in result["seeds"]], np.float64) for key in result["seeds"][0]}
    cycles = figures.get("cycles")  # cells of before have none
    errors, accuracies = figures["mse"], figures["accuracy"]
    mse = median_and_range(errors)._replace(value=middle(errors))
    bayes = float(figures["bayes_mse"].mean())
    tried = result.get("tried", ())  # nothing was, for what is shipped
    row = {
        "network": LABELS.get(network, network),
        **mse.row("mse"),
        "bayes_mse": bayes,
        "ratio": mse.value / bayes,
        "settled_mse": middle(figures["settled_mse"]),
        "cycles": None if cycles is None or np.isnan(middle(cycles)) else round(middle(cycles)),
        "learned": f"{sum(errors <= LEARNED * figures['bayes_mse'])} of {len(errors)}",
        "epochs": round(result["epochs"]),
        "rate": result["learning_rate"],
        "on_edge": len(tried) > 1 and result["learning_rate"] in (tried[0], tried[-1]),
    }
    if np.isfinite(accuracies).all():
        row |= median_and_range(accuracies)._replace(value=middle(accuracies)).row("accuracy")
        row["bayes_accuracy"] = float(figures["bayes_accuracy"].mean())
    return row


COLUMNS = {
    "task": Column("functions"),
    "network": Column("network"),
    "mse": Column("mean squared error", digits=3, interval=ends("mse")),
    "bayes_mse": Column("Bayes-optimal", digits=3),
    "ratio": Column("ratio", digits=3),
    "settled_mse": Column("from example 11 on", digits=2),
    "cycles": Column("cycles to learn", digits=3),
    "accuracy": Column("accuracy", digits=4, interval=ends("accuracy")),
    "bayes_accuracy": Column("Bayes-optimal accuracy", digits=4),
    "learned": Column("learned"),
    "epochs": Column("epochs", digits=4),
    "rate": Column("learning rate", digits=2),
}


def sections(cells: Sequence[Cell]) -> list[Section]:
    table = rows(cells)
    figures = []
    for name in dict.fromkeys(row["task"] for row in table):
        own = [row for row in table if row["task"] == name]
        figures.append(
            interval_plot(
                {row["network"]: (row["mse"], row["mse_low"], row["mse_high"]) for row in own},
                title=f"{name}, {SETS[name].length} examples",
                x_label="mean squared error (the line: Bayes-optimal)",
                x_log=True,
                level=own[0]["bayes_mse"],
                highlight=[row["network"] for row in own if row["ratio"] <= LEARNED],
            )
        )
        if SETS[name].num_functions > 1:
            figures.append(figure_three(cells, name))
    return [Section("who learns what", prose=PROSE, rows=table, columns=COLUMNS, figures=figures)]


SUITE = Suite(
    "in_context",
    3,
    "Function learners: LSTM with and without forget gate, GRU, Elman's and the fully recurrent network on "
    "Boolean, semi-linear and quadratic functions, beside what is shipped and the Bayes-optimal predictor.",
    plan,
    sections=sections,
)
