"""Figures of a weight memory: its weights over time, and what they are worth on the test samples."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt import reports
from learned_opt.core.types import Array, Theta
from learned_opt.in_context.memory.weight_memory import (
    Learned,
    Model,
    WeightMemory,
    learn,
    mean_loss,
)
from learned_opt.in_context.memory.xor_datasets import Dataset

LOSSES = {"binary": "cross entropy", "classes": "cross entropy", "numbers": "squared error"}
SHOWN = 98.0  # percent of the weights that the scale of colours tells apart


def weights_over_time(
    memory: WeightMemory, theta: Theta, data: Dataset, num_train: int, *, title: str
) -> str:
    """Draws every weight of the model after each sample, a row a weight, with a line where targets end.

    Args:
        memory: the network.
        theta: its parameters.
        data: one data set, training samples first.
        num_train: how many training samples there are.
        title: of the figure.

    Returns:
        An `<svg>` element.

    Raises:
        ImportError: if matplotlib is not installed.

    Example:
        >>> from learned_opt.in_context import weight_memory, xor_datasets
        >>> memory = weight_memory(num_hidden=3, learner_sizes=(4,))
        >>> data = xor_datasets(num_samples=20).sample(jax.random.key(0))
        >>> weights_over_time(memory, memory.init(jax.random.key(1)), data, 10, title="Weights")[:5]
        '<svg '
    """
    panels = panels_of(jax.vmap(memory.unpack)(learned(memory, theta, data, num_train).cells))
    return reports.heat_map(
        panels,
        title=title,
        x_label="samples seen",
        y_label="hidden unit",
        marker=num_train,
        value_label="weight",
        limit=float(np.percentile(np.abs(np.concatenate(list(panels.values()))), SHOWN)),
    )


def loss_over_time(memory: WeightMemory, theta: Theta, data: Dataset, num_train: int, *, title: str) -> str:
    """Draws the loss on the test samples of the model as it is after each sample.

    What comes after the training samples has a line of its own: the memory sees no more targets there.

    Args:
        memory: the network.
        theta: its parameters.
        data: data sets, with a leading axis, training samples first.
        num_train: how many training samples each of them has.
        title: of the figure.

    Returns:
        An `<svg>` element: the mean, with the middle half of the data sets as a band.

    Raises:
        ImportError: if matplotlib is not installed.

    Example:
        >>> from learned_opt.in_context import draw_datasets, weight_memory, xor_datasets
        >>> memory = weight_memory(num_hidden=3, learner_sizes=(4,))
        >>> data, _ = draw_datasets(xor_datasets(num_samples=20), jax.random.key(0), 3, 10, 10)
        >>> loss_over_time(memory, memory.init(jax.random.key(1)), data, 10, title="Loss")[:5]
        '<svg '
    """
    losses = losses_over_time(memory, theta, data, num_train)
    seen = np.arange(losses.shape[1])
    low, high = np.percentile(losses, [25, 75], axis=0)
    table = np.stack([seen.astype(np.float64), losses.mean(0), low, high])
    names = ("training samples", "test samples")
    return reports.line_plot(
        {names[0]: table[:, : num_train + 1], names[1]: table[:, num_train:]},
        title=title,
        x_label="samples seen",
        y_label=f"{LOSSES[memory.targets.name]} over the test samples",
        log="",
        y_limits=(float(low.min()), float(high.max())),
        highlight=names,
    )


def losses_over_time(memory: WeightMemory, theta: Theta, data: Dataset, num_train: int) -> np.ndarray:
    """The test loss f32[num_datasets, num_samples + 1] of the model before each sample and after the last."""

    def losses(theta: Theta, one: Dataset) -> Array:
        def loss(cells: Array) -> Array:
            logits = jax.vmap(memory.predict, (None, 0))(cells, one.inputs)
            return mean_loss(memory, logits, one.targets, num_train, "test")

        return jax.vmap(loss)(learn(memory, theta, one, num_train).cells)

    return np.asarray(
        jax.jit(lambda theta, data: jax.lax.map(lambda one: losses(theta, one), data))(theta, data)
    )


def learned(memory: WeightMemory, theta: Theta, data: Dataset, num_train: int) -> Learned:
    """`learn`, compiled."""
    return jax.jit(lambda theta, data: learn(memory, theta, data, num_train))(theta, data)


def movement(memory: WeightMemory, theta: Theta, data: Dataset, num_train: int) -> list[dict[str, Any]]:
    """How far each part of the model moves while it learns, and while it only predicts.

    A row has the root mean square of the initial parameters, and of both changes.
    """
    cells = learned(memory, theta, data, num_train).cells
    parts = {
        "at first": memory.unpack(cells[0]),
        "learned": memory.unpack(cells[num_train] - cells[0]),
        "in the test": memory.unpack(cells[-1] - cells[num_train]),
    }
    named = {
        when: dict(zip(part_names(model), jax.tree.leaves(model), strict=True))
        for when, model in parts.items()
    }
    return [
        {"part": name} | {when: float(jnp.sqrt(jnp.mean(model[name] ** 2))) for when, model in named.items()}
        for name in named["learned"]
    ]


def part_names(model: Model) -> list[str]:
    """What the leaves of a model are called."""
    names = ["hidden weights", "hidden biases", "output weights", "output bias"]
    for layer in range(2, 2 + len(model.deeper)):
        names += [f"weights of layer {layer}", f"biases of layer {layer}"]
    return names


def panels_of(model: Model) -> dict[str, np.ndarray]:
    """The weights of a model over time, by what they come from, f[rows, time]; a leading axis is time."""
    hidden = np.moveaxis(np.asarray(model.hidden_weights), 0, -1)  # [num_inputs, num_hidden, time]
    panels = {f"weights of input {i + 1}": rows for i, rows in enumerate(hidden)}
    panels["biases of the hidden units"] = np.asarray(model.hidden_biases).T
    for layer, (weights, _) in enumerate(model.deeper, start=2):
        panels[f"weights of layer {layer}"] = np.asarray(weights).reshape(len(weights), -1).T
    panels["output weights"] = np.asarray(model.output_weights).reshape(len(model.output_weights), -1).T
    return panels


def memory_sections(
    memory: WeightMemory, theta: Theta, data: Dataset, num_train: int
) -> list[reports.Section]:
    """The parts of a report on what a weight memory does.

    Args:
        memory: the network.
        theta: its parameters.
        data: data sets, with a leading axis, training samples first.
        num_train: how many training samples each of them has.

    Returns:
        The learning curve over all data sets, and the weights over time of the first.

    Raises:
        ImportError: if matplotlib is not installed.

    Example:
        >>> from learned_opt.in_context import draw_datasets, weight_memory, xor_datasets
        >>> memory = weight_memory(num_hidden=3, learner_sizes=(4,))
        >>> data, _ = draw_datasets(xor_datasets(num_samples=20), jax.random.key(0), 3, 10, 10)
        >>> sections = memory_sections(memory, memory.init(jax.random.key(1)), data, 10)
        >>> [section.heading for section in sections]
        ['The learning curve', 'The weights over time']
    """
    first = jax.tree.map(lambda leaf: leaf[0], data)
    rows = movement(memory, theta, first, num_train)
    return [
        reports.Section(
            "The learning curve",
            prose=f"The loss on the test samples of the model as it is after each sample: the mean over "
            f"{data.targets.shape[0]} data sets, and their middle half. The memory is shown the targets of "
            f"the first {num_train} samples.",
            figures=[loss_over_time(memory, theta, data, num_train, title="What the weights are worth")],
        ),
        reports.Section(
            "The weights over time",
            prose="One data set. The table has the root mean square of the parameters at first, of what they "
            "have learned when the training samples end, and of their change during the test samples.",
            rows=rows,
            figures=[
                weights_over_time(memory, theta, first, num_train, title="The weights of the model over time")
            ],
        ),
    ]
