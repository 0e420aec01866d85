"""Predictions for a user's binary problem by a weight memory that was meta-trained on others."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt import runs
from learned_opt.core.config import validated
from learned_opt.core.errors import unknown_name
from learned_opt.core.trees import check_same_structure
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context.weight_memory import WeightMemory, learn, mean_cross_entropy, registry
from learned_opt.in_context.weight_training import WeightMemorySettings, draw_datasets
from learned_opt.in_context.xor_datasets import Dataset, Datasets, standardized
from learned_opt.in_context.xor_datasets import registry as data_registry

# Beside the function learners' weights, whose directory holds nothing else.
MEMORY_WEIGHTS = Path(__file__).parent / "weights" / "memories"
DEFAULT_MEMORY = "weight-memory"
COMPARISON_STREAM = 0xC03
BATCH = 50  # data sets that are learned side by side


class StoredMemory(NamedTuple):
    """What `load_memory` returns.

    Attributes:
        memory: the network.
        theta: its parameters.
        validation: the data sets that it was selected on.
        settings: that it was meta-trained with.
    """

    memory: WeightMemory
    theta: Theta
    validation: Datasets
    settings: WeightMemorySettings


def is_memory(path: str | Path) -> bool:
    """Whether a run, a file or a name is of a weight memory, and not of a function learner.

    Args:
        path: as `load_memory` takes it.

    Returns:
        Whether it is.

    Raises:
        RunError: if it is a directory that holds no run.

    Example:
        >>> is_memory("weight-memory"), is_memory("boolean-16")
        (True, False)
    """
    path = Path(path)
    if path.is_dir():
        return "memory" in runs.RunDirectory.open(path).config
    if path.suffix == ".safetensors":
        return path.is_file() and "memory" in runs.load_weights(path)[1]
    return (MEMORY_WEIGHTS / f"{path}.safetensors").is_file()


def load_memory(path: str | Path = DEFAULT_MEMORY) -> StoredMemory:
    """Reads a meta-trained weight memory; every byte is checked.

    Args:
        path: of a finished run's directory, of a `.safetensors` file, or the name of a shipped memory.

    Returns:
        The network, its theta and its settings.

    Raises:
        RunError: if the directory holds no run.
        FileNotFoundError: if there is no such file, or the run is not finished.
        ValueError: if no memory of that name is shipped, with the nearest match.
        WeightsError: if the file is damaged, or of something else.

    Example:
        >>> load_memory().memory.num_inputs
        4
    """
    path = Path(path)
    if path.is_dir():
        path = runs.RunDirectory.open(path).theta_path
    elif path.suffix != ".safetensors":
        names = [file.stem for file in MEMORY_WEIGHTS.glob("*.safetensors")]
        if str(path) not in names:
            raise unknown_name("weight memory", str(path), names)
        path = MEMORY_WEIGHTS / f"{path}.safetensors"
    theta, what = runs.load_weights(path)
    if not what.get("memory"):
        raise runs.WeightsError(f"{path}: the file is of no weight memory that was made by name")
    memory = registry.from_json(what["memory"]).make()
    expected = jax.eval_shape(memory.init, jax.random.key(0))
    check_same_structure(theta, expected, "theta", "the memory's theta")
    validation = data_registry.from_json(what["validation_data"]).make()
    settings = validated(WeightMemorySettings, what["settings"], "settings")
    return StoredMemory(memory, theta, validation, settings)


def predict(
    inputs: Any,
    targets: Any,
    queries: Any,
    *,
    weights: str | Path | StoredMemory = DEFAULT_MEMORY,
    num_orders: int = 16,
    seed: int = 0,
) -> np.ndarray:
    """Learns a binary problem from its samples in one pass, and predicts others.

    The samples are shown to a weight memory once, in several random orders and with the inputs in random
    order and sign; the predictions are averaged. A problem of fewer inputs than the memory was meta-trained
    for is turned at random in its space, and of one of more the principal components are seen. Of more
    samples than it has seen in meta-training, every order shows others, that many. The prediction of a query
    does not depend on the other queries.

    Args:
        inputs: f[num_samples, num_inputs], the training samples.
        targets: [num_samples], each 0 or 1.
        queries: f[num_queries, num_inputs], the samples to be predicted.
        weights: a name, file or run, as `load_memory` takes it, or what it returns.
        num_orders: over which predictions are averaged.
        seed: of the orders.

    Returns:
        f32[num_queries], the probabilities of 1.

    Raises:
        ValueError: if shapes do not fit, a value is missing or infinite, or the targets are not 0 and 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(150, 2))
        >>> y = (x[:, 0] > 0) != (x[:, 1] > 0)  # no line separates them
        >>> p = predict(x[:100], y[:100], x[100:])
        >>> bool(np.mean((p > 0.5) == y[100:]) > 0.8)
        True
    """
    inputs, targets, queries = checked_problem(inputs, targets, queries)
    if num_orders < 1:
        raise ValueError(f"num_orders={num_orders!r}: it must be at least 1")
    stored = weights if isinstance(weights, StoredMemory) else load_memory(weights)
    if inputs.shape[1] > stored.memory.num_inputs:
        inputs, queries = _principal_components(inputs, queries, stored.memory.num_inputs)
    average = jax.jit(averaged_predictions, static_argnames=("memory", "max_train", "num_orders"))
    scaled = [
        standardized(jnp.asarray(x, jnp.float32), jnp.asarray(inputs, jnp.float32)) for x in (inputs, queries)
    ]
    probabilities = average(
        stored.memory,
        stored.theta,
        Dataset(scaled[0], jnp.asarray(targets, jnp.float32)),
        len(inputs),
        scaled[1],
        jax.random.key(seed),
        max_train=stored.settings.max_train,
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
    """The mean of what a weight memory predicts after training samples in several orders.

    Args:
        memory: the network.
        theta: its parameters.
        data: training samples first; those that follow have no influence.
        num_train: i32[], how many training samples there are.
        queries: f32[num_queries, num_inputs], scaled as the samples are.
        key: of the orders, and of the orders and signs of the inputs.
        max_train: how many samples an order shows at most.
        num_orders: how many orders.

    Returns:
        f32[num_queries], the probabilities of 1.

    Raises:
        ValueError: if there are more inputs than the memory has.

    Example:
        >>> from learned_opt.in_context import xor_datasets
        >>> memory, theta, *_ = load_memory()
        >>> data = xor_datasets(num_samples=60).sample(jax.random.key(0))
        >>> p = averaged_predictions(
        ...     memory, theta, data, 50, data.inputs[50:], jax.random.key(1), max_train=180, num_orders=2
        ... )
        >>> p.shape
        (10,)
    """
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
        >>> memory, theta, *_ = load_memory()
        >>> data, num_train = draw_datasets(xor_datasets(), jax.random.key(0), 50, 100, 180)
        >>> losses = memory_losses(memory, theta, data, num_train)
        >>> losses.shape, bool(losses.mean() < 0.55)
        ((50,), True)
    """

    def loss(theta: Theta, one: Dataset, n: Array, key: Key) -> Array:
        if num_orders is None:
            logits = learn(memory, theta, one, n).logits
        else:
            options = {"max_train": max_train, "num_orders": num_orders}
            p = averaged_predictions(memory, theta, one, n, one.inputs, key, **options)
            logits = jnp.log(p) - jnp.log1p(-p)
        return mean_cross_entropy(logits, one.targets, n, "test")

    keys = jax.random.split(jax.random.key(seed), num_train.shape[0])
    run = jax.jit(lambda theta, *each: jax.lax.map(lambda one: loss(theta, *one), each, batch_size=BATCH))
    return np.asarray(run(theta, data, num_train, keys))


def comparison_datasets(stored: StoredMemory, num: int, *, seed: int = 0) -> tuple[Dataset, Array]:
    """Fresh data sets to compare learning algorithms on, of the kind that a memory was selected on.

    Args:
        stored: the memory.
        num: how many data sets.
        seed: of the data sets; no training or validation of any seed draws the same.

    Returns:
        The data sets, with a leading axis, training samples first; and i32[num], how many those are.

    Example:
        >>> data, num_train = comparison_datasets(load_memory(), 3)
        >>> data.inputs.shape, num_train.shape
        ((3, 200, 4), (3,))
    """
    key = jax.random.fold_in(jax.random.key(seed), COMPARISON_STREAM)
    settings = stored.settings
    draw = functools.partial(draw_datasets, stored.validation, num=num)
    return jax.jit(functools.partial(draw, min_train=settings.min_train, max_train=settings.max_train))(key)


def checked_problem(inputs: Any, targets: Any, queries: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A binary problem as float arrays, or an error that says what to mend.

    Args:
        inputs: as in `predict`.
        targets: as in `predict`.
        queries: as in `predict`.

    Returns:
        f64[num_samples, num_inputs], f64[num_samples] and f64[num_queries, num_inputs].

    Raises:
        ValueError: as `predict`.

    Example:
        >>> checked_problem([[1.0], [2.0]], [0, 2], [[3.0]])
        Traceback (most recent call last):
        ...
        ValueError: targets hold 0.0, 2.0; they must be 0 and 1: name the classes so, both of them
    """
    tables = {"inputs": _numbers(inputs, "inputs"), "queries": _numbers(queries, "queries")}
    for name, table in tables.items():
        if table.ndim != 2 or 0 in table.shape:
            raise ValueError(f"{name} of shape {table.shape}: give [samples, inputs], at least one of each")
        if not np.isfinite(table).all():
            row, column = np.argwhere(~np.isfinite(table))[0]
            raise ValueError(
                f"{name}[{row}, {column}] is {table[row, column]}: values must not be missing or infinite; "
                "fill them in or leave the sample out"
            )
    x, q = tables["inputs"], tables["queries"]
    y = _numbers(targets, "targets")
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
    return x, y, q


def _numbers(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} are not numbers in rows of the same length ({error})") from error


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
    """The leading principal components of inputs that are scaled to variance 1."""
    mean, deviation = inputs.mean(0), inputs.std(0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    scaled = (inputs - mean) / deviation
    axes = np.linalg.svd(scaled, full_matrices=False)[2][:wanted].T
    return scaled @ axes, (queries - mean) / deviation @ axes
