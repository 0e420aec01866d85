"""Time and memory of updates from 1e3 to 1e7 parameters, and meta-training beside the machine's limits."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import contenders as field
from benchmarks.cells import Cell
from benchmarks.costs import ADAM, count, interleaved, state_bytes
from benchmarks.suite import Job, Key, Load, Request, Suite
from learned_opt import optimizers, tasks, training, zoo
from learned_opt.runs import Column, Section, line_plot

SIZES = {"quick": (3, 4, 5), "default": (3, 4, 5, 6), "full": (3, 4, 5, 6, 7)}  # decades of parameters
LAYOUTS = {"few": 2, "many": 64}  # leaves
QUICK_MANY = (4,)  # many leaves take long to compile
MEMORY = 4e9  # bytes of state above which an update is not tried
MACHINE = "limits"


def plan(request: Request) -> list[Job]:
    names = request.optimizers or ("adam-1e-3", *zoo.available())
    chosen = [c for n in names for c in field.find(n) if c.kind not in ("swept", "solver", "reference")]
    jobs = []
    for decade in SIZES[request.size]:
        for layout, leaves in LAYOUTS.items():
            if request.size == "quick" and layout == "many" and decade not in QUICK_MANY:
                continue
            for c in chosen:
                key = Key("speed", f"1e{decade}-{layout}", c.name, 0, None, "update")
                settings = {"optimizer": c.fingerprint, "parameters": 10**decade, "leaves": leaves}
                jobs.append(Job(key, settings, functools.partial(_update, c, 10**decade, leaves)))
    if chosen:
        dims = {"quick": (10,), "default": (10, 100), "full": (10, 100, 1000)}[request.size]
        machine = Key("speed", "machine", MACHINE, 0, None, "limits")
        jobs.append(Job(machine, {}, _limits))
        for dim in dims:
            key = Key("speed", f"meta-training-{dim}", "lstm-20x2", 0, None, "throughput")
            run = functools.partial(_throughput, machine, dim)
            jobs.append(Job(key, {"dim": dim, "problems": 64, "truncation": 20}, run))
    return jobs


def params(number: int, leaves: int) -> dict[str, jax.Array]:
    """About `number` parameters in so many leaves, matrices where that is possible."""
    side = max(1, round(math.sqrt(number / leaves)))
    shape = (side, max(1, round(number / leaves / side)))
    return {f"w{i}": jnp.full(shape, 0.1, jnp.float32) for i in range(leaves)}


def _update(c: field.Contender, number: int, leaves: int, load: Load) -> dict[str, Any]:
    tx, x = c.build(100), params(number, leaves)
    expected = state_bytes(tx, x)
    row = {
        "parameters": count(x),
        "leaves": leaves,
        "state_bytes": expected / count(x),
        "adam_state_bytes": state_bytes(ADAM, x) / count(x),
    }
    if expected > MEMORY:
        return row | {"skipped": f"its state needs {expected / 1e9:.1f} GB"}
    grads = jax.tree.map(jnp.ones_like, x)
    ours, adams = (_updating(t, x, grads) for t in (tx, ADAM))
    seconds, adam_seconds = interleaved([ours.call, adams.call])
    return row | {
        "seconds": seconds,
        "adam_seconds": adam_seconds,
        "temporary_bytes": ours.temporary / count(x),
        "adam_temporary_bytes": adams.temporary / count(x),
    }


class _updating:
    """An update, compiled, with the memory that it needs while it runs."""

    def __init__(self, tx: optax.GradientTransformation, x: Any, grads: Any):
        tx = optax.with_extra_args_support(tx)

        def update(grads, state, x):
            updates, state = tx.update(grads, state, x, value=jnp.float32(1), grad=grads)
            return optax.apply_updates(x, updates), state

        state = jax.jit(tx.init)(x)
        compiled = jax.jit(update).lower(grads, state, x).compile()
        memory = compiled.memory_analysis()
        self.temporary = 0 if memory is None else int(memory.temp_size_in_bytes)
        self.call = lambda: compiled(grads, state, x)


def _limits(load: Load) -> dict[str, Any]:
    """Floating-point operations a second of a matrix product, and bytes a second of a copy."""
    side, length = 2048, 2**26
    a = jnp.ones((side, side), jnp.float32)
    v = jnp.ones(length, jnp.float32)
    product, copy = jax.jit(lambda m: m @ m), jax.jit(lambda x: x + 1)
    product_seconds, copy_seconds = interleaved([lambda: product(a), lambda: copy(v)], seconds=1.0)
    return {"flops": 2 * side**3 / product_seconds, "bandwidth": 2 * 4 * length / copy_seconds}


def _throughput(machine: Key, dim: int, load: Load) -> dict[str, Any]:
    """Meta-training of an LSTM by truncated backpropagation of first order, on quadratics.

    The limits count what cannot be avoided: each coordinate's gates four times (forward, again in the
    backward pass, and the two products of it), and its state four times (written, read, its cotangent
    written and read).
    """
    problems, truncation = 64, 20
    lopt, task = optimizers.lstm(), tasks.quadratic(dim=dim)
    estimator = training.truncated_bptt(
        lopt,
        task,
        training.weighted_sum(),
        horizon=100,
        truncation=truncation,
        num_problems=problems,
    )
    key = jax.random.key(0)
    theta = lopt.init(key)
    state = jax.jit(estimator.init)(key, theta, task.data)
    estimate = jax.jit(estimator.estimate)
    (seconds,) = interleaved([lambda: estimate(key, theta, state, task.data)], seconds=1.0)
    limits = load(machine)
    weights = sum(np.size(leaf) for leaf in jax.tree.leaves(theta) if np.ndim(leaf) == 2)
    state_size = state_bytes(lopt.build(theta), jnp.zeros(1000)) / 1000
    return {
        "seconds": seconds,
        "coordinate_steps": dim * problems * truncation / seconds,
        "matmul_limit": limits["flops"] / (4 * 2 * weights),
        "memory_limit": limits["bandwidth"] / (4 * state_size),
        "flops": limits["flops"],
        "bandwidth": limits["bandwidth"],
    }


def sections(cells: Sequence[Cell]) -> list[Section]:
    updates = [c for c in cells if c.key.part == "update"]
    found = []
    for layout, leaves in LAYOUTS.items():
        own = [c for c in updates if c.result["leaves"] == leaves]
        if own:
            found.append(_update_section(layout, leaves, own))
    throughput = [c for c in cells if c.key.part == "throughput"]
    if throughput:
        found.append(_throughput_section(throughput))
    return found


def _update_section(layout: str, leaves: int, own: Sequence[Cell]) -> Section:
    rows, lines = [], {}
    for c in sorted(own, key=lambda c: (c.key.optimizer, c.result["parameters"])):
        r = c.result
        row = {"optimizer": c.key.optimizer, "parameters": r["parameters"], "note": r.get("skipped", "")}
        row["bytes"], row["bytes_ratio"] = r["state_bytes"], r["state_bytes"] / r["adam_state_bytes"]
        if "seconds" in r:
            row |= {
                "microseconds": 1e6 * r["seconds"],
                "time_ratio": r["seconds"] / r["adam_seconds"],
                "temporary": r["temporary_bytes"],
            }
            lines.setdefault(c.key.optimizer, []).append((r["parameters"], 1e3 * r["seconds"]))
        rows.append(row)
    strong = sorted(name for name in lines if name in zoo.available())
    return Section(
        f"updates, {leaves} leaves",
        prose=f"One update of the parameters in {leaves} leaves, without the gradient. Each is timed in "
        "turns with Adam, so that both see the same load.",
        rows=rows,
        columns={
            "optimizer": Column("optimizer"),
            "parameters": Column("parameters"),
            "microseconds": Column("microseconds", digits=3),
            "time_ratio": Column("x Adam", digits=3),
            "bytes": Column("state, bytes a parameter", digits=3),
            "bytes_ratio": Column("x Adam", digits=3),
            "temporary": Column("scratch, bytes a parameter", digits=3),
            "note": Column(""),
        },
        figures=[
            line_plot(
                {name: np.array(points, np.float64).T for name, points in lines.items()},
                title=f"Time of an update, {leaves} leaves",
                x_label="parameters",
                y_label="milliseconds",
                x_log=True,
                y_limits=_range([ms for points in lines.values() for _, ms in points]),
                highlight=strong,
            )
        ]
        if lines
        else [],
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values) / 1.2, max(values) * 1.2


def _throughput_section(own: Sequence[Cell]) -> Section:
    rows = [
        {
            "task": c.key.task,
            "throughput": c.result["coordinate_steps"],
            "matmul": c.result["matmul_limit"],
            "memory": c.result["memory_limit"],
            "share": c.result["coordinate_steps"] / min(c.result["matmul_limit"], c.result["memory_limit"]),
        }
        for c in own
    ]
    last = own[-1].result
    return Section(
        "meta-training throughput",
        prose="Coordinate-steps a second of truncated backpropagation of first order through a two-layer "
        "LSTM of 20 units, 64 quadratics side by side, truncations of 20. The limits assume that nothing is "
        "done but the products of the gates or the traffic of the state, four times each.\n\n"
        f"Measured beside it: {last['flops'] / 1e9:.3g} GFLOP/s of a matrix product in float32, "
        f"{last['bandwidth'] / 1e9:.3g} GB/s of a copy.",
        rows=rows,
        columns={
            "task": Column("task"),
            "throughput": Column("coordinate-steps/s", "high", 3),
            "matmul": Column("limit of products", digits=3),
            "memory": Column("limit of memory", digits=3),
            "share": Column("share of the lower limit", digits=2),
        },
    )


SUITE = Suite(
    "speed",
    1,
    "Time and memory of an update beside Adam's over 1e3 to 1e7 parameters in few and in many leaves, and "
    "the throughput of meta-training beside the limits of the machine.",
    plan,
    sections=sections,
)
