"""The estimators of the meta-gradient on one task: bias, spread, memory, time, and the meta-loss itself."""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Job, Key, Load, Request, Suite
from benchmarks.suites.estimators import memory
from learned_opt import optimizers, training
from learned_opt.core.types import Array, Estimator, Task, Theta
from learned_opt.reports import Column, Section, line_plot
from learned_opt.training.estimators import Blend, Bptt, Es, Full, Nres, Pes

SIGMA = 0.05
TRUNCATIONS = 10  # of a trajectory, for the estimators that cut it
REFERENCE, LANDSCAPE = "reference", "landscape"
# Steps that settle, and steps so large that a trajectory never does.
LEARNING_RATES = {"tame": 0.02, "chaotic": 1.0}
LOPT = optimizers.hyperparameters("sgd", {"learning_rate": 0.02, "momentum": 0.5})


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a size spends."""

    horizons: tuple[int, ...]
    samples: int  # estimates of a whole trajectory's gradient
    problems: int  # of each
    reference_pairs: int
    points: int  # of the landscape


BUDGETS = {
    "quick": Budget((40,), 200, 8, 100_000, 201),
    "default": Budget((20, 100, 500), 1000, 16, 1_000_000, 801),
    "full": Budget((20, 100, 500, 2000), 4000, 16, 4_000_000, 1601),
}


def ripples() -> Task:
    """A bowl with ripples: small steps settle in one of them, large ones are thrown about for ever."""

    def loss(x: Array, phase: Array, batch: tuple[()]) -> Array:
        return jnp.mean(0.05 * jnp.square(x) + 1 - jnp.cos(3 * x + phase))

    return Task(
        sample=lambda key: jax.random.uniform(key, (2,), jnp.float32, -np.pi, np.pi),
        init=lambda key, phase: jax.random.normal(key, (2,)),
        batch=lambda key, phase, data: (),
        loss=loss,
    )


TASK, OBJECTIVE = ripples(), training.weighted_sum("uniform")


def estimators(horizon: int, problems: int) -> dict[str, Callable[[], Estimator]]:
    """What is compared, by name; each makes an estimator."""
    inner: dict[str, Any] = {"horizon": horizon, "num_problems": problems}
    whole: dict[str, Any] = inner | {"truncation": horizon}
    parts: dict[str, Any] = inner | {"truncation": max(horizon // TRUNCATIONS, 1)}
    chosen = {
        "tbptt": Bptt(**parts, second_order=True),
        "bptt": Bptt(**whole, second_order=True),
        "bptt, first order": Bptt(**whole),
        "full": Full(**inner, second_order=True),
        "es, truncated": Es(**parts, sigma=SIGMA),
        "es": Es(**whole, sigma=SIGMA),
        "pes": Pes(**parts, sigma=SIGMA),
        "nres": Nres(**parts, sigma=SIGMA),
        "blend": Blend(**whole, sigma=SIGMA, second_order=True),
    }
    return {name: functools.partial(settings.make, LOPT, TASK) for name, settings in chosen.items()}


def theta_of(task: str) -> Theta:
    theta = LOPT.init(jax.random.key(0))
    return theta | {"learning_rate": jnp.log(jnp.float32(LEARNING_RATES[task]))}


def plan(request: Request) -> list[Job]:
    request.without_optimizers("estimators", "has its own optimizer")
    budget = BUDGETS[request.size]
    recorded = {k: v for k, v in dataclasses.asdict(budget).items() if k != "horizons"} | {"sigma": SIGMA}
    jobs = []
    for horizon in budget.horizons:
        # Both tasks in a row: they are the same compiled program.
        runs = {
            name: functools.partial(_samples, name, horizon, budget)
            for name in estimators(horizon, budget.problems)
        }
        runs |= {
            REFERENCE: functools.partial(_reference, horizon, budget),
            LANDSCAPE: functools.partial(_landscape, horizon, budget),
        }
        for name, run in runs.items():
            for task in LEARNING_RATES:
                key = Key("estimators", task, name, horizon, None, "gradient")
                settings = recorded | {"learning_rate": LEARNING_RATES[task]}
                jobs.append(Job(key, settings, functools.partial(run, task), timed=True))
    return jobs + memory.jobs("estimators", request.size)


@functools.cache
def _program(name: str, horizon: int, problems: int, samples: int):
    """Compiled: a gradient of the whole trajectory for each key, f32[samples, 2], and its scratch memory."""
    estimator = estimators(horizon, problems)[name]()
    num_estimates = TRUNCATIONS if name in ("tbptt", "es, truncated", "pes", "nres") else 1

    def one(theta: Theta, key: Array) -> Array:
        init_key, *keys = jax.random.split(key, 1 + num_estimates)

        def body(state, key):
            meta_gradient, state = estimator.estimate(key, theta, state, ())
            return state, jnp.stack(jax.tree.leaves(meta_gradient.grad))

        _, grads = jax.lax.scan(body, estimator.init(init_key, theta, ()), jnp.stack(keys))
        return jnp.sum(grads, axis=0)

    # One after the other, so that an estimate has the memory and the time that it has in training.
    program = jax.jit(lambda theta, keys: jax.lax.map(functools.partial(one, theta), keys))
    keys = jax.random.split(jax.random.key(0), samples)
    return program.lower(theta_of("tame"), keys).compile(), keys


def _samples(name: str, horizon: int, budget: Budget, task: str, load: Load) -> dict[str, Any]:
    compiled, keys = _program(name, horizon, budget.problems, budget.samples)
    theta, seconds = theta_of(task), []
    gradients = np.zeros(0)
    for _ in range(3):
        start = time.perf_counter()
        gradients = np.asarray(compiled(theta, keys))
        seconds.append(time.perf_counter() - start)
    analysis = compiled.memory_analysis()
    return {
        "gradients": gradients,
        "microseconds": 1e6 * min(seconds) / budget.samples / budget.problems,
        "bytes": analysis.temp_size_in_bytes / budget.problems if analysis is not None else None,
    }


@functools.cache
def _reference_program(horizon: int):
    estimator = estimators(horizon, 1000)["es"]()

    def one(theta: Theta, key: Array) -> Array:
        init_key, key = jax.random.split(key)
        meta_gradient, _ = estimator.estimate(key, theta, estimator.init(init_key, theta, ()), ())
        return jnp.stack(jax.tree.leaves(meta_gradient.grad))

    return jax.jit(lambda theta, keys: jax.lax.map(functools.partial(one, theta), keys))


def _reference(horizon: int, budget: Budget, task: str, load: Load) -> dict[str, Any]:
    """The gradient of the smoothed meta-loss from so many pairs that its error hardly counts."""
    keys = jax.random.split(jax.random.key(1), budget.reference_pairs // 1000)
    gradients = np.asarray(_reference_program(horizon)(theta_of(task), keys), np.float64)
    return {"gradient": gradients.mean(0), "error": gradients.std(0) / np.sqrt(len(gradients))}


@functools.cache
def _landscape_program(horizon: int):
    keys = jax.random.split(jax.random.key(2), 4)

    def meta_loss(theta: Theta, key: Array) -> Array:
        sample_key, start_key, batch_key = jax.random.split(key, 3)
        tx, problem = LOPT.build(theta), TASK.sample(sample_key)
        state = training.start(tx, TASK, start_key, problem)
        return OBJECTIVE(training.unroll(tx, TASK, batch_key, problem, (), state, horizon)[1])

    def mean_loss(theta: Theta, shift: Array) -> Array:
        moved = theta | {"learning_rate": theta["learning_rate"] + shift}
        return jnp.mean(jax.vmap(meta_loss, (None, 0))(moved, keys))

    return jax.jit(jax.vmap(mean_loss, (None, 0)))


def _landscape(horizon: int, budget: Budget, task: str, load: Load) -> dict[str, Any]:
    """The meta-loss of four problems over a line through theta."""
    shifts = np.linspace(-6 * SIGMA, 6 * SIGMA, budget.points).astype(np.float32)
    return {"shifts": shifts, "losses": np.asarray(_landscape_program(horizon)(theta_of(task), shifts))}


def sections(cells: Sequence[Cell]) -> list[Section]:
    found = []
    for task, horizon in dict.fromkeys((cell.key.task, cell.key.horizon) for cell in cells):
        own = {c.key.optimizer: c.result for c in cells if (c.key.task, c.key.horizon) == (task, horizon)}
        if REFERENCE in own:
            found.append(_section(task, horizon, own))
    own = [cell for cell in cells if cell.key.part == memory.PART]
    return [*found, memory.section(own)] if own else found


def rows(own: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Bias and spread of each estimator, as shares of the reference's norm."""
    reference = np.asarray(own[REFERENCE]["gradient"], np.float64)
    size = np.linalg.norm(reference)
    found = []
    for name, result in own.items():
        if name in (REFERENCE, LANDSCAPE):
            continue
        gradients = np.asarray(result["gradients"], np.float64)
        finite = np.all(np.isfinite(gradients), axis=1)
        row = {"estimator": name, "lost": 1 - finite.mean()}
        row |= {"microseconds": result["microseconds"], "bytes": result["bytes"]}
        if finite.sum() > 1:
            kept = gradients[finite]
            error = np.sqrt(kept.var(0, ddof=1).sum() / len(kept))
            row["bias"] = np.linalg.norm(kept.mean(0) - reference) / size
            row["bias_error"] = np.hypot(error, np.linalg.norm(own[REFERENCE]["error"])) / size
            row["spread"] = np.sqrt(kept.var(0, ddof=1).sum()) / size
        found.append(row)
    return found


def _section(task: str, horizon: int, own: dict[str, dict[str, Any]]) -> Section:
    reference = np.asarray(own[REFERENCE]["gradient"], np.float64)
    size = np.linalg.norm(reference)
    lines = {}
    for name, result in own.items():
        if name not in (REFERENCE, LANDSCAPE):
            distances = np.linalg.norm(np.asarray(result["gradients"], np.float64) - reference, axis=1) / size
            distances = np.sort(np.where(np.isfinite(distances), distances, np.inf))
            share = 1 - np.arange(len(distances)) / len(distances)
            lines[name] = np.stack([np.minimum(distances, 1e30), share])
    figures = [
        line_plot(
            lines,
            title=f"{task}, {horizon} steps: how far the estimates lie from the reference",
            x_label="distance as a share of the reference's norm",
            y_label="share of estimates at least as far",
            log="xy",
            highlight=[name for name in ("bptt", "es", "pes") if name in lines],
        )
    ]
    captions = [
        "Left is better. A line that reaches far to the right has estimates that outweigh all others."
    ]
    if LANDSCAPE in own:
        shifts, losses = (np.asarray(own[LANDSCAPE][k], np.float64) for k in ("shifts", "losses"))
        figures.append(
            line_plot(
                {"meta-loss": np.stack([shifts, losses]), "smoothed": smoothed(shifts, losses)},
                title=f"{task}, {horizon} steps: the meta-loss over a line through theta",
                x_label="shift of the logarithm of the learning rate",
                y_label="meta-loss",
                log="",
                highlight=["smoothed"],
            )
        )
        captions.append(f"Four fixed problems. Smoothed with the noise's deviation, {SIGMA}.")
    return Section(
        f"{task}, {horizon} steps",
        prose="Estimates of the gradient of a whole trajectory's meta-loss, theta held fixed: the estimates "
        "of its truncations are summed. The reference is the gradient of the smoothed meta-loss, from a "
        "great many pairs. Bias is the distance of the mean estimate from it, beside its standard error; "
        "spread is the deviation of one estimate; both as shares of the reference's norm. Time and scratch "
        "memory are for one problem and the whole trajectory.",
        rows=rows(own),
        columns={
            "estimator": Column("estimator"),
            "bias": Column("bias", "low", 2),
            "bias_error": Column("standard error of it", digits=2),
            "spread": Column("spread", "low", 2),
            "lost": Column("share not finite", digits=2),
            "microseconds": Column("microseconds", "low", 3),
            "bytes": Column("scratch bytes", "low", 3),
        },
        figures=figures,
        captions=captions,
    )


def smoothed(shifts: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """f[2, n]: the losses averaged with Gaussian weights, where three deviations lie within the line."""
    inner = np.abs(shifts) <= np.abs(shifts).max() - 3 * SIGMA
    weights = np.exp(-0.5 * ((shifts[inner, None] - shifts[None, :]) / SIGMA) ** 2)
    return np.stack([shifts[inner], weights @ losses / weights.sum(1)])


SUITE = Suite(
    "estimators",
    1,
    "The estimators of the meta-gradient: bias, spread, memory and time on a task of tame and of chaotic "
    "unrolls, beside the meta-loss over a line through theta; and their memory over the horizon.",
    plan,
    sections=sections,
)
