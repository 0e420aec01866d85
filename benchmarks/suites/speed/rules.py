"""What rules without a learning rate cost: an update, its share of a training step, its compilation."""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.experimental.compilation_cache import compilation_cache

from benchmarks.comparison.costs import ADAM, interleaved
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Job, Key, Load
from learned_opt import optimizers
from learned_opt.reports import Column, Section

COST = "rule-cost"
WIDTH, BATCH, NUM_MATRICES = 512, 512, 4
NUM_LEAVES = {"quick": 20, "default": 120, "full": 120}


def _controller(orthogonal: bool | str) -> optax.GradientTransformation:
    lopt = optimizers.tensor_controller(orthogonal=orthogonal)  # pyright: ignore[reportArgumentType]
    return lopt.build(lopt.init(jax.random.key(0)))


RULES: dict[str, Callable[[], optax.GradientTransformation]] = {
    "controller-lite": functools.partial(_controller, False),
    "controller-auto": functools.partial(_controller, "auto"),
    "controller-orthogonal": functools.partial(_controller, True),
    "safeguarded-adam": lambda: optimizers.safeguard(ADAM),
}


def jobs(suite: str, size: str) -> list[Job]:
    """A cell for each rule."""
    number = NUM_LEAVES[size]
    return [
        Job(
            Key(suite, f"{NUM_MATRICES}x{WIDTH}x{WIDTH}", name, 0, None, COST),
            {"leaves": number},
            functools.partial(_cost, make(), number),
        )
        for name, make in RULES.items()
    ]


def _cost(tx: optax.GradientTransformation, num_leaves: int, load: Load) -> dict[str, Any]:
    """Seconds of an update of four matrices, and of compiling one of many leaves, beside Adam's."""
    keys = jax.random.split(jax.random.key(0), NUM_MATRICES)
    params = {f"w{i}": jax.random.normal(k, (WIDTH, WIDTH)) / WIDTH**0.5 for i, k in enumerate(keys)}
    grads = jax.tree.map(lambda p: 0.1 * p, params)
    seconds, adam_seconds = interleaved([_call(tx, grads, params), _call(ADAM, grads, params)])
    two = {name: params[name] for name in ("w0", "w1")}
    x = jax.random.normal(jax.random.key(1), (BATCH, WIDTH))
    gradient = jax.jit(jax.grad(_mlp_loss))
    mlp_seconds, gradient_seconds = interleaved([_call(tx, two, two), lambda: gradient(two, x)])
    step_seconds, adam_step_seconds = interleaved([_training(t, two, x) for t in (tx, ADAM)])
    # No two leaves have one shape.
    leaves = {f"w{i}": jnp.full((8 + i, 11) if i % 2 else (8 + i,), 0.1) for i in range(num_leaves)}
    compile_seconds, adam_compile_seconds = (_compile_seconds(t, leaves) for t in (tx, ADAM))
    return {
        "seconds": seconds,
        "adam_seconds": adam_seconds,
        "share": mlp_seconds / (mlp_seconds + gradient_seconds),
        "step_ratio": step_seconds / adam_step_seconds,
        "compile_seconds": compile_seconds,
        "adam_compile_seconds": adam_compile_seconds,
    }


def _mlp_loss(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(jax.nn.relu(x @ params["w0"]) @ params["w1"] - x))


def _step(tx: optax.GradientTransformation, grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
    updates, state = optax.with_extra_args_support(tx).update(grads, state, params, value=jnp.float32(1))
    return optax.apply_updates(params, updates), state


def _call(tx: optax.GradientTransformation, grads: Any, params: Any) -> Callable[[], Any]:
    step, state = jax.jit(functools.partial(_step, tx)), jax.jit(tx.init)(params)
    return lambda: step(grads, state, params)


def _training(tx: optax.GradientTransformation, params: Any, x: jax.Array) -> Callable[[], Any]:
    """A training step as it is run: the gradient and the update in one program, the state in place."""
    state = jax.jit(lambda params: (params, tx.init(params)))(params)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state):
        params, state = state
        value, grads = jax.value_and_grad(_mlp_loss)(params, x)
        updates, state = optax.with_extra_args_support(tx).update(grads, state, params, value=value)
        return optax.apply_updates(params, updates), state

    def call():
        nonlocal state
        state = step(state)
        return state

    return call


def _compile_seconds(tx: optax.GradientTransformation, params: Any) -> float:
    """Of tracing, lowering and compiling an update, without what is kept of earlier compilations."""
    state = tx.init(params)
    kept = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # which remembers whether it is used
    try:
        start = time.perf_counter()
        jax.jit(functools.partial(_step, tx)).lower(params, state, params).compile()
        return time.perf_counter() - start
    finally:
        jax.config.update("jax_enable_compilation_cache", kept)
        compilation_cache.reset_cache()


def section(cells: Sequence[Cell]) -> list[Section]:
    """The table of the report."""
    own = [c for c in cells if c.key.part == COST]
    if not own:
        return []
    rows = [
        {
            "optimizer": c.key.optimizer,
            "update": 1e3 * c.result["seconds"],
            "ratio": c.result["seconds"] / c.result["adam_seconds"],
            "share": 100 * c.result["share"],
            "step": c.result["step_ratio"],
            "compile": c.result["compile_seconds"],
            "compile_ratio": c.result["compile_seconds"] / c.result["adam_compile_seconds"],
        }
        for c in own
    ]
    return [
        Section(
            "rules without a learning rate",
            prose=f"An update of {NUM_MATRICES} matrices of {WIDTH} x {WIDTH} beside Adam's; the share of an "
            f"update in a training step of a network of two such layers at a batch of {BATCH}; that step "
            "beside one with Adam, each in one program that keeps its state in place; and the compilation of "
            f" an update of {own[0].settings['leaves']} leaves of different shapes.",
            rows=rows,
            columns={
                "optimizer": Column("optimizer"),
                "update": Column("update, ms", digits=3),
                "ratio": Column("x Adam", digits=3),
                "share": Column("share of a step, %", digits=2),
                "step": Column("step, x Adam's", digits=3),
                "compile": Column("compilation, s", digits=3),
                "compile_ratio": Column("x Adam", digits=3),
            },
        )
    ]
