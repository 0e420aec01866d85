"""The same curves against the clock: what a step of each rule takes, the gradient included."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.comparison.costs import interleaved
from benchmarks.comparison.panels import curve_panels
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Job, Key, Load
from benchmarks.suites.generalization import results
from benchmarks.suites.generalization.curves import FIRST_SEED
from benchmarks.suites.generalization.results import Outcome, Outcomes
from benchmarks.suites.generalization.rules import ADAM, Family
from benchmarks.suites.generalization.tasks.trial import Trial, at
from learned_opt import training
from learned_opt.core.types import Task
from learned_opt.reports import Column, Section
from learned_opt.training.evaluate import draw_problems

PART, RULES = "seconds", "all rules"
TIMED = ("dense-mnist", "dense-wide", "conv-fashion", "recurrent-characters", "attention-characters")
STEPS = 20  # of one compiled call


def jobs(suite: str, trial: Trial, families: Sequence[Family]) -> list[Job]:
    """A cell for all rules of a task, which are timed in turns."""
    if trial.name not in TIMED:
        return []
    key = Key(suite, trial.name, RULES, trial.steps, None, PART)
    settings = {"rules": [family.fingerprint for family in families]}
    return [Job(key, settings, functools.partial(_seconds, trial, families), timed=True)]


def _seconds(trial: Trial, families: Sequence[Family], load: Load) -> dict[str, Any]:
    """Seconds of a step, by rule; those of a family differ in numbers only and take the same time."""
    del load
    task = trial.make()
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        seconds = interleaved([_steps(task, family, trial.steps) for family in families])
    return {
        "seconds": {
            rule: spent / STEPS
            for family, spent in zip(families, seconds, strict=True)
            for rule in family.numbers
        }
    }


def _steps(task: Task, family: Family, num_steps: int) -> Callable[[], Any]:
    """Some steps of a family's first lane in one program that keeps its state in place."""
    numbers = jax.tree.map(
        lambda leaf: jnp.asarray(leaf[0], jnp.float32), next(iter(family.numbers.values()))
    )
    bare = task._replace(data=(), config=None)
    draws = draw_problems(bare, training.evaluation_keys(FIRST_SEED, 1))
    problem, params, batch_key = jax.tree.map(lambda leaf: leaf[0], draws)

    tx = family.build(numbers, num_steps)

    def advance(data: Any, state: training.InnerState) -> training.InnerState:
        def step(_, state: training.InnerState) -> training.InnerState:
            return training.unroll(tx, bare, batch_key, at(problem, state.step), data, state, 1)[0]

        return jax.lax.fori_loop(0, STEPS, step, state)

    run = jax.jit(advance, donate_argnums=1)
    state = jax.jit(lambda p: training.InnerState(p, tx.init(p), jnp.zeros([], jnp.int32)))(params)

    def call() -> training.InnerState:
        nonlocal state
        state = run(task.data, state)
        return state

    return call


def section(found: Outcomes, timed: Sequence[Cell], shown: Sequence[str]) -> Section:
    """Losses over seconds, and speed-ups over tuned Adam in steps and in time."""
    rows, panels = [], {}
    for cell in timed:
        group = found.get((cell.key.task, cell.key.horizon), {})
        seconds = cell.result["seconds"]
        rules = [rule for rule in (*shown, ADAM) if rule in group and rule in seconds]
        if ADAM not in rules:
            continue
        panels[cell.key.task] = {rule: _over_time(group[rule], seconds[rule]) for rule in rules}
        for rule in rules:
            ratio = seconds[rule] / seconds[ADAM]
            row = {"task": cell.key.task, "rule": rule, "step": 1e3 * seconds[rule], "ratio": ratio}
            row["ranked_with"] = cell.key.task
            if rule != ADAM:
                speed = float(np.median(group[rule].speed_ups(group[ADAM])))
                row |= {"speed": speed, "time_speed": speed / ratio}
            rows.append(row)
    figures = []
    if panels:
        figures.append(
            curve_panels(panels, title="Against the clock", x_label="seconds", highlight=shown[:-1])
        )
    return Section(
        "Against the clock",
        prose="The same losses over the seconds that the steps take, gradients included, one run alone on "
        "the machine. Batches are small here; what a rule costs does not grow with them, what a gradient "
        "costs does. In bold: the highest of each task.",
        rows=rows,
        columns={
            "task": Column("task"),
            "rule": Column("rule"),
            "step": Column("a step, ms", digits=3),
            "ratio": Column("x Adam's", digits=3),
            "speed": Column("speed-up in steps", "high", 3),
            "time_speed": Column("in time", "high", 3),
        },
        figures=figures,
        captions=["Medians over seeds, bands from the least to the greatest."] * len(figures),
    )


def _over_time(outcome: Outcome, seconds: float) -> np.ndarray:
    table = results.band(outcome)
    table[0] *= seconds
    return table
