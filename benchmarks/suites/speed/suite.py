"""Time and memory of updates from 1e3 to 1e7 parameters, and meta-training beside the machine's limits."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.comparison import baselines
from benchmarks.comparison.costs import ADAM, count, interleaved, state_bytes
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Job, Key, Load, Request, Suite
from benchmarks.suites.speed import meta_training, pipeline, rules
from learned_opt import optimizers, zoo
from learned_opt.reports import Column, Section, line_plot

SIZES = {"quick": (4, 5), "default": (3, 4, 5, 6), "full": (3, 4, 5, 6, 7)}  # decades of parameters
LAYOUTS = {"few": 2, "many": 64}  # leaves
MEMORY = 4e9  # bytes of state above which an update is not tried
MACHINE = "limits"


def plan(request: Request) -> list[Job]:
    names = request.optimizers or ("adam-1e-3", *zoo.available())
    chosen = [c for n in names for c in baselines.find(n) if c.kind not in ("swept", "solver", "reference")]
    jobs = []
    for decade in SIZES[request.size]:
        for layout, leaves in LAYOUTS.items():
            if request.size == "quick" and layout == "many":
                continue  # they take long to compile
            for c in chosen:
                key = Key("speed", f"1e{decade}-{layout}", c.name, 0, None, "update")
                settings = {"optimizer": c.fingerprint, "parameters": 10**decade, "leaves": leaves}
                jobs.append(Job(key, settings, functools.partial(_update, c, 10**decade, leaves)))
    if chosen:
        machine = Key("speed", "machine", MACHINE, 0, None, "limits")
        jobs.append(Job(machine, {}, _limits))
        coordinates = {"quick": (4096,), "default": (4096, 16_384), "full": (4096, 16_384, 65_536)}
        for n in coordinates[request.size]:
            key = Key("speed", f"rule-{n}", "lstm-20x2", 0, None, "floor")
            jobs.append(Job(key, {"coordinates": n}, functools.partial(_floor, n)))
        jobs += rules.jobs("speed", request.size)
        jobs += meta_training.jobs("speed", request.size, machine)
        jobs += pipeline.jobs("speed", request.size)
    return [dataclasses.replace(job, timed=True) for job in jobs]


def params(number: int, leaves: int) -> dict[str, jax.Array]:
    """About `number` parameters in so many leaves, matrices where that is possible."""
    side = max(1, round(math.sqrt(number / leaves)))
    shape = (side, max(1, round(number / leaves / side)))
    return {f"w{i}": jnp.full(shape, 0.1, jnp.float32) for i in range(leaves)}


def _update(c: baselines.Optimizer, number: int, leaves: int, load: Load) -> dict[str, Any]:
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


def _floor(n: int, load: Load) -> dict[str, Any]:
    """The rule of the two-layer LSTM beside its matrix products and activations, each measured alone."""
    tx = optimizers.lstm().build(optimizers.lstm().init(jax.random.key(0)))
    keys = jax.random.split(jax.random.key(1), 8)
    g = jax.random.normal(keys[0], (n,))
    state = jax.jit(tx.init)(g)
    update = jax.jit(lambda g, state: tx.update(g, state))
    shapes = ((22, 80), (40, 80), (20, 1))  # inputs and state of both layers, and the output
    factors = [
        (jax.random.normal(k, (n, rows)), jax.random.normal(k, (rows, columns)))
        for k, (rows, columns) in zip(keys[1:4], shapes, strict=True)
    ]
    gates, cells = jax.random.normal(keys[4], (n, 2 * 60)), jax.random.normal(keys[5], (n, 2 * 40))
    products = jax.jit(lambda pairs: [a @ b for a, b in pairs])
    functions = jax.jit(lambda gates, cells: (jax.nn.sigmoid(gates), jnp.tanh(cells)))
    seconds, product_seconds, function_seconds = interleaved(
        [lambda: update(g, state), lambda: products(factors), lambda: functions(gates, cells)], seconds=1.0
    )
    return {
        "coordinates": n,
        "seconds": seconds,
        "product_seconds": product_seconds,
        "function_seconds": function_seconds,
    }


def sections(cells: Sequence[Cell]) -> list[Section]:
    updates = [c for c in cells if c.key.part == "update"]
    found = []
    for layout, leaves in LAYOUTS.items():
        own = [c for c in updates if c.result["leaves"] == leaves]
        if own:
            found.append(_update_section(layout, leaves, own))
    floor = [c for c in cells if c.key.part == "floor"]
    if floor:
        found.append(_floor_section(floor))
    return found + rules.section(cells) + meta_training.sections(cells) + pipeline.sections(cells)


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
    # One size is no line.
    lines = {name: points for name, points in lines.items() if len(points) > 1}
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
                log="xy",
                y_limits=_range([ms for points in lines.values() for _, ms in points]),
                highlight=strong,
            )
        ]
        if lines
        else [],
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values) / 1.2, max(values) * 1.2


def _floor_section(own: Sequence[Cell]) -> Section:
    rows = []
    for r in (c.result for c in own):
        floor = r["product_seconds"] + r["function_seconds"]
        rows.append(
            {
                "coordinates": r["coordinates"],
                "update": 1e3 * r["seconds"],
                "products": 1e3 * r["product_seconds"],
                "functions": 1e3 * r["function_seconds"],
                "ratio": r["seconds"] / floor,
            }
        )
    return Section(
        "the rule beside its floor",
        prose="One update of the two-layer LSTM of 20 units, and its matrix products and its logistic "
        "functions and hyperbolic tangents, each measured alone at the same size.",
        rows=rows,
        columns={
            "coordinates": Column("coordinates"),
            "update": Column("update, ms", digits=3),
            "products": Column("products, ms", digits=3),
            "functions": Column("functions, ms", digits=3),
            "ratio": Column("update / (products + functions)", digits=3),
        },
    )


SUITE = Suite(
    "speed",
    3,
    "Time and memory of an update beside Adam's over 1e3 to 1e7 parameters in few and in many leaves, and "
    "the throughput of meta-training beside the limits of the machine and its loop beside the compiled call; "
    "what a pipeline of images gives, beside what a training step takes.",
    plan,
    sections=sections,
)
