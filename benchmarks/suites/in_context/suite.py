"""Function learners: which network learns which family of functions, beside the Bayes-optimal predictor."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.comparison.learners import judge
from benchmarks.comparison.statistics import ends, median_and_range
from benchmarks.harness.results import Cell, fingerprint
from benchmarks.harness.suite import Job, Key, Load, Request, Suite
from benchmarks.suites.in_context import ensembles
from learned_opt import in_context, zoo
from learned_opt.core.types import Theta
from learned_opt.in_context.functions import families, learners
from learned_opt.in_context.functions.evaluation import running_means
from learned_opt.in_context.functions.families import Family
from learned_opt.in_context.functions.learners import FunctionLearner
from learned_opt.meta.settings import Settings, settings_of
from learned_opt.reports import Column, Section, interval_plot

LEARNED = 2.0  # times the Bayes-optimal error up to which a network has learned to learn
FIRST_SEED = 1000  # of the sequences that shipped learners are judged on
RTRL = "fully recurrent, 12 units, RTRL"
SHIPPED = "shipped: "  # and the name of the learner
MEAN = "running mean of the targets"

NETWORKS: dict[str, Callable[[], FunctionLearner]] = {
    "LSTM, 6 cells": lambda: learners.lstm(),
    "LSTM of 1997, 6 cells + 6 units": lambda: learners.lstm(num_units=(6,), forget_gate=False),
    "LSTM of 1997, truncated gradient": lambda: learners.lstm(
        num_units=(6,), forget_gate=False, truncated=True
    ),
    "GRU, 8 units": lambda: learners.gru(num_units=8),
    "Elman, 12 units": lambda: learners.elman(num_units=12),
    RTRL: lambda: learners.fully_recurrent(num_units=12),
}
# For quadratics the paper has networks of two layers.
TWO_LAYERS: dict[str, Callable[[], FunctionLearner]] = {
    "LSTM of 1997, 12 cells + 6 units, 40 units": lambda: learners.lstm(
        num_cells=(12, 0), num_units=(6, 40), forget_gate=False, feedback=True
    ),
    "LSTM, 6 cells, 40 cells": lambda: learners.lstm(num_cells=(6, 40), num_units=(0, 0)),
}


@dataclasses.dataclass(frozen=True)
class Set:
    """A set of functions, the examples of one that networks are trained and judged on, and the networks."""

    make: Callable[[], Family]
    length: int
    training_length: int
    networks: Mapping[str, Callable[[], FunctionLearner]]
    times: int = 1  # as many steps of training as on the others; the papers' networks needed 3,000 epochs


SETS: dict[str, Set] = {
    "boolean-16": Set(families.boolean, 256, 64, NETWORKS),
    "semilinear": Set(families.semilinear, 64, 64, NETWORKS),
    "quadratic": Set(families.quadratic, 100, 100, TWO_LAYERS | dict(list(NETWORKS.items())[3:]), times=4),
}


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a size spends: on meta-training, and on judging what came out."""

    seeds: int
    num_steps: int
    num_sequences: int = 500
    batch_size: int = 25
    rates: tuple[float, ...] = (2e-3, 6e-3, 2e-2, 6e-2, 2e-1)
    sets: tuple[str, ...] = tuple(SETS)
    networks: tuple[str, ...] = (*NETWORKS, *TWO_LAYERS)


BUDGETS = {
    "quick": Budget(
        1, 100, 100, rates=(2e-2,), sets=("boolean-16",), networks=("LSTM, 6 cells", "Elman, 12 units")
    ),
    "default": Budget(3, 3000),
    "full": Budget(10, 40_000),
}
PROSE = f"""\
Fresh sequences, the state reset at the start of each. Medians over seeds, with the best and the worst. A
network has learned where its error is at most {LEARNED:g} times the Bayes-optimal predictor's on the same
sequences. On a set every network has the same training: each learning rate is tried for a quarter of it, more
where the best is the least or the greatest, and the best taken. What is shipped was trained by the recipe of
its name, with one seed, and is judged on as many sets of sequences as the others have seeds. An epoch is 100
sequences. The running mean of the targets looks at no input: what is not well below it has learned nothing. A
function takes as many cycles to learn as there are examples until the mean squared error stays at or below a
tenth of the running mean's."""


def plan(request: Request) -> list[Job]:
    request.without_optimizers("in_context", "meta-trains networks and has no optimizers")
    budget = BUDGETS[request.size]
    budget = dataclasses.replace(budget, seeds=request.seeds or budget.seeds)
    jobs = []
    for name in budget.sets:
        what = SETS[name]
        own = dataclasses.replace(budget, num_steps=what.times * budget.num_steps)
        spent = {k: v for k, v in dataclasses.asdict(own).items() if k not in ("sets", "networks")}
        spent |= {"length": what.length, "training_length": what.training_length}
        theta = fingerprint(zoo.load(name, "function learner"))
        made: dict[str, tuple[dict[str, Any], Callable[..., dict[str, Any]]]] = {
            SHIPPED + name: ({"theta": theta}, functools.partial(_shipped, name)),
            MEAN: ({}, functools.partial(_mean, what)),
        }
        for network in (n for n in what.networks if n in budget.networks):
            learner = what.networks[network]()
            settings = {"learner": learners.registry.to_json(learner.config)}
            made[network] = (settings, functools.partial(_trained, what, learner))
        for network, (settings, run) in made.items():
            key = Key("in_context", name, network, what.length, None, "meta-training")
            jobs.append(Job(key, spent | settings, functools.partial(run, own)))
    # Real-time recurrent learning takes about as long as all else.
    return sorted(jobs, key=lambda job: job.key.optimizer == RTRL)


def _shipped(name: str, budget: Budget, load: Load) -> dict[str, Any]:
    del load
    stored = zoo.load(name, "function learner")
    settings, family = settings_of(stored.config), stored.config.task.make()
    return {
        "epochs": settings.num_meta_steps * settings.estimator.epochs_per_step,
        "learning_rate": settings.learning_rate,
        "seeds": _summaries(stored.model, stored.theta, family, budget, SETS[name].length),
    }


def _mean(what: Set, budget: Budget, load: Load) -> dict[str, Any]:
    del load
    says = learners.lstm()._replace(
        predict=lambda theta, inputs: running_means(jnp.append(inputs[1:, 2], 0.0))  # the last is not seen
    )
    seeds = _summaries(says, (), what.make(), budget, what.length)
    return {"epochs": 0, "learning_rate": None, "seeds": seeds}


def _summaries(
    learner: FunctionLearner, theta: Theta, family: Family, budget: Budget, length: int
) -> list[dict[str, Any]]:
    """The figures on as many sets of sequences as there are seeds."""
    chosen: dict[str, Any] = {"length": length, "num_sequences": budget.num_sequences}
    return [
        in_context.evaluate_learner(learner, theta, family, seed=FIRST_SEED + seed, **chosen).summary()
        for seed in range(budget.seeds)
    ]


def _trained(what: Set, learner: FunctionLearner, budget: Budget, load: Load) -> dict[str, Any]:
    del load
    sequences = in_context.Sequences(length=what.training_length, batch_size=budget.batch_size)
    settings = Settings(
        estimator=sequences,
        num_meta_steps=budget.num_steps,
        warmup_steps=budget.num_steps // 40,
        steps_per_call=budget.num_steps // 40 or 1,
    )
    family = what.make()
    thetas, rate, tried = ensembles.train(
        learner, family, settings, num_seeds=budget.seeds, rates=budget.rates
    )
    figures = judge(learner, thetas, what.make, length=what.length, num_sequences=budget.num_sequences)
    epochs = budget.num_steps * sequences.epochs_per_step
    return {"epochs": epochs, "learning_rate": rate, "tried": tried, "seeds": figures}


def rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """A row for each set and network, by set, the best first."""
    found = [{"task": cell.key.task} | row_of(cell.key.optimizer, cell.result) for cell in cells]
    return sorted(found, key=lambda row: (list(SETS).index(row["task"]), row["mse"]))


def row_of(network: str, result: dict[str, Any]) -> dict[str, Any]:
    """The row of a network: medians and extremes over seeds, and whether the best rate was at the edge."""
    figures = {key: np.array([f[key] for f in result["seeds"]], np.float64) for key in result["seeds"][0]}
    cycles = figures.get("cycles")  # cells of before have none
    errors, accuracies = figures["mse"], figures["accuracy"]
    mse = median_and_range(errors)
    bayes = float(figures["bayes_mse"].mean())
    tried = result.get("tried", ())  # nothing was, for what is shipped
    row = {
        "network": network,
        **mse.row("mse"),
        "bayes_mse": bayes,
        "ratio": mse.value / bayes,
        "settled_mse": float(np.median(figures["settled_mse"])),
        "cycles": None if cycles is None or np.isnan(cycles).any() else float(np.median(cycles)),
        "learned": f"{sum(errors <= LEARNED * figures['bayes_mse'])} of {len(errors)}",
        "epochs": round(result["epochs"]),
        "rate": result["learning_rate"],
        "on_edge": len(tried) > 1 and result["learning_rate"] in (tried[0], tried[-1]),
    }
    if np.isfinite(accuracies).all():
        row |= median_and_range(accuracies).row("accuracy")
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
    return [Section("who learns what", prose=PROSE, rows=table, columns=COLUMNS, figures=figures)]


SUITE = Suite(
    "in_context",
    3,
    "Function learners: LSTM with and without forget gate, GRU, Elman's and the fully recurrent network on "
    "Boolean, semi-linear and quadratic functions, beside what is shipped and the Bayes-optimal predictor.",
    plan,
    sections=sections,
)
