"""Meta-training: its throughput beside the machine's limits, and its loop beside the compiled call in it."""

import contextlib
import dataclasses
import functools
import io
import itertools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.comparison.costs import count, interleaved, state_bytes
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Job, Key, Load
from learned_opt import optimizers, tasks, training
from learned_opt.core.kinds import kind_of
from learned_opt.core.types import Task
from learned_opt.meta import Settings, initial_state, meta_steps, meta_train
from learned_opt.meta.sharding import compiled, problem_mesh, replicated, use_mesh
from learned_opt.reports import Column, Section
from learned_opt.training import estimators


@dataclasses.dataclass(frozen=True)
class Metered:
    """What meta-training is metered on."""

    optimizer: str
    task: Callable[[], Task]
    problems: int
    estimator: str = "tbptt"


TRUNCATION = 20
RULES = {"lstm-20x2": optimizers.lstm, "mlp-rule": optimizers.mlp_rule}
# 8x8 images and 32 units, as the published figures of evolved rules.
IMAGES_8X8 = functools.partial(tasks.classification, dataset="digits", hidden_sizes=(32,))
METERED = {
    "quadratic-10": Metered("lstm-20x2", functools.partial(tasks.quadratic, dim=10), 64),
    "quadratic-100": Metered("lstm-20x2", functools.partial(tasks.quadratic, dim=100), 64),
    # 64 inputs, 218 units and 10 classes: the coordinates of an MNIST classifier of 20 units, two of them.
    "classifier-16360": Metered(
        "lstm-20x2", functools.partial(tasks.classification, dataset="digits", hidden_sizes=(218,)), 2
    ),
    "classifier-mlp-rule": Metered("mlp-rule", IMAGES_8X8, 8, "pes"),
    "classifier-mlp-rule-32": Metered("mlp-rule", IMAGES_8X8, 32, "pes"),
}
QUICK_METERED = ("quadratic-10",)
THROUGHPUT, LOOP = "throughput", "loop"
LOOP_TASK = "quadratic-10"
LOOP_SETTINGS: dict[str, Any] = {
    "horizon": 100,
    "truncation": TRUNCATION,
    "num_problems": 64,
    "num_validation_problems": 64,
    "steps_per_call": 10,
}
PERIODS = (10, 60)
NUM_PERIODS = 8


def jobs(suite: str, size: str, machine: Key) -> list[Job]:
    """The cells, those of the throughput beside the limits in the cell `machine`."""
    found = []
    for name, case in METERED.items():
        if size == "quick" and name not in QUICK_METERED:
            continue
        key = Key(suite, f"meta-training-{name}", case.optimizer, 0, None, THROUGHPUT)
        settings = {"problems": case.problems, "truncation": TRUNCATION, "estimator": case.estimator}
        found.append(Job(key, settings, functools.partial(_throughput, machine, case), needs=machine))
    if size == "quick":
        return found
    case = METERED[LOOP_TASK]
    settings = LOOP_SETTINGS | {"periods": list(PERIODS)}
    key = Key(suite, f"meta-training-{LOOP_TASK}", case.optimizer, 0, None, LOOP)
    return [*found, Job(key, settings, functools.partial(_loop, case))]


def _throughput(machine: Key, case: Metered, load: Load) -> dict[str, Any]:
    """A meta-step, and the forward unroll in it, the problems split over all devices as `meta_train` does.

    The limits of the LSTM count the gates four times (forward, again in the backward pass, two products of
    it), and the state four times (it and its cotangent written and read). Evolution strategies unroll twice.
    """
    lopt, task = RULES[case.optimizer](), case.task()
    inner: dict[str, Any] = {"horizon": 100, "truncation": TRUNCATION, "num_problems": case.problems}
    estimator = estimators.registry.get(case.estimator)(**inner).make(lopt, task)
    unrolls = estimators.truncated_unrolls(lopt, task, training.weighted_sum(), **inner)
    mesh = problem_mesh(case.problems)
    key = jax.random.key(0)
    key, theta, data = replicated(mesh, (key, lopt.init(key), task.data))
    with use_mesh(mesh):
        state = jax.jit(estimator.init)(key, theta, data)
        states = jax.jit(unrolls.begin)(key, theta)
        forward = jax.jit(
            lambda theta, states, data: jax.vmap(unrolls.unroll, (None, 0, None))(theta, states, data)[0]
        )
        start = time.perf_counter()
        estimate = jax.jit(estimator.estimate).lower(key, theta, state, data).compile()
        compile_seconds = time.perf_counter() - start
        seconds, forward_seconds = interleaved(
            [lambda: estimate(key, theta, state, data), lambda: forward(theta, states, data)], seconds=2.0
        )
    memory = estimate.memory_analysis()
    limits = load(machine)
    dim = count(jax.eval_shape(task.init, key, jax.eval_shape(task.sample, key)))
    coordinate_steps = dim * case.problems * TRUNCATION * (2 if case.estimator == "pes" else 1)
    weights = sum(np.size(leaf) for leaf in jax.tree.leaves(theta) if np.ndim(leaf) == 2)
    state_size = state_bytes(lopt.build(theta), jnp.zeros(1000)) / 1000
    passes = 1 if case.estimator == "pes" else 4
    return {
        "coordinates": dim * case.problems,
        "devices": 1 if mesh is None else mesh.size,
        "seconds": seconds,
        "forward_seconds": forward_seconds,
        "compile_seconds": compile_seconds,
        "temporary_bytes": None if memory is None else int(memory.temp_size_in_bytes),
        "coordinate_steps": coordinate_steps / seconds,
        "matmul_limit": limits["flops"] / (passes * 2 * weights),
        "memory_limit": limits["bandwidth"] / (passes * state_size),
        "flops": limits["flops"],
        "bandwidth": limits["bandwidth"],
    }


def _loop(case: Metered, load: Load) -> dict[str, Any]:
    """A meta-step as `meta_train` makes it, and as the compiled call in it does, on the same devices."""
    lopt, task = RULES[case.optimizer](), case.task()
    settings = Settings.of(kind_of(lopt), LOOP_SETTINGS)
    outer, estimator = settings.make_outer_optimizer(), settings.estimator.make(lopt, task)
    mesh = problem_mesh(settings.estimator.num_problems)
    key, data = replicated(mesh, (jax.random.key(0), task.data))

    def begin(key, data):
        return initial_state(key, key, lopt.init, outer, estimator, data)

    def several(key, state, data, num_steps):
        return meta_steps(key, state, data, outer, estimator, num_steps)

    state, advance = compiled(mesh, begin, several, key, data)

    def call():
        nonlocal state
        state, report = advance(state, settings.steps_per_call)
        return report

    start = time.perf_counter()
    jax.block_until_ready(call())
    first_seconds = time.perf_counter() - start
    seconds = {period: _shortest_period(lopt, task, period) for period in PERIODS}
    (call_seconds,) = interleaved([call], seconds=2.0)
    return {
        "compile_seconds": first_seconds - call_seconds,
        "seconds": call_seconds / settings.steps_per_call,
        **loop_costs(seconds),
    }


def _shortest_period(lopt, task: Task, period: int) -> float:
    """Seconds of the period that other processes disturbed least, of a run that stores and shows all."""
    settings: dict[str, Any] = LOOP_SETTINGS | {
        "validate_every": period,
        "num_meta_steps": NUM_PERIODS * period,
    }
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stderr(io.StringIO()):
        run = meta_train(lopt, task, directory=f"{directory}/run", **settings)
    # The first one, which has the compilation, is left out.
    ends = [row["seconds"] for row in run.metrics]
    return min(end - start for start, end in itertools.pairwise(ends))


def loop_costs(seconds: Mapping[int, float]) -> dict[str, float]:
    """What a meta-step costs, and the end of a period, from the seconds of periods of two lengths."""
    (short, short_seconds), (long, long_seconds) = sorted(seconds.items())
    step = (long_seconds - short_seconds) / (long - short)
    return {"loop_seconds": step, "end_seconds": short_seconds - short * step}


def sections(cells: Sequence[Cell]) -> list[Section]:
    """The tables of the report."""
    throughput, loop = ([c for c in cells if c.key.part == part] for part in (THROUGHPUT, LOOP))
    return [make(own) for make, own in ((_throughput_section, throughput), (_loop_section, loop)) if own]


def _throughput_section(own: Sequence[Cell]) -> Section:
    rows = [
        {
            "task": c.key.task.removeprefix("meta-training-"),
            "optimizer": c.key.optimizer,
            "estimator": c.settings["estimator"],
            "coordinates": c.result["coordinates"],
            "devices": c.result["devices"],
            "throughput": c.result["coordinate_steps"],
            "ratio": c.result["seconds"] / c.result["forward_seconds"],
            "share": c.result["coordinate_steps"] / min(c.result["matmul_limit"], c.result["memory_limit"]),
            "temporary": None if c.result["temporary_bytes"] is None else c.result["temporary_bytes"] / 1e6,
            "compile": c.result["compile_seconds"],
        }
        for c in own
    ]
    last = own[-1].result
    return Section(
        "meta-training throughput",
        prose=f"Coordinate-steps a second of meta-training with truncations of {TRUNCATION}, and a meta-step "
        "beside the forward unroll in it. `tbptt` is of first order. The limits assume that nothing is done "
        "but the products of the rule or the traffic of its state, as often as the estimator needs them.\n\n"
        f"Measured beside it: {last['flops'] / 1e9:.3g} GFLOP/s of a matrix product in float32, "
        f"{last['bandwidth'] / 1e9:.3g} GB/s of a copy.",
        rows=rows,
        columns={
            "task": Column("task"),
            "optimizer": Column("optimizer"),
            "estimator": Column("estimator"),
            "coordinates": Column("coordinates"),
            "devices": Column("devices"),
            "throughput": Column("coordinate-steps/s", digits=3),
            "ratio": Column("meta-step / forward", digits=3),
            "share": Column("share of the lower limit", digits=2),
            "temporary": Column("scratch, MB", digits=3),
            "compile": Column("compilation, s", digits=3),
        },
    )


def _loop_section(own: Sequence[Cell]) -> Section:
    rows = [
        {
            "task": c.key.task.removeprefix("meta-training-"),
            "compiled": 1e3 * c.result["seconds"],
            "loop": 1e3 * c.result["loop_seconds"],
            "overhead": 100 * (c.result["loop_seconds"] / c.result["seconds"] - 1),
            "end": 1e3 * c.result["end_seconds"],
            "compile": c.result["compile_seconds"],
        }
        for c in own
    ]
    return Section(
        "the loop of meta-training",
        prose=f"A meta-step in a compiled call of {LOOP_SETTINGS['steps_per_call']}, and as `meta_train` "
        "makes it, which also dispatches the calls, reads their reports and shows progress. Its runs store "
        "everything; periods of two lengths tell a meta-step from the validation, the metrics and the "
        "checkpoint at the end of each period.",
        rows=rows,
        columns={
            "task": Column("task"),
            "compiled": Column("compiled meta-step, ms", digits=3),
            "loop": Column("meta-step in the loop, ms", digits=3),
            "overhead": Column("overhead, %", "low", 2),
            "end": Column("end of a period, ms", digits=3),
            "compile": Column("compilation, s", digits=3),
        },
    )
