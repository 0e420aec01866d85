"""Which parameters of its model a weight memory learns, and which meta-training has set for good.

Reference:
    Learning to learn neural networks, section 4: both are scattered over the weights.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt import reports, zoo
from learned_opt.core.types import Array, Theta
from learned_opt.in_context.memory.weight_memory import learn
from learned_opt.in_context.memory.xor_datasets import Dataset
from learned_opt.meta.settings import settings_of
from learned_opt.meta.starts import TRAINING_STREAM


class Moved(NamedTuple):
    """How far each parameter of the model was moved, and by whom.

    Attributes:
        by_learner: f32[num_cells], the root mean square over data sets of the change while it learns.
        by_meta_training: f32[num_cells], by how much the cells that it starts from are not those that
            meta-training began with.
    """

    by_learner: np.ndarray
    by_meta_training: np.ndarray

    @property
    def correlation(self) -> float:
        """Of the ranks of both, in [-1, 1]; negative where either moves what the other leaves alone."""
        learner, meta_training = (np.argsort(np.argsort(each)).astype(np.float64) for each in self)
        return float(np.corrcoef(learner, meta_training)[0, 1])

    @property
    def half(self) -> float:
        """The least share of the parameters that has half of the learner's squared movement."""
        shares = np.cumsum(np.sort(np.square(self.by_learner))[::-1])
        return float(np.searchsorted(shares, shares[-1] / 2) + 1) / len(shares)


def moved(stored: zoo.Stored, data: Dataset, num_train: int) -> Moved:
    """Which parameters a weight memory learns, and which meta-training has set.

    Args:
        stored: the memory.
        data: data sets, with a leading axis, training samples first.
        num_train: how many training samples each of them has.

    Returns:
        How far each parameter was moved by either.

    Raises:
        ValueError: if it is the best of several starts.

    Example:
        >>> from learned_opt.in_context import draw_datasets, xor_datasets
        >>> data, _ = draw_datasets(xor_datasets(), jax.random.key(0), 20, 100, 100)
        >>> found = moved(zoo.load("weight-memory"), data, 100)
        >>> found.by_learner.shape, found.by_meta_training.shape
        ((193,), (193,))
    """
    settings = settings_of(stored.config)
    if settings.num_starts > 1:
        raise ValueError(f"num_starts={settings.num_starts!r}: which start was the best is not known")
    key = jax.random.fold_in(jax.random.key(settings.seed), TRAINING_STREAM)
    first = stored.model.init(jax.random.split(key)[0])["initial"]["cells"]

    @jax.jit
    def changes(theta: Theta, data: Dataset) -> Array:
        def one(data: Dataset) -> Array:
            cells = learn(stored.model, theta, data, num_train).cells
            return cells[num_train] - cells[0]

        return jnp.sqrt(jnp.mean(jnp.square(jax.lax.map(one, data)), axis=0))

    last = np.asarray(stored.theta["initial"]["cells"])
    return Moved(np.asarray(changes(stored.theta, data)), np.abs(last - np.asarray(first)))


def moved_section(stored: zoo.Stored, data: Dataset, num_train: int) -> reports.Section:
    """The part of a report on who moves which parameter of the first hidden layer, and of what follows it.

    Args:
        stored: the memory.
        data: data sets, with a leading axis, training samples first.
        num_train: how many training samples each of them has.

    Returns:
        The section.

    Raises:
        ImportError: if matplotlib is not installed.

    Example:
        >>> from learned_opt.in_context import draw_datasets, xor_datasets
        >>> data, _ = draw_datasets(xor_datasets(), jax.random.key(0), 5, 100, 100)
        >>> moved_section(zoo.load("weight-memory"), data, 100).heading
        'Who moves which weight'
    """
    found = moved(stored, data, num_train)
    panels, names = {}, [*(f"x{i + 1}" for i in range(stored.model.num_inputs)), "bias"]
    for title, cells in (
        ("moved by the learner", found.by_learner),
        ("set by meta-training", found.by_meta_training),
    ):
        model = stored.model.unpack(jnp.asarray(cells))
        columns = [model.hidden_weights.T, model.hidden_biases[:, None]]
        if not model.deeper:  # then a unit's outgoing weights are in its row too
            columns.append(model.output_weights.reshape(len(model.hidden_biases), -1))
        panels[title] = np.concatenate(columns, axis=1)
    num_rows, num_columns = panels[title].shape
    names += [f"output {k + 1}" for k in range(num_columns - len(names))]
    figure = reports.heat_map(
        panels,
        title="Movement of each parameter of the model",
        x_label="weight of",
        y_label="hidden unit",
        names=([str(k + 1) for k in range(num_rows)], names),
        value_label="distance",
    )
    prose = (
        "How far the learner moves each parameter while it learns, as a root mean square over "
        f"{data.targets.shape[0]} data sets, and how far meta-training has moved the parameter that it "
        f"starts from. The correlation of their ranks is {found.correlation:.2f}; {found.half:.0%} of the "
        "parameters have half of the learner's squared movement."
    )
    return reports.Section("Who moves which weight", prose=prose, figures=[figure])
