"""The meta-objective itself: what lambda, the weight of the convergence rate, does to what is learned."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from scipy import stats

from benchmarks.comparison import ensembles, statistics
from benchmarks.comparison.statistics import Interval, ends
from benchmarks.comparison.suite import FIRST_SEED
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Job, Key, Load, Request, Suite
from learned_opt import optimizers, tasks, training
from learned_opt.core.types import LearnedOptimizer, Task
from learned_opt.meta import Settings
from learned_opt.reports import Column, Section, line_plot
from learned_opt.training.estimators import Bptt

LAMBDAS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
LOG_FLOOR = 1e-5  # of the losses of quadratics, which differ by many decades


@dataclasses.dataclass(frozen=True)
class Setting:
    """A meta-objective but for lambda, and how it is differentiated."""

    weights: Literal["uniform", "linear", "final"]
    logarithms: bool = False  # whether the weighted sum is of the logarithms of the losses
    second_order: bool = False
    truncation: int = 20

    @property
    def name(self) -> str:
        logarithms = ", logarithms" if self.logarithms else ""
        order = "second" if self.second_order else "first"
        return f"{self.weights}{logarithms}, {order} order, truncation {self.truncation}"


UNIFORM, LINEAR = Setting("uniform"), Setting("linear", second_order=True)
LOGARITHMS = dataclasses.replace(LINEAR, logarithms=True)


@dataclasses.dataclass(frozen=True)
class On:
    """A task, the optimizer that is trained on it, and how it is judged."""

    task: Callable[[], Task]
    lopt: Callable[[], LearnedOptimizer]
    settings: tuple[Setting, ...]
    num_problems: int = 16
    judged_on: int = 128
    window: int = 1  # the final loss is averaged over this odd number of steps
    metric: str | None = None  # of the task, that is judged by; the final loss by default
    times: float = 1.0  # as many meta-steps as on the others
    horizon: int = 100


def lstm() -> LearnedOptimizer:
    return optimizers.lstm(hidden_sizes=(8,), inputs="normalized_and_size")


def proximal_lstm() -> LearnedOptimizer:
    return optimizers.registry.get("proximal_lstm")(hidden_sizes=(8,)).make()


QUADRATICS = (UNIFORM, LINEAR, LOGARITHMS)
# A loss on the LASSO is nearly all in its optimum, on which no optimizer has an influence.
TASKS: dict[str, On] = {
    "quadratic-10": On(functools.partial(tasks.quadratic, dim=10), lstm, QUADRATICS),
    "condition-100": On(functools.partial(tasks.quadratic, dim=10, condition_number=100.0), lstm, QUADRATICS),
    "mnist-24": On(
        functools.partial(tasks.classification, "mnist", num_components=24, hidden_sizes=(16,)),
        lstm,
        (UNIFORM, LINEAR),
        num_problems=2,
        judged_on=32,
        window=9,
        times=0.5,
    ),
    "lasso-25x50": On(
        functools.partial(tasks.sparse_coding, optimum_steps=2000),
        proximal_lstm,
        (UNIFORM, LINEAR),
        num_problems=8,
        metric="gap",
        horizon=40,
    ),
}


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a size spends on meta-training."""

    seeds: int
    num_meta_steps: int
    lambdas: tuple[float, ...] = LAMBDAS
    tasks: tuple[str, ...] = tuple(TASKS)
    settings: tuple[Setting, ...] = ()  # those of the task if empty


GRID = tuple(
    Setting(weights, logarithms, order, truncation)
    for weights, logarithms, order, truncation in itertools.product(
        ("uniform", "linear", "final"), (False, True), (False, True), (10, 20)
    )
)
BUDGETS = {
    "quick": Budget(2, 20, (0.0, 1e-2), ("quadratic-10",), (UNIFORM,)),
    "default": Budget(5, 400),
    "full": Budget(10, 1000, settings=GRID),
}
PROSE = """\
Seeds of a row and the one without the rate begin with the same meta-parameters and see the same problems.
The ratio is of the final losses (interquartile means over problems; on the LASSO, of the relative gaps to
the optimum), its geometric mean over seeds with a paired 95 % interval (Student's, of the logarithms). The
rate is the mean order of convergence of the losses, 1 for geometric decay. The spread is the worst seed's
loss over the best one's. The gradient norm is that of the meta-gradient before clipping, over steps and
seeds: infinite where a gradient was not finite."""


def plan(request: Request) -> list[Job]:
    request.without_optimizers("objective", "meta-trains its own optimizers")
    budget = BUDGETS[request.size]
    budget = dataclasses.replace(budget, seeds=request.seeds or budget.seeds)
    jobs = []
    for name in budget.tasks:
        on = TASKS[name]
        for setting in budget.settings or on.settings:
            key = Key("objective", name, setting.name, on.horizon, None, "meta-training")
            num_meta_steps = round(on.times * budget.num_meta_steps)
            recorded = {
                "setting": dataclasses.asdict(setting),
                "lambdas": budget.lambdas,
                "seeds": budget.seeds,
                "num_meta_steps": num_meta_steps,
                "num_problems": on.num_problems,
                "judged_on": on.judged_on,
            }
            run = functools.partial(_run, on, setting, budget.lambdas, budget.seeds, num_meta_steps)
            jobs.append(Job(key, recorded, run))
    return jobs


def _run(
    on: On, setting: Setting, lambdas: Sequence[float], seeds: int, num_meta_steps: int, load: Load
) -> dict[str, Any]:
    del load
    lopt, task = on.lopt(), on.task()
    estimator = Bptt(
        horizon=on.horizon,
        truncation=setting.truncation,
        num_problems=on.num_problems,
        problem_clip_norm=10.0,
        weights=setting.weights,
        log_floor=LOG_FLOOR if setting.logarithms else None,
        second_order=setting.second_order,
    )
    settings = Settings(estimator=estimator, num_meta_steps=num_meta_steps, learning_rate=1e-2, clip_norm=0.1)
    trained = ensembles.train(lopt, task, settings, lambdas, seeds)
    judged = [
        {
            "lambda": rate_weight,
            "seeds": [
                judge(on, lopt, task, jax.tree.map(lambda leaf, at=(i, seed): leaf[at], trained.theta), seed)
                | {"gradient_norm": float(trained.gradient_norm[i, seed])}
                for seed in range(seeds)
            ],
        }
        for i, rate_weight in enumerate(lambdas)
    ]
    return {"lambdas": judged}


def judge(on: On, lopt: LearnedOptimizer, task: Task, theta: Any, seed: int) -> dict[str, float]:
    """The final loss and the convergence rate on fresh problems, the same for every lambda."""
    keys = training.evaluation_keys(FIRST_SEED + seed, on.judged_on)
    last = on.horizon + on.window // 2
    curves, metrics = training.trajectories(lopt.build, task, last, theta, keys)
    rates = jax.vmap(training.convergence_rate())(curves[:, : on.horizon + 1])
    final = metrics[on.metric] if on.metric else training.loss_at(np.asarray(curves), on.horizon, on.window)
    return {"loss": float(statistics.iqm(np.asarray(final))), "rate": float(np.mean(rates))}


def paired(losses: np.ndarray, base: np.ndarray) -> Interval:
    """The ratio of losses, f[seeds] of each: the geometric mean with its paired 95 % interval."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(losses) - np.log(base)
    if not np.isfinite(logs).all():
        return Interval(np.inf, np.inf, np.inf)
    center, error = logs.mean(), stats.sem(logs)
    reach = stats.t.ppf((1 + statistics.CONFIDENCE) / 2, len(logs) - 1) * error
    return Interval(*(float(np.exp(v)) for v in (center, center - reach, center + reach)))


def rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """A row for each task, setting and lambda."""
    found = []
    for cell in sorted(cells, key=_place):
        losses = _figures(cell, "loss")
        base = losses[0.0]
        for rate_weight, own in losses.items():
            rates = _figures(cell, "rate")[rate_weight]
            ratio = paired(own, base) if rate_weight else Interval(1.0, 1.0, 1.0)
            found.append(
                {
                    "task": cell.key.task,
                    "setting": cell.key.optimizer,
                    "rate_weight": rate_weight,
                    "loss": float(np.exp(np.mean(np.log(own)))),
                    **ratio.row("ratio"),
                    "verdict": _verdict(ratio),
                    "rate": float(rates.mean()),
                    "spread": float(own.max() / own.min()),
                    "norm": float(_figures(cell, "gradient_norm")[rate_weight].max()),
                    "seeds": len(own),
                }
            )
    return found


def _place(cell: Cell) -> tuple[int, str]:
    return list(TASKS).index(cell.key.task), cell.key.optimizer


def _figures(cell: Cell, name: str) -> dict[float, np.ndarray]:
    """f64[seeds] by lambda."""
    return {
        one["lambda"]: np.array([seed[name] for seed in one["seeds"]], np.float64)
        for one in cell.result["lambdas"]
    }


def _verdict(ratio: Interval) -> str:
    return "lower" if ratio.high < 1 else "higher" if ratio.low > 1 else ""


COLUMNS: Mapping[str, Column] = {
    "task": Column("task"),
    "setting": Column("weights and order"),
    "rate_weight": Column("lambda", digits=2),
    "loss": Column("final loss", digits=3),
    "ratio": Column("over lambda 0", digits=3, interval=ends("ratio")),
    "verdict": Column("final loss is"),
    "rate": Column("measured rate", digits=3),
    "spread": Column("spread", digits=3),
    "norm": Column("largest gradient norm", digits=3),
}


def sections(cells: Sequence[Cell]) -> list[Section]:
    found = []
    for task in dict.fromkeys(cell.key.task for cell in sorted(cells, key=_place)):
        own = rows([cell for cell in cells if cell.key.task == task])
        lines: dict[str, list[tuple[float, ...]]] = {}
        for row in own:
            if row["rate_weight"]:
                point = (row["rate_weight"], row["ratio"], row["ratio_low"], row["ratio_high"])
                lines.setdefault(row["setting"], []).append(point)
        figure = line_plot(
            {name: np.array(points).T for name, points in lines.items()},
            title=f"{task}: final loss over that of lambda 0",
            x_label="lambda",
            y_label="ratio of final losses",
            log="xy",
            y_limits=_limits(own),
            highlight=list(lines),
        )
        caption = "Bands are the intervals of the table, as far as the axis goes; below 1 the rate helps."
        columns = {key: column for key, column in COLUMNS.items() if key != "task"}
        found.append(
            Section(task, prose=PROSE, rows=own, columns=columns, figures=[figure], captions=[caption])
        )
    return found


def _limits(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Of the axis of ratios: all that are finite, that of lambda 0 too, with room for some of the bands."""
    ratios = [row["ratio"] for row in rows if np.isfinite(row["ratio"])]
    room = max((max(ratios) / min(ratios)) ** 0.2, 1.03)
    return min(ratios) / room, max(ratios) * room


SUITE = Suite(
    "objective",
    2,
    "The meta-objective: lambda of the convergence rate from 0 to 0.1, with uniform and linear "
    "weights, first and second order, by what LSTMs meta-trained with it reach, seed by seed.",
    plan,
    sections=sections,
)
