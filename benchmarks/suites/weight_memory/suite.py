"""A weight memory beside the learning algorithms that people use, paired on the same binary problems."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from scipy import stats

from benchmarks.comparison import statistics
from benchmarks.harness.results import Cell, fingerprint
from benchmarks.harness.suite import Job, Key, Load, Request, Suite
from benchmarks.suites.weight_memory import classifiers, perceptrons
from learned_opt import in_context, zoo
from learned_opt.reports import Column, Section, interval_plot

TASK = "xor-4"
NUM_DATASETS = {"quick": 4, "default": 500, "full": 2000}
NUM_TUNING = {"quick": 4, "default": 100, "full": 100}
FIRST_SEED, TUNING_SEED = 1000, 5000
MEMORY, AVERAGED = "weight memory", "weight memory, 16 orders"
NUM_ORDERS = 16
# By name: optimizer, whether each sample is seen once, whether the number of steps is tuned too.
PERCEPTRONS: dict[str, tuple[str, bool, bool]] = {
    f"MLP, {optimizer.upper() if optimizer == 'sgd' else 'Adam'}, {label}": (optimizer, *how)
    for optimizer in ("adam", "sgd")
    for label, how in {
        "one pass": (True, False),
        "to convergence": (False, False),
        "tuned number of steps": (False, True),
    }.items()
}
PROSE = """\
Each data set has 200 samples, of which 20 to 180 are training samples. The loss is the mean cross entropy
over the others, in nats. Differences are paired: how far an algorithm's loss is above the weight memory's
on the same data sets, with a 95 % bootstrap interval and the p-value of a paired t-test. Hyperparameters of
classifiers are chosen by 5-fold cross-validation in each data set; learning rates and numbers of steps are
swept on other data sets."""
NAMES = (MEMORY, AVERAGED, *classifiers.CLASSIFIERS, *PERCEPTRONS)


def plan(request: Request) -> list[Job]:
    jobs = []
    num = NUM_DATASETS[request.size]
    stored = zoo.load("weight-memory")
    for seed in range(FIRST_SEED, FIRST_SEED + (request.seeds or 1)):
        for name in NAMES:
            if request.optimizers and name not in request.optimizers:
                continue
            settings: dict[str, Any] = {"data": str(stored.config.validation_task), "num_datasets": num}
            if name in PERCEPTRONS:
                settings["num_tuning"] = NUM_TUNING[request.size]
            if name in (MEMORY, AVERAGED):
                settings["theta"] = fingerprint(stored)
            key = Key("weight_memory", TASK, name, 0, seed, "losses")
            jobs.append(
                Job(key, settings, functools.partial(_measure, name, seed, num, NUM_TUNING[request.size]))
            )
    return jobs


def _measure(name: str, seed: int, num: int, num_tuning: int, load: Load) -> dict[str, Any]:
    del load
    stored = zoo.load("weight-memory")
    data, num_train = in_context.comparison_datasets(stored, num, seed=seed)
    if name in PERCEPTRONS:
        found = _perceptron(name, seed, num_tuning, stored, data, num_train)
    else:
        found = {"losses": losses(name, stored, data, num_train)}
    return found | {"num_train": num_train}


def losses(name: str, stored: zoo.Stored, data: in_context.Dataset, num_train: jax.Array) -> np.ndarray:
    """The losses of a memory or a classifier on each data set, f[num_datasets]."""
    if name in classifiers.CLASSIFIERS:
        return classifiers.losses(name, *map(np.asarray, (*data, num_train)))
    num_orders = NUM_ORDERS if name == AVERAGED else None
    return np.asarray(
        in_context.memory_losses(stored.model, stored.theta, data, num_train, num_orders=num_orders)
    )


def _perceptron(
    name: str,
    seed: int,
    num_tuning: int,
    stored: zoo.Stored,
    data: in_context.Dataset,
    num_train: jax.Array,
) -> dict[str, Any]:
    optimizer, one_pass, stop_early = PERCEPTRONS[name]
    tuned = perceptrons.best(_sweep(optimizer, one_pass, seed, num_tuning), stop_early)
    key = jax.random.key(seed)
    curves = perceptrons.curves(stored.model, optimizer, one_pass, tuned.learning_rate, key, data, num_train)
    return {"losses": np.asarray(curves)[:, tuned.step], **tuned._asdict()}


@functools.cache
def _sweep(optimizer: str, one_pass: bool, seed: int, num_tuning: int) -> np.ndarray:
    stored = zoo.load("weight-memory")
    others = in_context.comparison_datasets(stored, num_tuning, seed=TUNING_SEED + seed)
    key = jax.random.key(TUNING_SEED + seed)
    return perceptrons.sweep(stored.model, optimizer, one_pass, key, *others)


def rows(losses: Mapping[str, np.ndarray], tuned: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a learning algorithm, the best first: its losses, and how far they are above the memory's."""
    found = []
    for name, values in losses.items():
        row = {"name": name, "loss": float(np.mean(values)), "std": float(np.std(values))}
        if name != MEMORY and MEMORY in losses:
            difference = np.asarray(values) - losses[MEMORY]
            row |= statistics.interval(difference, np.mean).row("difference")
            p = stats.ttest_1samp(difference, 0.0).pvalue  # type: ignore[attr-defined]
            row["p"] = float(p) if np.any(difference) else 1.0
        if name in tuned:
            row |= {key: tuned[name][key] for key in ("learning_rate", "step", "on_edge")}
        found.append(row)
    return sorted(found, key=lambda row: row["loss"])


def sections(cells: Sequence[Cell]) -> list[Section]:
    losses: dict[str, np.ndarray] = {}
    for cell in sorted(cells, key=lambda cell: (cell.key.optimizer, cell.key.seed)):
        name = cell.key.optimizer
        losses[name] = np.append(losses.get(name, np.zeros(0)), cell.result["losses"])
    tuned = {cell.key.optimizer: cell.result for cell in cells if "learning_rate" in cell.result}
    table = rows(losses, tuned)
    spans = {name: statistics.interval(values, np.mean) for name, values in losses.items()}
    figure = interval_plot(
        {name: (s.value, s.low, s.high) for name, s in spans.items()},
        title="Mean cross entropy over the test samples",
        x_label="nats",
        highlight=[name for name in (MEMORY, AVERAGED) if name in losses],
    )
    return [
        Section(
            f"{len(next(iter(losses.values()))):,} data sets",
            prose=PROSE,
            rows=table,
            columns={
                "name": Column("algorithm"),
                "loss": Column("loss", "low"),
                "std": Column("standard deviation", digits=3),
                "difference": Column("above the memory", digits=2, interval=statistics.ends("difference")),
                "p": Column("p", digits=2),
                "learning_rate": Column("learning rate", digits=2),
                "step": Column("step", digits=4),
            },
            figures=[figure],
            captions=["Bars are 95 % bootstrap intervals over data sets."],
        )
    ]


SUITE = Suite(
    "weight_memory",
    1,
    "The LSTM whose cells are the weights of an MLP, beside logistic regression, support vector machines and "
    "the same MLP trained by Adam and SGD, on noisy binary problems that no line separates.",
    plan,
    sections=sections,
)
