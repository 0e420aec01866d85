"""A suite that compares optimizers on tasks: a list of cases and nothing else."""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.comparison import baselines
from benchmarks.comparison.aggregates import PART
from benchmarks.comparison.baselines import BASELINES, Optimizer
from benchmarks.comparison.costs import solver_costs, step_costs
from benchmarks.comparison.curves import solver_curves, staged_curves, summary
from benchmarks.harness.suite import Job, Key, Load, Request, Suite
from learned_opt import tasks, training
from learned_opt.core.types import Task
from learned_opt.optimizers import proximal
from learned_opt.reports import Column

TUNING_SEED, FIRST_SEED = 1, 1000
RATES = (-4.0, 0.0)  # decades of a sweep, before it is extended where the best lies on its edge


@dataclasses.dataclass(frozen=True)
class Case:
    """A task of a suite."""

    name: str
    make: Callable[[], Task]
    horizons: tuple[int, ...] = (100,)  # inner steps at which losses are compared; a cell for each
    window: int = 1  # final losses are averaged over this odd number of steps around the horizon
    summary: str = ""
    only: tuple[str, ...] = ()  # names of optimizers; all of the suite's that suit the task if empty
    shift: tuple[str, str] | None = None  # from which case, and the one thing changed
    loss_scale: float = 1.0  # the optimizers see the loss times this, tables and figures do not
    # Shares of the horizon and what is trained on in them, one after the other, in place of `make`'s task.
    # A loss is that of its stage; metrics are those of `make`'s task. For optimizers without a sweep.
    stages: tuple[tuple[float, Callable[[], Task]], ...] = ()


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a size of a suite spends on a cell."""

    seeds: int = 5  # cells an optimizer, task and horizon
    problems: int = 64  # drawn for each seed
    tuning_problems: int = 64  # that a learning rate is swept on
    rates: int = 13  # that a sweep starts with, over four decades
    chunk: int = 64  # problems run side by side
    costs: bool = True  # whether the time and the state of a step are measured


def comparison(
    name: str,
    cases: Callable[[str], Sequence[Case]],
    *,
    version: int,
    summary: str,
    budgets: Mapping[str, Budget],
    optimizers: Callable[[str], Sequence[Optimizer]] = lambda size: tuple(BASELINES.values()),
    metrics: Mapping[str, Column] | None = None,
    independent: bool = False,
) -> Suite:
    """A suite of the tasks `cases(size)`; `version` is raised when the meaning of a cell changes.

    Tasks run side by side if they are `independent`, which pays where each takes long to compile.
    """

    def plan(request: Request) -> list[Job]:
        own = optimizers(request.size)
        chosen = [c for n in request.optimizers for c in baselines.find(n, own)] or list(own)
        budget = budgets[request.size]
        if request.seeds is not None:
            budget = dataclasses.replace(budget, seeds=request.seeds)
        return [job for case in cases(request.size) for job in case_jobs(name, case, chosen, budget)]

    return Suite(name, version, summary, plan, metrics or {}, independent=independent)


def case_jobs(suite: str, case: Case, chosen: Sequence[Optimizer], budget: Budget) -> list[Job]:
    """The cells of one task."""
    chosen = [c for c in chosen if not case.only or c.name in case.only]
    if not chosen:
        return []
    task = _seen(case)
    chosen = [c for c in chosen if c.suits(task)]
    if case.stages:
        _check_stages(case, task, chosen)
    shared = _settings(case, task)
    entries = [_Entry(suite, case, task, c, budget, shared | _settings_of(c)) for c in chosen]
    jobs = [job for horizon in case.horizons for entry in entries for job in entry.jobs(horizon)]
    measured = budget.costs and case.shift is None
    return jobs + ([entry.cost() for entry in entries] if measured else [])


def _check_stages(case: Case, task: Task, chosen: Sequence[Optimizer]) -> None:
    shares = [share for share, _ in case.stages]
    if min(shares) <= 0 or not math.isclose(sum(shares), 1):
        raise ValueError(f"{case.name}: stages have shares {shares} of the horizon; they are to sum to 1")
    if case.loss_scale != 1 or task.prox is not None:
        raise ValueError(f"{case.name}: stages go with no loss_scale, and with no proximal operator")
    for c in chosen:
        if c.kind in ("swept", "solver"):
            raise ValueError(
                f"{case.name}: {c.name} is a {c.kind} one, and stages are not for these; use `only`"
            )


def _seen(case: Case) -> Task:
    """The task as the optimizers see it."""
    task, scale = case.make(), case.loss_scale
    if scale == 1.0:
        return task
    if task.smooth is not None or task.prox is not None:
        raise ValueError(f"{case.name}: loss_scale={scale}: a composite objective cannot be scaled")
    return task._replace(loss=lambda params, problem, batch: scale * task.loss(params, problem, batch))


@dataclasses.dataclass(frozen=True)
class _Entry:
    """An optimizer on a case; what makes its cells."""

    suite: str
    case: Case
    task: Task
    optimizer: Optimizer
    budget: Budget
    settings: Mapping[str, Any]

    def key(self, horizon: int, part: str, seed: int | None = None) -> Key:
        return Key(self.suite, self.case.name, self.optimizer.name, horizon, seed, part)

    def jobs(self, horizon: int) -> list[Job]:
        """The sweep, where there is one, and a cell a seed."""
        build, budget, fixed = self.build(horizon), self.budget, self.settings
        jobs = []
        if self.optimizer.kind == "swept":
            swept = {**fixed, "problems": budget.tuning_problems, "rates": budget.rates}
            run = functools.partial(self.sweep, build, horizon)
            jobs.append(Job(self.key(horizon, "sweep"), swept, run))
            fixed = {**fixed, "sweep": swept}
        fixed = {**fixed, "problems": budget.problems, "chunk": budget.chunk}
        for seed in range(budget.seeds):
            run = functools.partial(self.run, build, horizon, seed)
            jobs.append(Job(self.key(horizon, PART, seed), fixed, run))
        return jobs

    def build(self, horizon: int) -> Callable[..., Any]:
        """`rate -> tx`, inside the task's proximal operator; one object a horizon: jit compiles once."""
        c, prox = self.optimizer, self.task.prox

        def build(rate: Any) -> Any:
            if c.kind == "swept":
                tx, step_size = c.build(rate, horizon), rate
            else:
                tx, step_size = c.build(horizon), c.step_size
            if prox is None or step_size is None:
                return tx
            return proximal(tx, prox, step_size=step_size)

        return build

    def sweep(self, build: Callable[..., Any], horizon: int, load: Load) -> dict[str, Any]:
        best = training.tune(
            build,
            self.task._replace(metrics=None, prox=None),  # the operator is in `build` already
            num_steps=horizon,
            num_problems=self.budget.tuning_problems,
            learning_rates=np.logspace(*RATES, self.budget.rates).tolist(),
            seed=TUNING_SEED,
            window=self.case.window,
        )
        scale = self.case.loss_scale
        return best._asdict() | {"loss": best.loss / scale, "losses": best.losses / scale}

    def run(self, build: Callable[..., Any], horizon: int, seed: int, load: Load) -> dict[str, Any]:
        c, case, chunk = self.optimizer, self.case, self.budget.chunk
        sweep = self.swept(horizon, load)
        keys = training.evaluation_keys(FIRST_SEED + seed, self.budget.problems)
        last = horizon + case.window // 2
        if c.kind == "solver":
            curves, metrics = solver_curves(c.build, self.task, last, keys, chunk)
        elif case.stages:
            curves, metrics = staged_curves(build(0.0), self.task, case.stages, last, keys, chunk)
        else:
            rate = sweep.get("learning_rate", 0.0)
            curves, metrics = training.trajectories(build, self.task, last, rate, keys, chunk=chunk)
        curves = np.asarray(curves) / np.float32(case.loss_scale)
        return {
            "learning_rate": sweep.get("learning_rate"),
            "on_edge": sweep.get("on_edge", False),
            "metrics": {name: np.asarray(values) for name, values in metrics.items()},
            **summary(curves, horizon, case.window),
        }

    def swept(self, horizon: int, load: Load) -> dict[str, Any]:
        return load(self.key(horizon, "sweep")) if self.optimizer.kind == "swept" else {}

    def cost(self) -> Job:
        """The cell of a step's cost, at the first horizon."""
        horizon = self.case.horizons[0]

        def run(load: Load) -> dict[str, Any]:
            if self.optimizer.kind == "solver":
                return solver_costs(self.optimizer.build, self.task, num_steps=horizon)
            rate = self.swept(horizon, load).get("learning_rate", 0.0)
            return step_costs(self.build(horizon)(rate), self.task, num_steps=horizon)

        return Job(self.key(0, "cost"), self.settings, run, timed=True)


def _settings(case: Case, task: Task) -> dict[str, Any]:
    """What all optimizers share: made once a task, since the digest reads all of its data."""
    stages = [(share, _config(make())) for share, make in case.stages]
    return {
        "window": case.window,
        "loss_scale": case.loss_scale,
        "task_config": _config(task),
        "data": _digest(task.data),
        "summary": case.summary,
        "shift": case.shift,
    } | ({"stages": stages} if stages else {})


def _config(task: Task) -> Any:
    return None if task.config is None else tasks.registry.to_json(task.config)


def _settings_of(c: Optimizer) -> dict[str, Any]:
    return {"kind": c.kind, "optimizer": c.fingerprint, "trained_for": c.horizon}


def _digest(data: Any) -> str | None:
    """Tells one data set from another, as digits from MNIST."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(data)]
    if not leaves:
        return None
    shapes, sums = tuple(v.shape for v in leaves), tuple(float(v.sum(dtype=np.float64)) for v in leaves)
    return hashlib.sha256(repr((shapes, sums)).encode()).hexdigest()[:12]
