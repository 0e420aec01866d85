"""The meta-objective itself: which weights, which lambda, which order, which truncation."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.comparison import statistics
from benchmarks.comparison.curves import summary
from benchmarks.comparison.statistics import ends
from benchmarks.comparison.suite import FIRST_SEED
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Job, Key, Load, Request, Suite
from learned_opt import meta, optimizers, tasks, training
from learned_opt.core.types import Task
from learned_opt.reports import Column, Section, line_plot

WEIGHTS = ("uniform", "linear", "final")
LAMBDAS = (0.0, 1e-3, 1e-2, 1e-1, 1.0)
TRUNCATIONS = (5, 10, 20, 50, 100)
TASKS: dict[str, Callable[[], Task]] = {
    "quadratic-10": functools.cache(functools.partial(tasks.quadratic, dim=10)),
    "condition-100": functools.cache(functools.partial(tasks.quadratic, dim=10, condition_number=100.0)),
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One meta-objective and how it is differentiated."""

    weights: str = "uniform"
    rate_weight: float = 0.0
    second_order: bool = False
    truncation: int = 20

    @property
    def name(self) -> str:
        order = "second" if self.second_order else "first"
        return f"{self.weights}-lambda{self.rate_weight:g}-{order}-k{self.truncation}"


BASE = Setting()


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a size spends: on meta-training, and on judging what came out."""

    seeds: int
    num_meta_steps: int
    horizon: int = 100
    num_problems: int = 32
    hidden_sizes: tuple[int, ...] = (16,)
    judged_on: int = 128
    tasks: tuple[str, ...] = tuple(TASKS)


BUDGETS = {
    "quick": Budget(1, 40, 20, 16, (8,), 64, ("quadratic-10",)),
    "default": Budget(3, 500),
    "full": Budget(5, 1000),
}


def settings(size: str) -> list[Setting]:
    """The full grid, or by default all weights with all lambdas, and order and truncation by themselves."""
    if size == "full":
        return [
            Setting(*values) for values in itertools.product(WEIGHTS, LAMBDAS, (False, True), TRUNCATIONS)
        ]
    if size == "quick":
        return [
            BASE,
            dataclasses.replace(BASE, rate_weight=1e-2),
            dataclasses.replace(BASE, rate_weight=1.0),
            dataclasses.replace(BASE, second_order=True),
        ]
    found = [Setting(w, rate, order) for w in WEIGHTS for rate in LAMBDAS for order in (False, True)]
    found += [dataclasses.replace(BASE, truncation=k) for k in TRUNCATIONS]
    found += [dataclasses.replace(BASE, truncation=k, second_order=True) for k in TRUNCATIONS]
    return list(dict.fromkeys(found))


def plan(request: Request) -> list[Job]:
    request.without_optimizers("objective", "meta-trains its own optimizers")
    budget = BUDGETS[request.size]
    jobs = []
    for task, setting in itertools.product(budget.tasks, settings(request.size)):
        for seed in range(request.seeds or budget.seeds):
            key = Key("objective", task, setting.name, budget.horizon, seed, "meta-training")
            recorded = {"setting": dataclasses.asdict(setting)} | {
                k: v for k, v in dataclasses.asdict(budget).items() if k not in ("seeds", "tasks")
            }
            jobs.append(Job(key, recorded, functools.partial(_run, TASKS[task], setting, budget, seed)))
    return jobs


def _run(make: Callable[[], Task], setting: Setting, budget: Budget, seed: int, load: Load) -> dict[str, Any]:
    lopt, task = optimizers.lstm(hidden_sizes=budget.hidden_sizes, inputs="normalized_and_size"), make()
    result = {"diverged": False}
    try:
        run = meta.meta_train(
            lopt,
            task,
            quiet=True,
            seed=seed,
            horizon=budget.horizon,
            num_meta_steps=budget.num_meta_steps,
            num_problems=budget.num_problems,
            learning_rate=1e-2,
            clip_norm=0.1,
            problem_clip_norm=10.0,
            validate_every=max(budget.num_meta_steps // 5, 1),
            num_validation_problems=budget.judged_on,
            **dataclasses.asdict(setting),
        )
        theta, rows = run.theta, run.metrics
    except FloatingPointError:
        # Never a finite validation loss: a result, and not a failure of the suite.
        theta, rows = lopt.init(jax.random.key(seed)), []
        result["diverged"] = True
    keys = training.evaluation_keys(FIRST_SEED + seed, budget.judged_on)
    curves = np.asarray(training.trajectories(lopt.build, task, budget.horizon, theta, keys)[0])
    rates = jax.jit(jax.vmap(training.convergence_rate()))(curves)
    if result["diverged"]:
        curves = np.full_like(curves, np.inf)
    norms = [row["gradient_norm"] for row in rows if row["gradient_norm"] is not None]
    return result | {
        "rates": np.asarray(rates),
        "skipped": rows[-1]["skipped"] if rows else budget.num_meta_steps,
        "gradient_norm": max(norms) if norms else None,
        "best_over_last": rows[-1]["validation_loss"] / rows[-1]["best_loss"] if rows else None,
        **summary(curves, budget.horizon),
    }


def sections(cells: Sequence[Cell]) -> list[Section]:
    found = []
    for task in dict.fromkeys(cell.key.task for cell in cells):
        own = [cell for cell in cells if cell.key.task == task]
        found.append(_section(task, _rows(own)))
    return found


def _rows(own: Sequence[Cell]) -> list[dict[str, Any]]:
    groups: dict[str, list[Cell]] = {}
    for cell in own:
        groups.setdefault(cell.key.optimizer, []).append(cell)
    rows = []
    for group in groups.values():
        results = [cell.result for cell in group]
        loss = statistics.interval(np.concatenate([r["final"] for r in results]))
        rate = statistics.interval(np.concatenate([r["rates"] for r in results]), np.mean)
        by_seed = [float(statistics.iqm(np.asarray(r["final"]))) for r in results]
        norms = [r["gradient_norm"] for r in results if r["gradient_norm"] is not None]
        rows.append(
            {
                **group[0].settings["setting"],
                "order": "second" if group[0].settings["setting"]["second_order"] else "first",
                **loss.row("loss"),
                **rate.row("rate"),
                "spread": max(by_seed) / min(by_seed) if len(by_seed) > 1 and min(by_seed) > 0 else None,
                "skipped": int(sum(r["skipped"] for r in results)),
                "norm": max(norms) if norms else None,
                "failed": sum(bool(r["diverged"]) for r in results),
            }
        )
    return sorted(rows, key=lambda row: (row["weights"], row["order"], row["truncation"], row["rate_weight"]))


def verdicts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One sentence a lambda beside none, with all else equal: whether the rate term helped."""

    def rest(row: dict[str, Any]) -> tuple[Any, ...]:
        return (row["weights"], row["order"], row["truncation"])

    without = {rest(row): row for row in rows if row["rate_weight"] == 0}
    helped, hurt, neither = [], [], 0
    for row in rows:
        base = without.get(rest(row))
        if base is None or row["rate_weight"] == 0:
            continue
        text = (
            f"lambda {row['rate_weight']:g} ({row['weights']}, {row['order']} order, truncation "
            f"{row['truncation']}): {row['loss'] / base['loss']:.3g}x"
        )
        if row["loss_high"] < base["loss_low"]:
            helped.append(text)
        elif row["loss_low"] > base["loss_high"]:
            hurt.append(text)
        else:
            neither += 1
    return [
        "The rate term lowers the final loss, with intervals apart, "
        + (f"in {len(helped)} settings: {'; '.join(helped)}." if helped else "in no setting."),
        f"It raises it in {len(hurt)}" + (f": {'; '.join(hurt)}." if hurt else "."),
        f"In {neither} the intervals overlap.",
    ]


def _section(task: str, rows: list[dict[str, Any]]) -> Section:
    figures, captions = [], []
    for x, label in (("rate_weight", "lambda"), ("truncation", "truncation")):
        lines = _lines(rows, x)
        if lines:
            figures.append(
                line_plot(
                    lines,
                    title=f"{task}: final loss against {label}",
                    x_label=label + (" (0 at the left end)" if x == "rate_weight" else ""),
                    y_label="final loss (IQM)",
                    log="xy",
                    highlight=[name for name in lines if "first" in name],
                )
            )
            captions.append("Bands are 95 % bootstrap intervals over problems and meta-training seeds.")
    return Section(
        task,
        prose="\n\n".join(
            [
                *verdicts(rows),
                "The measured rate is the mean order of convergence of the losses, 1 for geometric decay. "
                "The spread is the worst seed's loss over the best one's; skipped are meta-steps whose "
                "gradient was not finite; failed are runs whose validation loss was never finite.",
            ]
        ),
        rows=rows,
        columns={
            "weights": Column("weights"),
            "rate_weight": Column("lambda", digits=2),
            "order": Column("order"),
            "truncation": Column("truncation"),
            "loss": Column("final loss (IQM)", "low", 3, ends("loss")),
            "rate": Column("measured rate", digits=3, interval=ends("rate")),
            "spread": Column("spread", digits=3),
            "norm": Column("largest gradient norm", digits=3),
            "skipped": Column("skipped"),
            "failed": Column("failed"),
        },
        figures=figures,
        captions=captions,
    )


def _lines(rows: Sequence[dict[str, Any]], x: str) -> dict[str, np.ndarray]:
    """Final loss against one of a setting's numbers, a line for each choice of the others."""
    fixed = {"rate_weight": "truncation", "truncation": "rate_weight"}[x]
    base = getattr(BASE, fixed)
    groups: dict[str, list[tuple[float, float, float, float]]] = {}
    for row in sorted(rows, key=lambda row: row[x]):
        if row[fixed] == base:
            # Zero has no place on a logarithmic axis: half a decade left of the smallest lambda.
            x_value = 3e-4 if x == "rate_weight" and row[x] == 0 else row[x]
            groups.setdefault(f"{row['weights']}, {row['order']}", []).append(
                (x_value, row["loss"], row["loss_low"], row["loss_high"])
            )
    return {name: np.array(points).T for name, points in groups.items() if len(points) > 1}


SUITE = Suite(
    "objective",
    1,
    "The meta-objective: uniform, linear and final weights, lambda of the convergence rate from 0 to 1, "
    "first and second order, truncations of 5 to 100 steps, by what LSTMs meta-trained with them reach.",
    plan,
    sections=sections,
)
