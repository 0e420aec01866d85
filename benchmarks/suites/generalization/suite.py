"""The default optimizers on tasks of many kinds that their meta-training has not seen.

Every rule has the same problems, starts and batches. Nothing is tuned for the learned ones.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.harness.suite import Job, Key, Load, Request, Suite
from benchmarks.suites.generalization import clock, measures, rules
from benchmarks.suites.generalization.curves import Curves, log_spaced, measure
from benchmarks.suites.generalization.report import sections
from benchmarks.suites.generalization.results import PART
from benchmarks.suites.generalization.rules import ADAM, FIXED_ADAM, Family
from benchmarks.suites.generalization.tasks import (
    attention,
    conv,
    convex,
    dense,
    embeddings,
    functions,
    generative,
    matrices,
    recurrent,
    regression,
    residual,
    stress,
    velodrome,
)
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.core.types import Task

NAME = "generalization"
KINDS = (
    dense, conv, recurrent, attention, embeddings, convex,
    regression, matrices, residual, functions, generative,
)  # fmt: skip
TRIALS: tuple[Trial, ...] = tuple(trial for kind in KINDS for trial in kind.TRIALS)
QUICK = ("dense-autoencoder", "convex-robust", "matrices-completion", "functions-powell", "stress-spikes")


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a size spends: seeds, and steps as a multiple of each task's own."""

    seeds: int = 3
    times: float = 1.0


BUDGETS = {"quick": Budget(2, 0.2), "default": Budget(), "full": Budget(5, 5.0)}


def plan(request: Request) -> list[Job]:
    budget = BUDGETS[request.size]
    seeds = budget.seeds if request.seeds is None else request.seeds
    families = rules.chosen(request.optimizers)
    planned = []
    for trial in trials(request):
        if not trial.missing:
            for family in competing(trial, families):
                planned += jobs(trial, family, seeds)
            planned += clock.jobs(NAME, trial, families)
        elif trial.name in request.tasks:
            raise ValueError(
                f"{trial.name} needs {', '.join(trial.missing)}: `learned-opt prepare-data` makes it"
            )
    return planned


def trials(request: Request) -> list[Trial]:
    """The tasks of a size; those of VeLOdrome, which take hours, if it is full or they are asked for."""
    published = request.size == "full" or any(task.startswith(velodrome.PREFIX) for task in request.tasks)
    found = [*TRIALS, *stress.TRIALS]
    if request.size == "quick" and not request.tasks:
        found = [trial for trial in found if trial.name in QUICK]
    times = BUDGETS[request.size].times
    found = [dataclasses.replace(trial, steps=round(trial.steps * times)) for trial in found]
    return [*found, *(velodrome.TRIALS if published else ())]


def competing(trial: Trial, families: Sequence[Family]) -> list[Family]:
    """All; under stress the learned rules beside tuned Adam, on published tasks beside Adam at 1e-3."""
    if trial.kind == "stress":
        return [
            f.only([ADAM]) if ADAM in f.numbers else f
            for f in families
            if f.kind == "learned" or ADAM in f.numbers
        ]
    if trial.kind == "velodrome":
        learned = [f for f in families if f.kind == "learned"]
        return [
            rules.ADAM_ALONE,
            *(f.only([name for name in f.numbers if rules.ZERO not in name]) for f in learned),
        ]
    return list(families)


def jobs(trial: Trial, family: Family, seeds: int) -> list[Job]:
    """A cell a rule; the first of a family measures all of them."""
    settings = {
        "kind": family.kind,
        "rule": family.fingerprint,
        "seeds": seeds,
        "nature": trial.nature,
        "summary": trial.summary,
    }

    def job(rule: str, of: str, lane: int | None, kind: str) -> Job:
        key = Key(NAME, trial.name, rule, trial.steps, None, PART)
        run = functools.partial(_cell, trial, family, seeds, of, lane)
        return Job(key, settings | {"kind": kind}, run)

    made = [job(rule, rule, None, family.kind) for rule in family.numbers]
    if ADAM in family.numbers:  # which has 1e-3 among its rates
        lane = int(np.flatnonzero(np.isclose(rules.RATES, 1e-3))[0])
        made.append(job(FIXED_ADAM, ADAM, lane, "untuned"))
    return made


def _cell(
    trial: Trial, family: Family, seeds: int, rule: str, lane: int | None, load: Load
) -> dict[str, Any]:
    """The losses of a rule's best lane, or of a given one."""
    del load
    curves = _measured(trial, family, seeds).of(family.lanes(rule))
    swept = family.kind == "swept" and lane is None
    lane = int(np.argmin(measures.score(curves.train))) if lane is None else lane
    thin = curves if trial.kind != "velodrome" else velodrome.thinned(curves)
    return {
        "steps": thin.steps,
        "train": rounded(thin.train[lane]),
        "test": None if thin.test is None else rounded(thin.test[lane]),
        "final": rounded(thin.train[lane, :, -1]),
        "rate": float(rules.RATES[lane]) if swept else None,
        "on_edge": swept and lane in (0, len(rules.RATES) - 1),
        "by_rate": rounded(curves.train[:, :, -1]) if swept else None,
    }


@functools.lru_cache(maxsize=1)
def _measured(trial: Trial, family: Family, seeds: int) -> Curves:
    published = trial.kind == "velodrome"
    steps = np.arange(0, trial.steps + 1, velodrome.EVERY) if published else log_spaced(trial.steps)
    return measure(family, _task(trial), steps, seeds)


@functools.lru_cache(maxsize=1)
def _task(trial: Trial) -> Task:
    jax.clear_caches()  # the programs of hundreds of tasks and rules are more than a process may map
    return trial.make()


def rounded(losses: np.ndarray) -> np.ndarray:
    """Losses with the five digits that a cell keeps."""
    return np.array([float(f"{loss:.5g}") for loss in losses.ravel()]).reshape(losses.shape)


SUITE = Suite(
    NAME,
    version=1,
    summary="Learned rules that need no learning rate, on tasks of eleven kinds that meta-training has not "
    "seen, solvable and noisy ones, beside tuned and untuned controls, and under stress.",
    plan=plan,
    sections=lambda cells: sections(cells, TRIALS),
    independent=True,
)
