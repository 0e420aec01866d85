"""Meta-training of a weight memory: batches of fresh data sets, each with its own share of training samples.

Deviations from the paper: batches in place of single data sets, no data set is seen twice, and Adam by
default; SMORMS3 is the paper's.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from learned_opt.core.kinds import Kind, Trainable, register_kind
from learned_opt.core.remembered import remembered
from learned_opt.core.types import Array, Estimator, Key, Theta
from learned_opt.in_context.memory.weight_memory import WeightMemory, learn, mean_loss, training_samples
from learned_opt.in_context.memory.weight_memory import registry as memory_registry
from learned_opt.in_context.memory.xor_datasets import Dataset, Datasets
from learned_opt.in_context.memory.xor_datasets import registry as data_registry
from learned_opt.meta.settings import Settings
from learned_opt.training.estimators.loss_gradient import loss_gradient
from learned_opt.training.estimators.settings import check_positive, registry

ORDER_STREAM = 0x0DE2


@registry.add
@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetBatches:
    """The exact gradient of the mean loss on fresh data sets: cross entropy, or squared error.

    Attributes:
        batch_size: data sets of a step.
        min_train: least number of training samples of a data set.
        max_train: greatest number of them; the others are test samples.
        interlaced: whether training samples lie anywhere among the others, and not before them all.
        cost: over all samples of a data set, or over its test samples.
        num_validation_datasets: fresh data sets that theta is selected on, by their test samples.
    """

    name = "datasets"

    batch_size: int = 64
    min_train: int = 20
    max_train: int = 180
    interlaced: bool = False
    cost: Literal["all", "test"] = "all"
    num_validation_datasets: int = 512

    def __post_init__(self):
        check_positive(self, "batch_size", "num_validation_datasets")
        if not 0 <= self.min_train <= self.max_train:
            raise ValueError(
                f"min_train={self.min_train!r}, max_train={self.max_train!r}: they must be at least 0 and in "
                "this order"
            )


def trainable(
    memory: WeightMemory, datasets: Datasets, validation: Datasets, settings: Settings, mesh: Any
) -> Trainable:
    """What the trainer sees of a weight memory; its data sets are on one device, whatever the mesh."""
    batches: DatasetBatches = settings.estimator
    for drawn_from in (datasets, validation):
        _check_fit(memory, drawn_from, batches)
    key = settings.validation_key()
    validation_loss = _validation_loss(memory, validation, batches)
    return Trainable(
        memory.init,
        _estimator(memory, datasets, batches),
        lambda theta: {"loss": float(validation_loss(theta, key))},
    )


@remembered
def _estimator(memory: WeightMemory, datasets: Datasets, batches: DatasetBatches) -> Estimator:
    def loss(theta: Theta, key: Key) -> Array:
        return _mean_cost(memory, datasets, batches, theta, key, batches.batch_size, batches.cost)

    return loss_gradient(loss)


@remembered
def _validation_loss(
    memory: WeightMemory, datasets: Datasets, batches: DatasetBatches
) -> Callable[[Theta, Key], Array]:
    num = batches.num_validation_datasets
    return jax.jit(lambda theta, key: _mean_cost(memory, datasets, batches, theta, key, num, "test"))


def _mean_cost(
    memory: WeightMemory,
    datasets: Datasets,
    batches: DatasetBatches,
    theta: Theta,
    key: Key,
    num: int,
    samples: Any,
) -> Array:
    drawn, num_train = draw_datasets(datasets, key, num, batches.min_train, batches.max_train)

    if batches.interlaced:
        size = drawn.targets.shape[1]
        order_keys = jax.random.split(jax.random.fold_in(key, ORDER_STREAM), num)
        num_train = jax.vmap(lambda key, n: jax.random.permutation(key, training_samples(n, size)))(
            order_keys, num_train
        )

    def cost(one: Dataset, n: Array) -> Array:
        return mean_loss(memory, learn(memory, theta, one, n).logits, one.targets, n, samples)

    return jnp.mean(jax.vmap(cost)(drawn, num_train))


KIND = register_kind(
    Kind(
        name="weight memory",
        plural="weight memories",
        model=WeightMemory,
        models=memory_registry,
        tasks=data_registry,
        estimators=("datasets",),
        trainable=trainable,
    )
)


def draw_datasets(
    datasets: Datasets, key: Key, num: int, min_train: int, max_train: int
) -> tuple[Dataset, Array]:
    """Draws data sets, and how many samples of each are training samples.

    Args:
        datasets: to draw from.
        key: of the draw.
        num: how many data sets.
        min_train: least number of training samples.
        max_train: greatest number of training samples.

    Returns:
        The data sets, with a leading axis `num`, and i32[num].

    Example:
        >>> from learned_opt.in_context import xor_datasets
        >>> drawn, num_train = draw_datasets(xor_datasets(num_samples=30), jax.random.key(0), 3, 10, 20)
        >>> drawn.inputs.shape, num_train.shape
        ((3, 30, 4), (3,))
    """
    data_key, split_key = jax.random.split(key)
    drawn = jax.vmap(datasets.sample)(jax.random.split(data_key, num))
    return drawn, jax.random.randint(split_key, (num,), min_train, max_train + 1)


def _check_fit(memory: WeightMemory, datasets: Datasets, batches: DatasetBatches) -> None:
    num_samples, num_inputs = jax.eval_shape(datasets.sample, jax.random.key(0)).inputs.shape
    if num_inputs != memory.num_inputs:
        raise ValueError(f"a memory of {memory.num_inputs} inputs cannot learn data sets of {num_inputs}")
    wanted, given = memory.targets, datasets.targets
    if wanted.name != given or (given == "classes" and wanted.num_outputs != datasets.num_classes):
        raise ValueError(
            f"a memory of {wanted.name}, {wanted.num_outputs} outputs, cannot learn data sets of {given}"
        )
    if batches.max_train >= num_samples:
        raise ValueError(
            f"max_train={batches.max_train!r}: of {num_samples} samples none are then left for the test"
        )
