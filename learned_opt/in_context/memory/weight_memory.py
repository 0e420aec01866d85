"""An LSTM whose cells are the parameters of another network: what it learns, it learns in its state.

The model is a perceptron. The learner computes the gates of one LSTM cell for every
parameter of the model, from what it sees of a sample: the inputs, the target where there is one, the model's
prediction, and whether there is a target. It does not see the parameters.

Deviations: targets and predictions are shown to the learner as numbers in [-1, 1], so that a target that is
hidden (0) is neither class. Several hidden layers, several classes and regression, which the paper does not
try, are there too. The sizes of the learner's layers are our choice, since the paper's are lost.

Reference:
    Learning to learn neural networks, sections 2 to 4.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from learned_opt.core.registry import Registry
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context.memory.targets import Name, Targets, targets_of
from learned_opt.in_context.memory.xor_datasets import Dataset

registry = Registry("weight memory")

# An untrained learner keeps what there is in the cells, and adds next to nothing.
FORGET_BIAS, INPUT_BIAS, GATE_SCALE = 5.0, -3.0, 0.1


class Model(NamedTuple):
    """The parameters of the model, as its cells hold them.

    Attributes:
        hidden_weights: f32[num_inputs, num_hidden], of the first hidden layer.
        hidden_biases: f32[num_hidden].
        output_weights: f32[num_hidden]; of several classes f32[num_hidden, num_classes]. Of the last layer.
        output_bias: f32[], or f32[num_classes].
        deeper: weights and biases of the other hidden layers.
    """

    hidden_weights: Array
    hidden_biases: Array
    output_weights: Array
    output_bias: Array
    deeper: tuple[tuple[Array, Array], ...] = ()


class WeightMemory(NamedTuple):
    """A recurrent network of a model and its learner.

    Attributes:
        init: `init(key) -> theta`: the learner's parameters, and the cells to start from.
        unpack: `unpack(cells) -> model`, f32[num_cells] as the parameters that they are.
        predict: `predict(cells, x) -> logit`, the model at one sample, f32[num_inputs] -> f32[]: the logit of
            class 1, or the number; of several classes their logits f32[num_classes].
        step: `step(theta, cells, x, target, observed) -> (cells, logit)`: predicts, then updates the cells.
            The target of a sample that is not observed has no influence.
        num_inputs: of the model.
        targets: what it predicts, and what that costs.
        config: the named arguments that made this network, or `None`.
    """

    init: Callable[[Key], Theta]
    unpack: Callable[[Array], Model]
    predict: Callable[[Array, Array], Array]
    step: Callable[[Theta, Array, Array, Array, Array], tuple[Array, Array]]
    num_inputs: int
    targets: Targets
    config: Any = None


class Learned(NamedTuple):
    """What a weight memory does on one data set.

    Attributes:
        logits: f32[num_samples], or f32[num_samples, num_classes]: the prediction for each sample, made
            before it is learned from.
        cells: f32[num_samples + 1, num_cells], before each sample and after the last.
    """

    logits: Array
    cells: Array


@registry.register
def weight_memory(
    num_inputs: int = 4,
    num_hidden: int = 32,
    learner_sizes: tuple[int, ...] = (128, 64),
    more_hidden: tuple[int, ...] = (),
    targets: Name = "binary",
    num_classes: int = 3,
) -> WeightMemory:
    r"""A network that learns a perceptron in its cells, here with one hidden layer and two classes.

    .. math::

        p_t &= \sigma\big(w_2^\top \mathrm{relu}(W_1 x_t + b_1) + b_2\big), \qquad
        c_{t-1} = (W_1, b_1, w_2, b_2)

        s_t &= \big(x_t,\; o_t (2 y_t - 1),\; 2 p_t - 1,\; o_t\big), \qquad
        h_t = \mathrm{relu}(V_2\, \mathrm{relu}(V_1 s_t + a_1) + a_2)

        c_t &= \sigma(F h_t + f) \odot c_{t-1} + \sigma(I h_t + i) \odot \tanh(Z h_t + z)

    where o is 1 for a sample with a target and 0 for one without. The initial cells are learned too.

    Args:
        num_inputs: of the model.
        num_hidden: units of the model's first hidden layer.
        learner_sizes: units of each of the learner's layers.
        more_hidden: units of each of the model's further hidden layers.
        targets: what the model predicts: `"binary"`, one of two classes; `"classes"`, one of several, by a
            softmax; or `"numbers"`, by a linear output and the squared error.
        num_classes: of several classes.

    Returns:
        The network.

    Raises:
        ValueError: if a number is below 1, the learner has no layers, or there are no such targets.

    Example:
        >>> memory = weight_memory(num_inputs=2, num_hidden=3, learner_sizes=(4,))
        >>> theta = memory.init(jax.random.key(0))
        >>> cells, logit = memory.step(theta, theta["initial"]["cells"], jnp.ones(2), jnp.float32(1), True)
        >>> cells.shape, logit.shape, memory.unpack(cells).hidden_weights.shape
        ((13,), (), (2, 3))

    Reference:
        Learning to learn neural networks, section 3.
    """
    sizes, hidden = tuple(learner_sizes), (num_hidden, *more_hidden)
    if not sizes or any(n < 1 for n in (num_inputs, *hidden, *sizes)):
        raise ValueError(
            f"num_inputs={num_inputs!r}, num_hidden={num_hidden!r}, more_hidden={more_hidden!r}, "
            f"learner_sizes={sizes!r}: give at least 1 of each, and the learner at least one layer"
        )
    kind = targets_of(targets, num_classes)
    unpack, num_cells = layout(num_inputs, hidden, kind.num_outputs)

    def predict(cells: Array, x: Array) -> Array:
        model = unpack(cells)
        for weights, biases in ((model.hidden_weights, model.hidden_biases), *model.deeper):
            x = jax.nn.relu(x @ weights + biases)
        return x @ model.output_weights + model.output_bias

    def gates(seen: Array) -> Array:
        for size in sizes:
            seen = jax.nn.relu(hk.Linear(size, w_init=hk.initializers.VarianceScaling(2.0))(seen))
        small = hk.initializers.TruncatedNormal(GATE_SCALE / sizes[-1] ** 0.5)
        return hk.Linear(3 * num_cells, w_init=small, name="gates")(seen)

    learner = hk.without_apply_rng(hk.transform(gates))

    def init(key: Key) -> Theta:
        learner_key, hidden_key, output_key = jax.random.split(key, 3)
        return {
            "initial": {"cells": first_cells(hidden_key, output_key, num_inputs, hidden, kind.num_outputs)},
            "learner": learner.init(
                learner_key, jnp.zeros(num_inputs + 2 * kind.num_outputs + 1, jnp.float32)
            ),
        }

    def step(theta: Theta, cells: Array, x: Array, target: Array, observed: Array) -> tuple[Array, Array]:
        output = predict(cells, x)
        flag = jnp.asarray(observed, x.dtype)
        # A product would let a target that is not a number through.
        shown = jnp.where(observed, kind.shown(target), 0)
        seen = jnp.concatenate([x, shown, kind.said(output), flag[None]])
        i, f, z = jnp.split(learner.apply(theta["learner"], seen), 3)
        kept = jax.nn.sigmoid(f + FORGET_BIAS) * cells
        return kept + jax.nn.sigmoid(i + INPUT_BIAS) * jnp.tanh(z), output

    return WeightMemory(init, unpack, predict, step, num_inputs, kind)


def layout(
    num_inputs: int, hidden: tuple[int, ...], num_outputs: int
) -> tuple[Callable[[Array], Model], int]:
    """Where in the cells the parameters of a perceptron lie, and how many cells there are."""
    pairs = list(itertools.pairwise((num_inputs, *hidden)))
    shapes: list[tuple[int, ...]] = [shape for m, n in pairs for shape in ((m, n), (n,))]
    several = (num_outputs,) if num_outputs > 1 else ()
    shapes += [(hidden[-1], *several), several]
    sizes = [math.prod(shape) for shape in shapes]

    def unpack(cells: Array) -> Model:
        parts = jnp.split(cells, list(itertools.accumulate(sizes))[:-1])
        weights, biases, *between, output, bias = (
            part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)
        )
        return Model(weights, biases, output, bias, tuple(zip(between[::2], between[1::2], strict=True)))

    return unpack, sum(sizes)


def first_cells(
    hidden_key: Key, output_key: Key, num_inputs: int, hidden: tuple[int, ...], num_outputs: int
) -> Array:
    """Random parameters of a perceptron, each layer's in proportion to what it sees; output biases are 0."""
    keys = (hidden_key, *(jax.random.fold_in(hidden_key, i) for i in range(1, len(hidden))))
    layers = [
        jax.random.normal(key, (m + 1, n), jnp.float32).ravel() * (2 / (m + 1)) ** 0.5
        for key, (m, n) in zip(keys, itertools.pairwise((num_inputs, *hidden)), strict=True)
    ]
    output = jax.random.normal(output_key, (hidden[-1] * num_outputs,), jnp.float32) / hidden[-1] ** 0.5
    return jnp.concatenate([*layers, output, jnp.zeros(num_outputs, jnp.float32)])


def learn(memory: WeightMemory, theta: Theta, data: Dataset, num_train: Any) -> Learned:
    """Shows a data set to a weight memory, sample by sample; the training samples with their targets.

    Args:
        memory: the network.
        theta: its parameters.
        data: the samples, in the order in which they are shown.
        num_train: i32[], how many of them are training samples, the first ones; or bool[num_samples], which
            of them, so that training and prediction take turns.

    Returns:
        The predictions and the cells.

    Example:
        >>> memory = weight_memory(num_inputs=2, num_hidden=3, learner_sizes=(4,))
        >>> data = Dataset(jnp.ones((6, 2)), jnp.zeros(6))
        >>> learned = learn(memory, memory.init(jax.random.key(0)), data, 4)
        >>> learned.logits.shape, learned.cells.shape
        ((6,), (7, 13))
    """
    observed = training_samples(num_train, data.targets.shape[0])

    def body(cells: Array, sample: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        new, logit = memory.step(theta, cells, *sample)
        return new, (logit, new)

    first = jnp.asarray(theta["initial"]["cells"])
    _, (logits, cells) = jax.lax.scan(body, first, (data.inputs, data.targets, observed))
    return Learned(logits, jnp.concatenate([first[jnp.newaxis], cells]))


def training_samples(num_train: Any, num_samples: int) -> Array:
    """Which samples are training samples, bool[num_samples], of how many or which of them."""
    return num_train if jnp.ndim(num_train) == 1 else jnp.arange(num_samples) < num_train


def mean_loss(
    memory: WeightMemory,
    outputs: Array,
    targets: Array,
    num_train: Any,
    samples: Literal["all", "test"] = "all",
) -> Array:
    """The mean loss f32[] of outputs over all samples, or over those that are no training samples."""
    if samples not in ("all", "test"):
        raise ValueError(f"samples={samples!r}: it must be 'all' or 'test'")
    losses = memory.targets.loss(outputs, targets)
    if samples == "all":
        return jnp.mean(losses)
    counted = 1 - training_samples(num_train, losses.shape[0]).astype(losses.dtype)
    return jnp.sum(losses * counted) / jnp.maximum(jnp.sum(counted), 1)
