"""Meta-training of a weight memory: batches of fresh data sets, each with its own share of training samples.

Deviations from the paper: batches in place of single data sets, no data set is seen twice, and Adam by
default; `smorms3` is the paper's.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax

from learned_opt import runs
from learned_opt.core.config import validated
from learned_opt.core.errors import unknown_name
from learned_opt.core.types import Array, Key, Theta
from learned_opt.optimizers.smorms3 import smorms3
from learned_opt.in_context.training import Trained, TrainingSettings, train
from learned_opt.in_context.weight_memory import WeightMemory, learn, mean_cross_entropy
from learned_opt.in_context.weight_memory import registry as memory_registry
from learned_opt.in_context.xor_datasets import Dataset, Datasets
from learned_opt.in_context.xor_datasets import registry as data_registry

OPTIMIZERS = ("adam", "smorms3")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightMemorySettings(TrainingSettings):
    """The settings of a weight memory's meta-training.

    Attributes:
        batch_size: data sets of a step.
        min_train: least number of training samples of a data set.
        max_train: greatest number of them; the others are test samples.
        cost: over all samples of a data set, or over its test samples.
        optimizer_name: of theta: adam, or smorms3 with a constant learning rate.
        num_validation_datasets: fresh data sets that theta is selected on, by their test samples.
        num_steps: updates of theta.
        learning_rate: of the optimizer; Adam's at its peak.
        warmup_steps: steps over which Adam's learning rate rises from 0.
        final_fraction: of the learning rate that Adam's cosine decay ends at.
        clip_norm: global norm that the gradient is clipped to.
        weight_decay: of Adam, decoupled from the gradient.
        validate_every: steps between validations; each is followed by a checkpoint.
        steps_per_call: steps in one jitted call.
        num_starts: networks that are trained side by side, each from weights and with data of its own; the
            one with the best validation is kept.
        seed: of everything random.
    """

    num_steps: int = 5000
    learning_rate: float = 2e-3
    validate_every: int = 100
    steps_per_call: int = 25
    batch_size: int = 64
    min_train: int = 20
    max_train: int = 180
    cost: Literal["all", "test"] = "all"
    optimizer_name: Literal["adam", "smorms3"] = "adam"
    num_validation_datasets: int = 512

    def __post_init__(self):
        super().__post_init__()
        for name in ("batch_size", "num_validation_datasets"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: it must be at least 1")
        if not 0 <= self.min_train <= self.max_train:
            raise ValueError(
                f"min_train={self.min_train!r}, max_train={self.max_train!r}: they must be at least 0 and in "
                "this order"
            )
        if self.optimizer_name not in OPTIMIZERS:
            raise unknown_name("optimizer_name", self.optimizer_name, OPTIMIZERS)

    def optimizer(self) -> optax.GradientTransformation:
        """Adam as in all training here, or the paper's SMORMS3 with the same clipping."""
        if self.optimizer_name == "adam":
            return super().optimizer()
        return optax.apply_if_finite(
            optax.chain(optax.clip_by_global_norm(self.clip_norm), smorms3(self.learning_rate)),
            max_consecutive_errors=self.num_steps + 1,
        )


def train_weight_memory(
    memory: WeightMemory,
    datasets: Datasets,
    *,
    validation: Datasets | None = None,
    directory: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Trained:
    """Meta-trains a weight memory: its learner, and the cells that it starts from.

    Args:
        memory: the network.
        datasets: what it is trained on.
        validation: what theta is selected on, such as the same with less noise; by default the same.
        directory: a new directory for the configuration, metrics, checkpoints and the final theta; nothing
            is stored without one.
        quiet: whether to show no progress.
        **settings: fields of `WeightMemorySettings`.

    Returns:
        The best theta and how it came about.

    Raises:
        ValueError: if a setting is unknown or out of range, or the data does not fit the network.
        RunError: if the directory holds something already.

    Example:
        >>> from learned_opt.in_context import weight_memory, xor_datasets
        >>> memory = weight_memory(num_inputs=2, num_hidden=4, learner_sizes=(8,))
        >>> trained = train_weight_memory(
        ...     memory,
        ...     xor_datasets(num_inputs=2, num_samples=30),
        ...     num_steps=4,
        ...     warmup_steps=0,
        ...     batch_size=2,
        ...     min_train=10,
        ...     max_train=20,
        ...     num_validation_datasets=4,
        ...     validate_every=2,
        ...     quiet=True,
        ... )
        >>> len(trained.metrics)
        2

    Reference:
        Learning to learn neural networks, sections 2 and 4.
    """
    checked = validated(WeightMemorySettings, settings, "settings")
    validation = datasets if validation is None else validation
    for drawn_from in (datasets, validation):
        _check_fit(memory, drawn_from, checked)
    run_directory = None
    if directory is not None:
        run_directory = runs.RunDirectory.create(
            directory,
            {
                "memory": memory.config and memory_registry.to_json(memory.config),
                "data": datasets.config and data_registry.to_json(datasets.config),
                "validation_data": validation.config and data_registry.to_json(validation.config),
                "settings": dataclasses.asdict(checked),
                "provenance": runs.provenance(),
            },
        )
    return _train(memory, datasets, validation, checked, run_directory, quiet)


def resume_weight_memory(directory: str | Path, *, quiet: bool = False) -> Trained:
    """Continues a run of `train_weight_memory`, with the same result to the bit as an undisturbed one.

    Args:
        directory: of the run, whose network and data were made by name.
        quiet: whether to show no progress.

    Returns:
        As `train_weight_memory`; a finished run is returned as it is.

    Raises:
        RunError: if the directory holds no such run.
        ValueError: if the run's network or data has no name.

    Example:
        >>> resume_weight_memory("nothing-here")
        Traceback (most recent call last):
        ...
        learned_opt.runs.directory.RunError: ...
    """
    run_directory = runs.RunDirectory.open(directory)
    config = run_directory.config
    if "memory" not in config:
        raise runs.RunError(f"{directory} is no run of a weight memory; it has {', '.join(config)}")
    return _train(
        memory_registry.from_json(config["memory"]).make(),
        data_registry.from_json(config["data"]).make(),
        data_registry.from_json(config["validation_data"]).make(),
        validated(WeightMemorySettings, config["settings"], "settings"),
        run_directory,
        quiet,
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


def _train(
    memory: WeightMemory,
    datasets: Datasets,
    validation: Datasets,
    settings: WeightMemorySettings,
    directory: runs.RunDirectory | None,
    quiet: bool,
) -> Trained:
    def mean_cost(theta: Theta, key: Key, drawn_from: Datasets, num: int, samples: Any) -> Array:
        drawn, num_train = draw_datasets(drawn_from, key, num, settings.min_train, settings.max_train)

        def cost(one: Dataset, n: Array) -> Array:
            return mean_cross_entropy(learn(memory, theta, one, n).logits, one.targets, n, samples)

        return jnp.mean(jax.vmap(cost)(drawn, num_train))

    return train(
        memory.init,
        lambda theta, key: mean_cost(theta, key, datasets, settings.batch_size, settings.cost),
        lambda theta, key: {
            "loss": mean_cost(theta, key, validation, settings.num_validation_datasets, "test")
        },
        settings=settings,
        directory=directory,
        quiet=quiet,
    )


def _check_fit(memory: WeightMemory, datasets: Datasets, settings: WeightMemorySettings) -> None:
    num_samples, num_inputs = jax.eval_shape(datasets.sample, jax.random.key(0)).inputs.shape
    if num_inputs != memory.num_inputs:
        raise ValueError(f"a memory of {memory.num_inputs} inputs cannot learn data sets of {num_inputs}")
    if settings.max_train >= num_samples:
        raise ValueError(
            f"max_train={settings.max_train!r}: of {num_samples} samples none are then left for the test"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryRecipe:
    """The meta-training of a weight memory in full.

    Attributes:
        summary: one line of what it is for.
        memory: a network's configuration, as `weight_memory` makes it.
        data: the configuration of the data sets that it is trained on.
        validation: of those that it is selected on, and is compared with other learning algorithms on.
        settings: of the training.
    """

    summary: str
    memory: Any
    data: Any
    validation: Any
    settings: WeightMemorySettings


# The noise of the data sets that memories are compared on is such that logistic regression and the support
# vector machines come near the losses that the paper has for them; in meta-training there is more of it.
MEMORY_RECIPES: dict[str, MemoryRecipe] = {
    "weight-memory": MemoryRecipe(
        summary="XOR of two half-spaces, 4 inputs, 20 to 180 training samples; MLP of 32 units in 193 cells",
        memory=memory_registry.get("weight_memory")(num_inputs=4, learner_sizes=(128, 64)),
        data=data_registry.get("xor_datasets")(num_inputs=4, noise=2.0),
        validation=data_registry.get("xor_datasets")(num_inputs=4, noise=1.5),
        settings=WeightMemorySettings(),
    ),
}
