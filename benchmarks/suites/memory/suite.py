"""Does memory help an optimizer? DNCs and averaging cells beside LSTMs of as many meta-parameters."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.comparison import ensembles, statistics
from benchmarks.comparison.costs import ADAM, count, interleaved
from benchmarks.comparison.statistics import ends, median_and_range
from benchmarks.comparison.suite import FIRST_SEED
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Job, Key, Load, Request, Suite
from learned_opt import optimizers, tasks, training
from learned_opt.core.types import LearnedOptimizer, Task
from learned_opt.meta import Settings
from learned_opt.reports import Column, Section
from learned_opt.training.estimators import Bptt

HORIZON, COORDINATES = 100, 10_000
SEEN = "normalized_and_size"
RULES: dict[str, Callable[[], LearnedOptimizer]] = {
    "lstm-34": functools.partial(optimizers.lstm, (34,), SEEN),
    "lstm-20-20": functools.partial(optimizers.lstm, (20, 20), SEEN),
    "averaging-20-20": functools.partial(optimizers.averaging_lstm, (20, 20), 5, SEEN),
    "dnc-tensor": functools.partial(optimizers.dnc, "tensor", hidden_size=30, inputs=SEEN),
    "dnc-coordinate": functools.partial(optimizers.dnc, "coordinate", hidden_size=30, inputs=SEEN),
}
QUADRATIC = functools.partial(tasks.quadratic, dim=10)


@dataclasses.dataclass(frozen=True)
class On:
    """A task that rules are meta-trained on, and those that they are judged on."""

    task: Callable[[], Task]
    judged: Mapping[str, Callable[[], Task]]
    num_problems: int = 16
    judged_on: int = 128
    metric: str | None = None  # judged by in place of the loss
    times: float = 1.0  # as many meta-steps as on the others
    window: int = 1  # the loss is averaged over this odd number of steps


LASSO = functools.partial(tasks.sparse_coding, optimum_steps=2000)
MNIST = functools.partial(tasks.classification, "mnist", num_components=24, hidden_sizes=(16,))
TASKS: dict[str, On] = {
    "quadratics": On(
        functools.partial(QUADRATIC, condition_number=1e3),
        {f"condition-1e{k}": functools.partial(QUADRATIC, condition_number=10.0**k) for k in (2, 3, 4, 5)},
    ),
    "sparse-coding": On(LASSO, {"lasso-25x50": LASSO}, num_problems=8, metric="gap"),
    "mnist": On(MNIST, {"mnist-24": MNIST}, num_problems=2, judged_on=32, times=0.5, window=9),
}
BUDGETS = {
    "quick": (1, 10, ("quadratics",)),
    "default": (3, 500, tuple(TASKS)),
    "full": (5, 3000, tuple(TASKS)),
}
PROSE = f"""\
All rules have about 5,100 meta-parameters, the same recipe, and see the same problems, seed by seed. Losses
are interquartile means over fresh problems after {HORIZON} steps, beside the first ones; on sparse coding
they are relative gaps to the optimum. At equal time: after as many steps as a rule makes in the time of
{HORIZON} steps of the LSTM of one layer, by the time of an update of {COORDINATES:,} coordinates. Medians
over meta-training seeds, with the least and the greatest. In bold: the lowest of what is judged on."""


def plan(request: Request) -> list[Job]:
    request.without_optimizers("memory", "meta-trains its own optimizers")
    seeds, num_meta_steps, names = BUDGETS[request.size]
    seeds = request.seeds or seeds
    jobs = []
    for name in names:
        on = TASKS[name]
        steps = round(on.times * num_meta_steps)
        for rule in RULES:
            key = Key("memory", name, rule, HORIZON, None, "meta-training")
            settings = {"seeds": seeds, "num_meta_steps": steps, "num_problems": on.num_problems}
            jobs.append(Job(key, settings, functools.partial(_run, on, rule, seeds, steps), timed=True))
    return jobs


def _run(on: On, rule: str, seeds: int, num_meta_steps: int, load: Load) -> dict[str, Any]:
    del load
    lopt = RULES[rule]()
    estimator = Bptt(
        horizon=HORIZON,
        truncation=20,
        num_problems=on.num_problems,
        problem_clip_norm=10.0,
        log_floor=1e-5 if on.metric is None else None,
    )
    settings = Settings(estimator=estimator, num_meta_steps=num_meta_steps, learning_rate=5e-3, clip_norm=0.1)
    trained = ensembles.train(lopt, on.task(), settings, [0.0], seeds)
    thetas = [jax.tree.map(lambda leaf, at=seed: leaf[0, at], trained.theta) for seed in range(seeds)]
    own, first, adam = _update_seconds(lopt, thetas[0])
    steps = max(1, min(HORIZON, round(HORIZON * first / own)))
    return {
        "meta_parameters": count(thetas[0]),
        "over_lstm": own / first,
        "over_adam": own / adam,
        "steps_of_equal_time": steps,
        "judged": {
            name: [_judge(on, lopt, task(), theta, seed, steps) for seed, theta in enumerate(thetas)]
            for name, task in on.judged.items()
        },
    }


def _update_seconds(lopt: LearnedOptimizer, theta: Any) -> list[float]:
    """Of an update of many coordinates: with a rule, the LSTM of one layer, and Adam."""
    reference = RULES["lstm-34"]()
    grads = jax.random.normal(jax.random.key(0), (COORDINATES,))
    calls = []
    for tx in (lopt.build(theta), reference.build(reference.init(jax.random.key(0))), ADAM):
        update, state = jax.jit(tx.update), jax.jit(tx.init)(grads)
        calls.append(functools.partial(update, grads, state, grads))
    return interleaved(calls)


def _judge(on: On, lopt: LearnedOptimizer, task: Task, theta: Any, seed: int, steps: int) -> dict[str, float]:
    """Losses on fresh problems, the same for all rules: at first, at the end, and at equal time."""
    keys = training.evaluation_keys(FIRST_SEED + seed, on.judged_on)
    figures = {}
    for name, at in (("loss", HORIZON), ("equal_time", steps)):
        last = at + on.window // 2
        curves, metrics = training.trajectories(lopt.build, task, last, theta, keys)
        final = metrics[on.metric] if on.metric else training.loss_at(np.asarray(curves), at, on.window)
        figures[name] = float(statistics.iqm(np.asarray(final)))
        figures["first"] = float(statistics.iqm(np.asarray(curves)[:, 0]))
    return figures


def sections(cells: Sequence[Cell]) -> list[Section]:
    """A table for each task."""
    found = []
    for name in TASKS:
        own = [c for rule in RULES for c in cells if (c.key.task, c.key.optimizer) == (name, rule)]
        if own:
            shown = {k: c for k, c in COLUMNS.items() if k != "task" or len(TASKS[name].judged) > 1}
            found.append(Section(name, prose=PROSE, rows=rows(own), columns=shown))
    return found


def rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """A row for each task that is judged on and each rule."""
    found = []
    for task in dict.fromkeys(task for cell in cells for task in cell.result["judged"]):
        for cell in cells:
            judged = cell.result["judged"][task]
            row = {
                name: np.array([seed[name] for seed in judged]) for name in ("loss", "equal_time", "first")
            }
            found.append(
                {
                    "task": task,
                    "ranked_with": task,
                    "optimizer": cell.key.optimizer,
                    "meta_parameters": cell.result["meta_parameters"],
                    "first": float(np.median(row["first"])),
                    **median_and_range(row["loss"]).row("loss"),
                    **median_and_range(row["equal_time"]).row("equal_time"),
                    "over_lstm": cell.result["over_lstm"],
                    "over_adam": cell.result["over_adam"],
                    "seeds": len(judged),
                }
            )
    return found


COLUMNS: Mapping[str, Column] = {
    "task": Column("judged on"),
    "optimizer": Column("optimizer"),
    "meta_parameters": Column("meta-parameters"),
    "first": Column("first loss", digits=3),
    "loss": Column("last loss", "low", 3, interval=ends("loss")),
    "equal_time": Column("at equal time", "low", 3, interval=ends("equal_time")),
    "over_lstm": Column("update, x lstm-34", digits=3),
    "over_adam": Column("x Adam", digits=3),
}

SUITE = Suite(
    "memory",
    2,
    "Optimizers with memory, DNCs and averaging cells, beside LSTMs of as many meta-parameters, meta-trained "
    "alike on quadratics, sparse coding and MNIST.",
    plan,
    sections=sections,
)
