"""Predictions for a user's binary problem by a weight memory that was meta-trained on others."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt import zoo
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context.memory.datasets_loss import draw_datasets
from learned_opt.in_context.memory.standardization import numbers, standardized
from learned_opt.in_context.memory.weight_memory import WeightMemory, learn, mean_loss
from learned_opt.in_context.memory.xor_datasets import Dataset, Datasets
from learned_opt.meta.settings import settings_of

DEFAULT_MEMORY = "weight-memory"
COMPARISON_STREAM = 0xC03
SMALLEST = 1e-7
BATCH = 50  # data sets that are learned side by side


def predict(
    inputs: Any,
    targets: Any,
    queries: Any,
    *,
    weights: str | Path | zoo.Stored = DEFAULT_MEMORY,
    num_orders: int = 16,
    seed: int = 0,
) -> np.ndarray:
    """Learns a binary problem from its samples in one pass, and predicts others.

    The samples are shown to a weight memory once, in several random orders and with the inputs in random
    order and sign; the predictions are averaged. Where a problem has fewer inputs than the memory was
    meta-trained for, they are rotated at random into its input space; where it has more, their principal
    components are shown. Where there are more samples than in meta-training, every order shows another
    subset of that size. The prediction of a query does not depend on the other queries, nor on the units of
    the inputs: each is scaled to mean 0 and deviation 1 over the samples, in float64.

    Args:
        inputs: [num_samples, num_inputs], the training samples, of any real dtype; no input is the same in
            all of them.
        targets: [num_samples], each 0 or 1.
        queries: [num_queries, num_inputs], the samples to be predicted.
        weights: a weight memory, as `zoo.load` takes it, or what it returns.
        num_orders: over which predictions are averaged.
        seed: of the orders.

    Returns:
        f32[num_queries], the probabilities of 1.

    Raises:
        ValueError: if shapes do not fit, a value is missing or infinite, an input is constant, or the targets
            are not 0 and 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(150, 2))
        >>> y = (x[:, 0] > 0) != (x[:, 1] > 0)  # no line separates them
        >>> p = predict(x[:100], y[:100], x[100:])
        >>> bool(np.mean((p > 0.5) == y[100:]) > 0.8)
        True
    """
    inputs, targets, queries = standardized_problem(inputs, targets, queries)
    if num_orders < 1:
        raise ValueError(f"num_orders={num_orders!r}: it must be at least 1")
    stored = weights if isinstance(weights, zoo.Stored) else zoo.load(weights, "weight memory")
    memory = stored.model
    if inputs.shape[1] > memory.num_inputs:
        inputs, queries = _principal_components(inputs, queries, memory.num_inputs)
    average = jax.jit(averaged_predictions, static_argnames=("memory", "max_train", "num_orders"))
    probabilities = average(
        memory,
        stored.theta,
        Dataset(jnp.asarray(inputs, jnp.float32), jnp.asarray(targets, jnp.float32)),
        len(inputs),
        jnp.asarray(queries, jnp.float32),
        jax.random.key(seed),
        max_train=settings_of(stored.config).estimator.max_train,
        num_orders=num_orders,
    )
    return np.asarray(probabilities)


def averaged_predictions(
    memory: WeightMemory,
    theta: Theta,
    data: Dataset,
    num_train: Any,
    queries: Array,
    key: Key,
    *,
    max_train: int,
    num_orders: int,
) -> Array:
    """The mean of the probabilities f32[num_queries] after training samples in several random orders.

    What follows the `num_train` training samples of `data` has no influence; an order shows `max_train` of
    them at most. The queries are scaled as the samples are.
    """
    if memory.targets.name != "binary":
        raise ValueError(f"a memory of {memory.targets.name}: only predictions of two classes are averaged")
    num_samples, given = data.inputs.shape
    wanted = memory.num_inputs
    if given > wanted:
        raise ValueError(f"data of {given} inputs for a memory of {wanted}; leave some out")
    is_train = jnp.arange(num_samples) < num_train
    num_shown = jnp.minimum(num_train, max_train)

    def predictions(key: Key) -> Array:
        order_key, view_key = jax.random.split(key)
        view = _view(view_key, given, wanted)
        order = jnp.argsort(
            jnp.where(is_train, jax.random.uniform(order_key, (num_samples,), jnp.float32), 2)
        )
        shown = Dataset(data.inputs @ view, data.targets)
        shown = jax.tree.map(lambda x: x[order[:max_train]], shown)
        cells = learn(memory, theta, shown, num_shown).cells[num_shown]
        return jax.nn.sigmoid(jax.vmap(memory.predict, (None, 0))(cells, queries @ view))

    return jnp.mean(jax.lax.map(predictions, jax.random.split(key, num_orders)), axis=0)


def memory_losses(
    memory: WeightMemory,
    theta: Theta,
    data: Dataset,
    num_train: Array,
    *,
    num_orders: int | None = None,
    max_train: int = 180,
    seed: int = 0,
) -> np.ndarray:
    """A weight memory's mean cross entropy over the test samples of each data set.

    Args:
        memory: the network.
        theta: its parameters.
        data: data sets, with a leading axis, training samples first.
        num_train: i32[num_datasets], how many there are of them.
        num_orders: over which predictions are averaged; `None` for one pass in the order that is given.
        max_train: how many samples an order shows at most.
        seed: of the orders.

    Returns:
        f32[num_datasets].

    Example:
        >>> from learned_opt.in_context import draw_datasets, xor_datasets
        >>> stored = zoo.load("weight-memory")
        >>> data, num_train = draw_datasets(xor_datasets(), jax.random.key(0), 50, 100, 180)
        >>> losses = memory_losses(stored.model, stored.theta, data, num_train)
        >>> losses.shape, bool(losses.mean() < 0.55)
        ((50,), True)
    """

    def loss(theta: Theta, one: Dataset, n: Array, key: Key) -> Array:
        if num_orders is None:
            logits = learn(memory, theta, one, n).logits
        else:
            options = {"max_train": max_train, "num_orders": num_orders}
            p = averaged_predictions(memory, theta, one, n, one.inputs, key, **options)
            p = jnp.clip(p, SMALLEST, 1 - SMALLEST)  # a rounded 0 or 1 would have no finite logit
            logits = jnp.log(p) - jnp.log1p(-p)
        return mean_loss(memory, logits, one.targets, n, "test")

    keys = jax.random.split(jax.random.key(seed), num_train.shape[0])
    run = jax.jit(lambda theta, *each: jax.lax.map(lambda one: loss(theta, *one), each, batch_size=BATCH))
    return np.asarray(run(theta, data, num_train, keys))


def comparison_datasets(stored: zoo.Stored, num: int, *, seed: int = 0) -> tuple[Dataset, Array]:
    """Fresh data sets to compare learning algorithms on, of the kind that a memory was selected on.

    Args:
        stored: the memory.
        num: how many data sets.
        seed: of the data sets; no training or validation of any seed draws the same.

    Returns:
        The data sets, with a leading axis, training samples first; and i32[num], how many those are.

    Example:
        >>> data, num_train = comparison_datasets(zoo.load("weight-memory"), 3)
        >>> data.inputs.shape, num_train.shape
        ((3, 200, 4), (3,))
    """
    key = jax.random.fold_in(jax.random.key(seed), COMPARISON_STREAM)
    batches = settings_of(stored.config).estimator
    datasets = selected_on(stored)
    draw = functools.partial(draw_datasets, datasets, num=num)
    return jax.jit(functools.partial(draw, min_train=batches.min_train, max_train=batches.max_train))(key)


def selected_on(stored: zoo.Stored) -> Datasets:
    """The data sets that a weight memory was selected on.

    Args:
        stored: the memory.

    Returns:
        Their distribution.

    Example:
        >>> selected_on(zoo.load("weight-memory")).config.noise
        1.5
    """
    return (stored.config.validation_task or stored.config.task).make()


def standardized_problem(
    inputs: Any, targets: Any, queries: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The problem as f64 arrays, its inputs in units of their deviations; ValueError naming what is wrong."""
    tables = {"inputs": numbers(inputs, "inputs"), "queries": numbers(queries, "queries")}
    for name, table in tables.items():
        if table.ndim != 2 or 0 in table.shape:
            raise ValueError(f"{name} of shape {table.shape}: give [samples, inputs], at least one of each")
    x, q = tables["inputs"], tables["queries"]
    y = numbers(targets, "targets").astype(np.float64)
    if y.shape != x.shape[:1]:
        raise ValueError(f"targets of shape {y.shape} for inputs of shape {x.shape}: give one a sample")
    if q.shape[1] != x.shape[1]:
        raise ValueError(f"queries of {q.shape[1]} inputs for samples of {x.shape[1]}: they must be the same")
    if np.isnan(y).any():
        row = int(np.flatnonzero(np.isnan(y))[0])
        raise ValueError(f"targets[{row}] is missing; leave the sample out, or put it among the queries")
    found = np.unique(y)
    if not np.array_equal(found, [0, 1]):
        shown = ", ".join(map(str, found[:5].tolist())) + (", ..." if len(found) > 5 else "")
        raise ValueError(f"targets hold {shown}; they must be 0 and 1: name the classes so, both of them")
    x, q = standardized(x, q)
    return x, y, q


def _view(key: Key, given: int, wanted: int) -> Array:
    """A random matrix f32[given, wanted] that turns inputs into ones that the memory could have met as well.

    The distribution of data sets does not change with the order and the signs of inputs. Fewer inputs span a
    random subspace, in which every coordinate has a variance of about 1.
    """
    permutation_key, sign_key = jax.random.split(key)
    if given == wanted:
        signs = jax.random.rademacher(sign_key, (wanted,), jnp.float32)
        return jnp.diag(signs)[jax.random.permutation(permutation_key, wanted)]
    view = jax.random.normal(key, (given, wanted), jnp.float32)
    return view / jnp.linalg.norm(view, axis=0, keepdims=True)


def _principal_components(
    inputs: np.ndarray, queries: np.ndarray, wanted: int
) -> tuple[np.ndarray, np.ndarray]:
    """The leading principal components of standardized inputs, each standardized itself.

    Where the inputs span fewer dimensions, the components beyond are rounding errors and become 0.
    """
    _, sizes, axes = np.linalg.svd(inputs, full_matrices=False)
    spanned = sizes > sizes[0] * max(inputs.shape) * np.finfo(np.float64).eps
    scale = np.where(spanned, len(inputs) ** 0.5 / np.where(spanned, sizes, 1), 0)[:wanted]
    return inputs @ axes[:wanted].T * scale, queries @ axes[:wanted].T * scale
