"""What breaks optimizers: each a small task with a single thing that is unusual.

The losses that are compared are without it: not scaled, without spikes, in float32.
"""

import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from benchmarks.suites.generalization.tasks import data
from benchmarks.suites.generalization.tasks.layers import Weights, cross_entropy, matrix, mlp, squared_error
from benchmarks.suites.generalization.tasks.supervised import deterministic, supervised
from benchmarks.suites.generalization.tasks.trial import At, Trial
from learned_opt.core.types import Array, Batch, Key, Params, Problem, Task

SIZES = (64, 24, 24, 10)
STEPS = 500


def digits(batch_size: int | None = 16, num_rows: int | None = None) -> Task:
    init, apply = mlp(SIZES, jax.nn.relu)
    rows = data.images("digits", 8)
    return supervised(rows, init, apply, cross_entropy, batch_size=batch_size, num_rows=num_rows)


def scaled(factor: float) -> Task:
    """The loss and its gradients times a factor."""
    task = digits()
    return task._replace(loss=lambda params, problem, batch: factor * task.loss(params, problem, batch))


def through(task: Task, seen: Callable[[Params], Params], start: Callable[[Params], Params]) -> Task:
    """A task whose params are `seen(params)`; they start at `start` of the task's own."""
    metrics = task.metrics
    assert metrics is not None
    return task._replace(
        init=lambda key, problem: start(task.init(key, problem)),
        loss=lambda params, problem, batch: task.loss(seen(params), problem, batch),
        metrics=lambda params, problem, data: metrics(seen(params), problem, data),
    )


def rescaled() -> Task:
    """Each tensor in another unit, from a thousandth to a thousand times as large."""
    units = {"w0": 1e3, "b0": 1e-2, "w1": 1e-3, "b1": 1e1, "w2": 1e2, "b2": 1e-3}
    return through(
        digits(),
        lambda params: {name: leaf / units[name] for name, leaf in params.items()},
        lambda params: {name: leaf * units[name] for name, leaf in params.items()},
    )


def half_precision() -> Task:
    """Params in bfloat16, and with them the gradients; the loss is computed in float32."""

    def cast(dtype) -> Callable[[Params], Params]:
        return lambda params: jax.tree.map(lambda leaf: leaf.astype(dtype), params)

    return through(digits(), cast(jnp.float32), cast(jnp.bfloat16))


def frozen() -> Task:
    """Gradients of exactly zero: for the first layer, and for a tensor that nothing depends on."""

    def seen(params: Params) -> Params:
        first = {name: jax.lax.stop_gradient(params[name]) for name in ("w0", "b0")}
        return {name: leaf for name, leaf in params.items() if name != "unused"} | first

    return through(digits(), seen, lambda params: params | {"unused": jnp.ones((5, 3))})


def flat() -> Task:
    """No gradient at all, of any tensor, ever."""
    task = digits()

    def stopped(params: Params, problem: Problem, batch: Batch) -> Array:
        return task.loss(jax.lax.stop_gradient(params), problem, batch)

    return task._replace(loss=stopped)


def spikes() -> Task:
    """One step in fifty has a gradient ten thousand times as large, in a random direction."""
    task = digits()

    def batch(key: Key, problem: Problem, data: data.Rows) -> tuple[Batch, Array, Key]:
        keys = jax.random.split(key, 3)
        drawn = jax.random.uniform(keys[0]) < 0.02
        return task.batch(keys[1], problem, data), drawn, keys[2]

    def loss(params: Params, problem: Problem, batch: tuple[Batch, Array, Key]) -> Array:
        rows, drawn, key = batch
        noise = optax.tree.random_like(key, params, jax.random.normal)
        push = jnp.asarray(optax.tree.vdot(noise, params))
        return task.loss(params, problem, rows) + jnp.where(
            drawn, 1e2 * (push - jax.lax.stop_gradient(push)), 0.0
        )

    return task._replace(batch=batch, loss=loss)


def moving() -> Task:
    """The labels change their meaning every hundred steps; the loss is that of the present meaning."""
    task = digits()
    metrics = task.metrics
    assert metrics is not None

    def turned(labels: Array, problem: At) -> Array:
        return (labels + 3 * (problem.step // 100)) % 10

    def batch(key: Key, problem: At, rows: data.Rows) -> Batch:
        inputs, labels = task.batch(key, problem.problem, rows)
        return inputs, turned(labels, problem)

    def measured(params: Params, problem: At, rows: data.Rows) -> dict[str, Array]:
        # At the end of a meaning, not at the start of the next.
        before = problem._replace(step=jnp.maximum(problem.step - 1, 0))
        present = rows._replace(
            targets=turned(rows.targets, before), test_targets=turned(rows.test_targets, before)
        )
        return metrics(params, problem.problem, present)

    return task._replace(
        sample=lambda key: At(task.sample(key), jnp.zeros([], jnp.int32)), batch=batch, metrics=measured
    )


def adapters() -> Task:
    """Products of thin matrices, one of each pair zero at first, on frozen weights (Hu et al., 2022)."""
    rank = 2
    base_init, _ = mlp(SIZES, jax.nn.relu)
    layers = list(itertools.pairwise(SIZES))

    def init(key: Key) -> Weights:
        weights = {}
        for i, (fan_in, fan_out) in enumerate(layers):
            weights[f"down{i}"] = matrix(jax.random.fold_in(key, i), fan_in, rank)
            weights[f"up{i}"] = jnp.zeros((rank, fan_out))
        return weights

    def apply(weights: Weights, x: Array) -> Array:
        base = base_init(jax.random.key(7))
        x = x.reshape(x.shape[0], -1)
        for i in range(len(layers)):
            x = x @ (base[f"w{i}"] + weights[f"down{i}"] @ weights[f"up{i}"])
            x = jax.nn.relu(x) if i < len(layers) - 1 else x
        return x

    return supervised(data.images("digits", 8), init, apply, cross_entropy, batch_size=16)


def fine_tuning() -> Task:
    """A network that has been trained on one function goes on with one near it."""
    network_init, apply = mlp((1, 24, 24, 1), jnp.tanh, gain=1.0)
    places = jnp.linspace(-1, 1, 48)[:, None]

    def function(key: Key) -> Array:
        keys = jax.random.split(key)
        frequencies, phases = 6 * jax.random.normal(keys[0], (3,)), 6 * jax.random.uniform(keys[1], (3,))
        return jnp.sum(jnp.sin(frequencies * places + phases), axis=-1, keepdims=True)

    def loss(weights: Weights, target: Array) -> Array:
        return jnp.mean(squared_error(apply(weights, places), target))

    def sample(key: Key) -> tuple[Array, Array]:
        first, second = (function(k) for k in jax.random.split(key))
        return first, first + 0.2 * second

    def init(key: Key, problem: tuple[Array, Array]) -> Weights:
        adam, weights = optax.adam(1e-2), network_init(key)

        def step(_, carry):
            weights, state = carry
            updates, state = adam.update(jax.grad(loss)(weights, problem[0]), state)
            return optax.apply_updates(weights, updates), state

        return jax.lax.fori_loop(0, 1000, step, (weights, adam.init(weights)))[0]

    return deterministic(sample, init, lambda weights, problem: loss(weights, problem[1]))


def stress(name: str, make: Callable[[], Task], summary: str, steps: int = STEPS) -> Trial:
    return Trial(f"stress-{name}", "between", steps, make, summary)


BASE = "64-24-24-10, ReLU, digits"
TRIALS = (
    *(
        stress(f"scale-{factor:g}", functools.partial(scaled, factor), f"{BASE}; gradients times {factor:g}")
        for factor in (1e-4, 1e-2, 1e2, 1e4)
    ),
    stress("rescaled", rescaled, f"{BASE}; each tensor in another unit, 1e-3 to 1e3"),
    stress("batch-1", functools.partial(digits, 1), f"{BASE}; batches of 1"),
    stress(
        "long", functools.partial(digits, None, 16), f"{BASE}; all of 16 rows, 20 times as long", 20 * STEPS
    ),
    stress("long-noisy", functools.partial(digits, 4), f"{BASE}; batches of 4, 20 times as long", 20 * STEPS),
    stress("bfloat16", half_precision, f"{BASE}; params and gradients in bfloat16"),
    stress("frozen", frozen, f"{BASE}; the first layer and a tensor without use have gradients of zero"),
    stress("flat", flat, f"{BASE}; no gradient at all"),
    stress("spikes", spikes, f"{BASE}; now and then a gradient ten thousand times as large"),
    stress("moving", moving, f"{BASE}; the labels change their meaning every 100 steps"),
    stress("adapters", adapters, f"{BASE}; adapters of rank 2 that start at zero"),
    stress("fine-tuning", fine_tuning, "1-24-24-1, tanh; from the weights that fit another function"),
)
