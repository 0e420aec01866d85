"""The race: contenders on tasks, as jobs. Most suites are a list of cases and nothing else."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.comparison import baselines as field
from benchmarks.comparison.baselines import Contender
from benchmarks.comparison.costs import solver_costs, step_costs
from benchmarks.harness.suite import Job, Key, Load, Request, Suite
from learned_opt import optimizers, tasks, training
from learned_opt.core.types import Task
from learned_opt.runs import Column

TUNING_SEED, FIRST_SEED = 1, 1000
DRAWN_STEPS, EXACT_STEPS = 40, 1000  # steps of each problem's curve, and of the mean curve
RATES = (-4.0, 0.0)  # decades of a sweep, before it is extended where the best lies on its edge


@dataclasses.dataclass(frozen=True)
class Case:
    """A task of a suite.

    Attributes:
        name: in tables and files.
        make: makes the task.
        horizons: inner steps at which losses are compared; a cell for each.
        window: a final loss is averaged over this odd number of steps around the horizon.
        summary: one sentence for the report.
        only: names of contenders; all of the suite's that suit the task if empty.
        shift: where the case is another one with a single thing changed: that case's name and the change.
        loss_scale: the optimizers see the loss times this number, tables and figures do not.
    """

    name: str
    make: Callable[[], Task]
    horizons: tuple[int, ...] = (100,)
    window: int = 1
    summary: str = ""
    only: tuple[str, ...] = ()
    shift: tuple[str, str] | None = None
    loss_scale: float = 1.0


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a size of a suite spends on a cell.

    Attributes:
        seeds: cells a contender, task and horizon.
        problems: drawn for each seed.
        tuning_problems: that a learning rate is swept on.
        rates: learning rates a sweep starts with, over four decades.
        chunk: problems run side by side.
    """

    seeds: int = 5
    problems: int = 64
    tuning_problems: int = 64
    rates: int = 13
    chunk: int = 64


def race(
    name: str,
    cases: Callable[[str], Sequence[Case]],
    *,
    version: int,
    summary: str,
    budgets: Mapping[str, Budget],
    contenders: Callable[[str], Sequence[Contender]] = lambda size: tuple(field.FIELD.values()),
    metrics: Mapping[str, Column] | None = None,
) -> Suite:
    """A suite that lets contenders run on tasks.

    Args:
        name: of the suite.
        cases: `cases(size)`, its tasks.
        version: raised when a cell's meaning changes.
        summary: one sentence.
        budgets: by size.
        contenders: `contenders(size)`, who competes unless the command line says otherwise.
        metrics: how the report shows the task's metrics.

    Returns:
        The suite.
    """

    def plan(request: Request) -> list[Job]:
        own = contenders(request.size)
        chosen = [c for n in request.optimizers for c in field.find(n, own)] or list(own)
        budget = budgets[request.size]
        if request.seeds is not None:
            budget = dataclasses.replace(budget, seeds=request.seeds)
        return [job for case in cases(request.size) for job in case_jobs(name, case, chosen, budget)]

    return Suite(name, version, summary, plan, metrics or {})


def case_jobs(suite: str, case: Case, chosen: Sequence[Contender], budget: Budget) -> list[Job]:
    """The cells of one task."""
    chosen = [c for c in chosen if not case.only or c.name in case.only]
    if not chosen:
        return []
    task = _seen(case)
    chosen = [c for c in chosen if c.suits(task)]
    settings = _settings(case, task)
    jobs = []
    for horizon in case.horizons:
        for c in chosen:
            jobs += _contender_jobs(suite, case, task, c, horizon, budget, settings)
    if case.shift is None:
        jobs += [_cost_job(suite, case, task, c, settings) for c in chosen]
    return jobs


def _seen(case: Case) -> Task:
    """The task as the optimizers see it."""
    task, scale = case.make(), case.loss_scale
    if scale == 1.0:
        return task
    if task.smooth is not None or task.prox is not None:
        raise ValueError(f"{case.name}: loss_scale={scale}: a composite objective cannot be scaled")
    return task._replace(loss=lambda params, problem, batch: scale * task.loss(params, problem, batch))


def _contender_jobs(
    suite: str,
    case: Case,
    task: Task,
    c: Contender,
    horizon: int,
    budget: Budget,
    settings: Mapping[str, Any],
) -> list[Job]:
    fixed = {**settings, **_settings_of(c)}
    key = Key(suite, case.name, c.name, horizon, None, "sweep")
    build = _builder(c, task, horizon)
    jobs = []
    if c.kind == "swept":
        sweep_settings = fixed | {"problems": budget.tuning_problems, "rates": budget.rates}
        jobs.append(Job(key, sweep_settings, functools.partial(_sweep, build, task, case, horizon, budget)))
        fixed = fixed | {"sweep": sweep_settings}
    for seed in range(budget.seeds):
        run = functools.partial(_run, c, build, task, case, horizon, budget, seed, key)
        jobs.append(
            Job(
                key._replace(seed=seed, part="race"),
                fixed | {"problems": budget.problems, "chunk": budget.chunk},
                run,
            )
        )
    return jobs


def _settings(case: Case, task: Task) -> dict[str, Any]:
    """What all contenders share: made once a task, since the digest reads all of its data."""
    config = None if task.config is None else tasks.registry.to_json(task.config)
    return {
        "window": case.window,
        "loss_scale": case.loss_scale,
        "task_config": config,
        "data": _digest(task.data),
        "summary": case.summary,
        "shift": case.shift,
    }


def _settings_of(c: Contender) -> dict[str, Any]:
    return {"kind": c.kind, "optimizer": c.fingerprint, "trained_for": c.horizon}


def _builder(c: Contender, task: Task, horizon: int) -> Callable[..., Any]:
    """`rate -> tx`, inside the task's proximal operator where it has one.

    One object a contender, task and horizon, so that jit compiles once for all seeds.
    """
    prox = task.prox

    def build(rate: Any) -> Any:
        if c.kind == "swept":
            tx, step_size = c.build(rate, horizon), rate
        else:
            tx, step_size = c.build(horizon), c.step_size
        if prox is None or step_size is None:
            return tx
        return optimizers.proximal(tx, prox, step_size=step_size)

    return build


def _sweep(
    build: Callable, task: Task, case: Case, horizon: int, budget: Budget, load: Load
) -> dict[str, Any]:
    best = training.tune(
        build,
        task._replace(metrics=None, prox=None),  # the operator is in `build` already
        num_steps=horizon,
        num_problems=budget.tuning_problems,
        learning_rates=np.logspace(*RATES, budget.rates).tolist(),
        seed=TUNING_SEED,
        window=case.window,
    )
    return {
        "learning_rate": best.learning_rate,
        "loss": best.loss / case.loss_scale,
        "on_edge": best.on_edge,
        "learning_rates": best.learning_rates,
        "losses": best.losses / case.loss_scale,
    }


def _run(
    c: Contender,
    build: Callable,
    task: Task,
    case: Case,
    horizon: int,
    budget: Budget,
    seed: int,
    sweep_key: Key,
    load: Load,
) -> dict[str, Any]:
    sweep = load(sweep_key) if c.kind == "swept" else {}
    keys = training.evaluation_keys(FIRST_SEED + seed, budget.problems)
    last = horizon + case.window // 2
    if c.kind == "solver":
        curves, metrics = _solve(c.build, task, last, keys, budget.chunk)
    else:
        rate = sweep.get("learning_rate", 0.0)
        curves, metrics = training.trajectories(build, task, last, rate, keys, chunk=budget.chunk)
    curves = np.asarray(curves) / np.float32(case.loss_scale)
    return {
        "learning_rate": sweep.get("learning_rate"),
        "on_edge": sweep.get("on_edge", False),
        "metrics": {name: np.asarray(values) for name, values in metrics.items()},
        **summary(curves, horizon, case.window),
    }


def summary(curves: np.ndarray, horizon: int, window: int = 1) -> dict[str, Any]:
    """What a cell keeps of loss curves.

    Args:
        curves: f32[problems, steps + 1].
        horizon: the step that counts.
        window: the odd number of steps that losses are averaged over.

    Returns:
        Per problem the first and the final loss, whether all were finite, and the losses at some 40 steps
        that are spread geometrically; the mean over problems at up to 1,000 steps.
    """
    smooth = _averaged(curves, window)
    drawn, exact = (_spread(horizon, n) for n in (DRAWN_STEPS, EXACT_STEPS))
    with np.errstate(invalid="ignore", over="ignore"):
        mean = smooth[:, exact].mean(axis=0)
    return {
        "initial": curves[:, 0],
        "final": training.loss_at(curves, horizon, window).astype(np.float32),
        "finite": np.isfinite(curves).all(axis=1).tolist(),
        "steps": drawn,
        "curves": smooth[:, drawn].astype(np.float32),
        "mean_steps": exact,
        "mean_curve": mean.astype(np.float32),
    }


def _averaged(curves: np.ndarray, window: int) -> np.ndarray:
    """Each loss averaged over the window around it, over less of it near the start."""
    curves = np.asarray(curves, np.float64)
    half, last = window // 2, curves.shape[1] - 1
    if not half:
        return curves
    columns = []
    for step in range(last + 1 - half):
        reach = min(half, step)
        columns.append(curves[:, step - reach : step + reach + 1].mean(axis=1))
    return np.stack(columns, axis=1)


def _spread(horizon: int, number: int) -> np.ndarray:
    """At most about `number` whole steps from 0 to the horizon, spread geometrically."""
    if horizon <= number:
        return np.arange(horizon + 1)
    return np.unique(np.append(0, np.round(np.geomspace(1, horizon, number)).astype(int)))


def _solve(solve: Callable, task: Task, num_steps: int, keys: Any, chunk: int):
    """The losses at a solver's iterates, on the problems that `trajectories` draws from the same keys."""

    def one_problem(key, data):
        sample_key, _, batch_key = jax.random.split(key, 3)
        problem = task.sample(sample_key)
        first = task.batch(jax.random.fold_in(batch_key, 0), problem, data)
        iterates = solve(task, problem, first, num_steps)
        steps = jnp.arange(num_steps + 1)
        losses = jax.vmap(
            lambda p, s: task.loss(p, problem, task.batch(jax.random.fold_in(batch_key, s), problem, data))
        )(iterates, steps)
        last = jax.tree.map(lambda leaf: leaf[-1], iterates)
        return losses, task.metrics(last, problem, data) if task.metrics else {}

    run = jax.jit(
        lambda k, d: jax.lax.map(lambda key: one_problem(key, d), k, batch_size=min(chunk, k.shape[0]))
    )
    return run(keys, task.data)


def _cost_job(suite: str, case: Case, task: Task, c: Contender, settings: Mapping[str, Any]) -> Job:
    horizon = case.horizons[0]

    def run(load: Load) -> dict[str, Any]:
        if c.kind == "solver":
            return solver_costs(c.build, task, num_steps=horizon)
        rate = load(Key(suite, case.name, c.name, horizon, None, "sweep")) if c.kind == "swept" else {}
        build = _builder(c, task, horizon)
        return step_costs(build(rate.get("learning_rate", 0.0)), task, num_steps=horizon)

    key = Key(suite, case.name, c.name, 0, None, "cost")
    return Job(key, {**settings, **_settings_of(c)}, run, timed=True)


def _digest(data: Any) -> str | None:
    """Tells one data set from another, as digits from MNIST."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(data)]
    if not leaves:
        return None
    shapes, sums = tuple(v.shape for v in leaves), tuple(float(v.sum(dtype=np.float64)) for v in leaves)
    return hashlib.sha256(repr((shapes, sums)).encode()).hexdigest()[:12]
