"""Function learners: which network learns which family of functions, beside the Bayes-optimal predictor."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.cells import Cell
from benchmarks.suite import Job, Key, Load, Request, Suite
from learned_opt import in_context
from learned_opt.in_context import families, learners
from learned_opt.in_context.families import Family
from learned_opt.in_context.learners import FunctionLearner
from learned_opt.runs import Column, Section, interval_plot

LEARNED = 2.0  # times the Bayes-optimal error up to which a network has learned to learn


@dataclasses.dataclass(frozen=True)
class Set:
    """A set of functions: `make(seed, part)`, examples of a function, and what training is told besides."""

    make: Callable[[int, str], Family]
    length: int
    training_length: int
    held_out: bool = False
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


def _split(num_functions: int, held_out: int) -> Callable[[int, str], Family]:
    # The seed of a cell is that of its split, too: every seed holds other functions out.
    return lambda seed, part: families.boolean(num_functions, held_out, seed, part)  # type: ignore[arg-type]


# Sequences that switch functions, on which a learner is to say what it was shown; they need longer training.
RECALL = {"aim": "recall", "num_functions": 4, "learning_rate": 4e-2}
RECALL_STEPS = 2.5  # times as many

SETS: dict[str, Set] = {
    "boolean-16": Set(lambda seed, part: families.boolean(), 256, 64),
    "boolean-16-held-out": Set(_split(16, 3), 256, 64, held_out=True),
    "boolean-16-held-out-recall": Set(_split(16, 3), 256, 8, True, RECALL),
    "boolean-14-held-out": Set(_split(14, 3), 64, 64, held_out=True),
    "boolean-14-held-out-recall": Set(_split(14, 3), 64, 8, True, RECALL),
    "semilinear": Set(lambda seed, part: families.semilinear(), 64, 64),
    "quadratic": Set(lambda seed, part: families.quadratic(), 100, 100),
}

NETWORKS: dict[str, Callable[[], FunctionLearner]] = {
    "lstm-6": lambda: learners.lstm(),
    "lstm-1997-6+6": lambda: learners.lstm(num_units=(6,), forget_gate=False),
    "lstm-1997-truncated-6+6": lambda: learners.lstm(num_units=(6,), forget_gate=False, truncated=True),
    "lstm-32": lambda: learners.lstm(num_cells=(32,)),
    "gru-8": lambda: learners.gru(num_units=8),
    "elman-12": lambda: learners.elman(num_units=12),
    "fully-recurrent-12-rtrl": lambda: learners.fully_recurrent(num_units=12),
}

# Quadratics have narrow targets, which the networks with a linear output see scaled.
QUADRATIC: dict[str, Callable[[], FunctionLearner]] = {
    "lstm-1997-12+6-40": lambda: learners.lstm(
        num_cells=(12, 0), num_units=(6, 40), forget_gate=False, feedback=True
    ),
    "lstm-6-40": lambda: learners.lstm(num_cells=(6, 40), num_units=(0, 0)),
    "lstm-32-scaled": lambda: learners.lstm(num_cells=(32,), output="linear", target_scale=20.0),
    "gru-8": NETWORKS["gru-8"],
    "elman-12": NETWORKS["elman-12"],
    "fully-recurrent-12-rtrl": NETWORKS["fully-recurrent-12-rtrl"],
}


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a size spends: on meta-training, and on judging what came out."""

    seeds: int
    num_steps: int
    num_sequences: int = 500
    batch_size: int = 25
    learning_rate: float = 2e-2
    sets: tuple[str, ...] = tuple(SETS)
    networks: tuple[str, ...] | None = None


BUDGETS = {
    "quick": Budget(1, 100, 100, sets=("boolean-16", "boolean-14-held-out"), networks=("lstm-6", "elman-12")),
    "default": Budget(3, 4000),
    "full": Budget(10, 16_000),
}


def plan(request: Request) -> list[Job]:
    if request.optimizers:
        raise ValueError(
            "the suite in_context meta-trains networks and has no optimizers: run it without --optimizers, "
            "or leave it out"
        )
    budget = BUDGETS[request.size]
    recorded = {k: v for k, v in dataclasses.asdict(budget).items() if k not in ("seeds", "sets", "networks")}
    jobs = []
    for name in budget.sets:
        networks = QUADRATIC if name == "quadratic" else NETWORKS
        chosen = [n for n in networks if budget.networks is None or n in budget.networks]
        for network, seed in itertools.product(chosen, range(request.seeds or budget.seeds)):
            learner = networks[network]()
            settings = recorded | {
                "learner": learners.registry.to_json(learner.config),
                "length": SETS[name].length,
                "training_length": SETS[name].training_length,
                **SETS[name].settings,
            }
            key = Key("in_context", name, network, SETS[name].length, seed, "meta-training")
            jobs.append(Job(key, settings, functools.partial(_run, SETS[name], learner, budget, seed)))
    return jobs


def _run(what: Set, learner: FunctionLearner, budget: Budget, seed: int, load: Load) -> dict[str, Any]:
    num_steps = round(budget.num_steps * (RECALL_STEPS if what.settings else 1))
    arguments: dict[str, Any] = {"learning_rate": budget.learning_rate, **what.settings}
    settings = in_context.LearnerSettings(
        length=what.training_length,
        validation_length=what.length,
        num_steps=num_steps,
        batch_size=budget.batch_size,
        warmup_steps=num_steps // 40,
        validate_every=max(1, num_steps // 10),
        num_validation_sequences=200,
        seed=seed,
        **arguments,
    )
    trained = in_context.train_learner(
        learner, what.make(seed, "training"), quiet=True, **dataclasses.asdict(settings)
    )
    result: dict[str, Any] = {"epochs": settings.num_epochs}
    for part in ("training", "held_out") if what.held_out else ("training",):
        evaluation = in_context.evaluate_learner(
            learner,
            trained.theta,
            what.make(seed, part),
            length=what.length,
            num_sequences=budget.num_sequences,
            seed=seed,
        )
        result[part] = evaluation.summary()
    return result


def sections(cells: Sequence[Cell]) -> list[Section]:
    found = []
    for name in dict.fromkeys(cell.key.task for cell in cells):
        own = [cell for cell in cells if cell.key.task == name]
        for part in ("training", "held_out") if "held_out" in own[0].result else ("training",):
            found.append(_section(name, part, own))
    return found


def _section(name: str, part: str, own: Sequence[Cell]) -> Section:
    rows = []
    for network in dict.fromkeys(cell.key.optimizer for cell in own):
        results = [cell.result for cell in own if cell.key.optimizer == network]
        figures = [result[part] for result in results]
        errors = np.array([f["mse"] for f in figures])
        bayes = float(np.mean([f["bayes_mse"] for f in figures]))
        accuracies = [f["accuracy"] for f in figures if f["accuracy"] is not None]
        rows.append(
            {
                "network": network,
                "mse": float(np.median(errors)),
                "mse_low": float(errors.min()),
                "mse_high": float(errors.max()),
                "bayes_mse": bayes,
                "ratio": float(np.median(errors)) / bayes,
                "settled_mse": float(np.median([f["settled_mse"] for f in figures])),
                "accuracy": float(np.median(accuracies)) if accuracies else None,
                "accuracy_low": min(accuracies, default=None),
                "accuracy_high": max(accuracies, default=None),
                "bayes_accuracy": float(np.mean([f["bayes_accuracy"] for f in figures]))
                if accuracies
                else None,
                "learned": f"{sum(errors <= LEARNED * bayes)} of {len(errors)}",
                "epochs": results[0]["epochs"],
            }
        )
    rows.sort(key=lambda row: row["mse"])
    columns = {
        "network": Column("network"),
        "mse": Column("mean squared error", "low", 3, ("mse_low", "mse_high")),
        "bayes_mse": Column("Bayes-optimal", digits=3),
        "ratio": Column("ratio", "low", 3),
        "settled_mse": Column("from example 11 on", "low", 2),
        "accuracy": Column("accuracy", "high", 4, ("accuracy_low", "accuracy_high")),
        "bayes_accuracy": Column("Bayes-optimal accuracy", digits=4),
        "learned": Column("learned"),
        "epochs": Column("epochs", digits=4),
    }
    if rows[0]["accuracy"] is None:
        columns = {k: c for k, c in columns.items() if "accuracy" not in k}
    held_out = part == "held_out"
    figure = interval_plot(
        {row["network"]: (row["mse"], row["mse_low"], row["mse_high"]) for row in rows},
        title=f"{name}{', held-out functions' if held_out else ''}: who learns it",
        x_label="mean squared error (the line is the Bayes-optimal predictor)",
        x_log=True,
        level=rows[0]["bayes_mse"],
        highlight=[row["network"] for row in rows if row["ratio"] <= LEARNED],
    )
    return Section(
        f"{name}{': held-out functions' if held_out else ''}",
        prose="Fresh sequences, the state reset at the start of each. Medians over seeds, with the best and "
        "the worst; where functions are held out, every seed has a split of its own. A network has learned "
        f"where its error is at most {LEARNED:g} times the Bayes-optimal predictor's on the same sequences. "
        "An epoch is 100 sequences.",
        rows=rows,
        columns=columns,
        figures=[figure],
    )


SUITE = Suite(
    "in_context",
    1,
    "Function learners: LSTM with and without forget gate, GRU, Elman's and the fully recurrent network on "
    "Boolean, semi-linear and quadratic functions, held-out functions included, beside the Bayes-optimal "
    "predictor.",
    plan,
    sections=sections,
)
