"""An LSTM whose cells are the parameters of another network: what it learns, it learns in its state.

The model is a perceptron with one hidden layer. The learner computes the gates of one LSTM cell for every
parameter of the model, from what it sees of a sample: the inputs, the target where there is one, the model's
prediction, and whether there is a target. It does not see the parameters.

Deviations: targets and predictions are shown to the learner as numbers in [-1, 1], so that a target that is
hidden (0) is neither class. The sizes of the learner's layers are our choice, since the paper's are lost.

Reference:
    Learning to learn neural networks, sections 2 to 4.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from learned_opt.core.registry import Registry
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context.memory.xor_datasets import Dataset

registry = Registry("weight memory")

# An untrained learner keeps what there is in the cells, and adds next to nothing.
FORGET_BIAS, INPUT_BIAS, GATE_SCALE = 5.0, -3.0, 0.1


class Model(NamedTuple):
    """The parameters of the model, as its cells hold them.

    Attributes:
        hidden_weights: f32[num_inputs, num_hidden].
        hidden_biases: f32[num_hidden].
        output_weights: f32[num_hidden].
        output_bias: f32[].
    """

    hidden_weights: Array
    hidden_biases: Array
    output_weights: Array
    output_bias: Array


class WeightMemory(NamedTuple):
    """A recurrent network of a model and its learner.

    Attributes:
        init: `init(key) -> theta`: the learner's parameters, and the cells to start from.
        unpack: `unpack(cells) -> model`, f32[num_cells] as the parameters that they are.
        predict: `predict(cells, x) -> logit`, the model at one sample, f32[num_inputs] -> f32[].
        step: `step(theta, cells, x, target, observed) -> (cells, logit)`: predicts, then updates the cells.
            The target of a sample that is not observed has no influence.
        num_inputs: of the model.
        config: the named arguments that made this network, or `None`.
    """

    init: Callable[[Key], Theta]
    unpack: Callable[[Array], Model]
    predict: Callable[[Array, Array], Array]
    step: Callable[[Theta, Array, Array, Array, Array], tuple[Array, Array]]
    num_inputs: int
    config: Any = None


class Learned(NamedTuple):
    """What a weight memory does on one data set.

    Attributes:
        logits: f32[num_samples], the prediction for each sample, made before it is learned from.
        cells: f32[num_samples + 1, num_cells], before each sample and after the last.
    """

    logits: Array
    cells: Array


@registry.register
def weight_memory(
    num_inputs: int = 4, num_hidden: int = 32, learner_sizes: tuple[int, ...] = (128, 64)
) -> WeightMemory:
    r"""A network that learns a perceptron of one hidden layer in its cells.

    .. math::

        p_t &= \sigma\big(w_2^\top \mathrm{relu}(W_1 x_t + b_1) + b_2\big), \qquad
        c_{t-1} = (W_1, b_1, w_2, b_2)

        s_t &= \big(x_t,\; o_t (2 y_t - 1),\; 2 p_t - 1,\; o_t\big), \qquad
        h_t = \mathrm{relu}(V_2\, \mathrm{relu}(V_1 s_t + a_1) + a_2)

        c_t &= \sigma(F h_t + f) \odot c_{t-1} + \sigma(I h_t + i) \odot \tanh(Z h_t + z)

    where o is 1 for a sample with a target and 0 for one without. The initial cells are learned too.

    Args:
        num_inputs: of the model.
        num_hidden: units of the model's hidden layer.
        learner_sizes: units of each of the learner's layers.

    Returns:
        The network.

    Raises:
        ValueError: if a number is below 1 or the learner has no layers.

    Example:
        >>> memory = weight_memory(num_inputs=2, num_hidden=3, learner_sizes=(4,))
        >>> theta = memory.init(jax.random.key(0))
        >>> cells, logit = memory.step(theta, theta["initial"]["cells"], jnp.ones(2), jnp.float32(1), True)
        >>> cells.shape, logit.shape, memory.unpack(cells).hidden_weights.shape
        ((13,), (), (2, 3))

    Reference:
        Learning to learn neural networks, section 3.
    """
    sizes = tuple(learner_sizes)
    if not sizes or any(n < 1 for n in (num_inputs, num_hidden, *sizes)):
        raise ValueError(
            f"num_inputs={num_inputs!r}, num_hidden={num_hidden!r}, learner_sizes={sizes!r}: "
            "give at least 1 of each, and the learner at least one layer"
        )
    num_cells = num_hidden * (num_inputs + 2) + 1

    def unpack(cells: Array) -> Model:
        hidden = num_inputs * num_hidden
        weights, biases, output, bias = jnp.split(cells, (hidden, hidden + num_hidden, num_cells - 1))
        return Model(weights.reshape(num_inputs, num_hidden), biases, output, bias[0])

    def predict(cells: Array, x: Array) -> Array:
        model = unpack(cells)
        hidden = jax.nn.relu(x @ model.hidden_weights + model.hidden_biases)
        return hidden @ model.output_weights + model.output_bias

    def gates(seen: Array) -> Array:
        for size in sizes:
            seen = jax.nn.relu(hk.Linear(size, w_init=hk.initializers.VarianceScaling(2.0))(seen))
        small = hk.initializers.TruncatedNormal(GATE_SCALE / sizes[-1] ** 0.5)
        return hk.Linear(3 * num_cells, w_init=small, name="gates")(seen)

    learner = hk.without_apply_rng(hk.transform(gates))

    def init(key: Key) -> Theta:
        learner_key, hidden_key, output_key = jax.random.split(key, 3)
        hidden = jax.random.normal(hidden_key, (num_inputs + 1, num_hidden), jnp.float32)
        output = jax.random.normal(output_key, (num_hidden,), jnp.float32)
        cells = (hidden.ravel() * (2 / (num_inputs + 1)) ** 0.5, output / num_hidden**0.5)
        return {
            "initial": {"cells": jnp.concatenate([*cells, jnp.zeros(1, jnp.float32)])},
            "learner": learner.init(learner_key, jnp.zeros(num_inputs + 3, jnp.float32)),
        }

    def step(theta: Theta, cells: Array, x: Array, target: Array, observed: Array) -> tuple[Array, Array]:
        logit = predict(cells, x)
        flag = jnp.asarray(observed, x.dtype)
        # A product would let a target that is not a number through.
        shown = jnp.where(observed, 2 * target - 1, 0)
        seen = jnp.concatenate([x, jnp.stack([shown, 2 * jax.nn.sigmoid(logit) - 1, flag])])
        i, f, z = jnp.split(learner.apply(theta["learner"], seen), 3)
        kept = jax.nn.sigmoid(f + FORGET_BIAS) * cells
        return kept + jax.nn.sigmoid(i + INPUT_BIAS) * jnp.tanh(z), logit

    return WeightMemory(init, unpack, predict, step, num_inputs)


def learn(memory: WeightMemory, theta: Theta, data: Dataset, num_train: Any) -> Learned:
    """Shows a data set to a weight memory, sample by sample; the first `num_train` with their targets.

    Args:
        memory: the network.
        theta: its parameters.
        data: the samples, in the order in which they are shown.
        num_train: i32[], how many of them are training samples.

    Returns:
        The predictions and the cells.

    Example:
        >>> memory = weight_memory(num_inputs=2, num_hidden=3, learner_sizes=(4,))
        >>> data = Dataset(jnp.ones((6, 2)), jnp.zeros(6))
        >>> learned = learn(memory, memory.init(jax.random.key(0)), data, 4)
        >>> learned.logits.shape, learned.cells.shape
        ((6,), (7, 13))
    """
    observed = jnp.arange(data.targets.shape[0]) < num_train

    def body(cells: Array, sample: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        new, logit = memory.step(theta, cells, *sample)
        return new, (logit, new)

    first = jnp.asarray(theta["initial"]["cells"])
    _, (logits, cells) = jax.lax.scan(body, first, (data.inputs, data.targets, observed))
    return Learned(logits, jnp.concatenate([first[jnp.newaxis], cells]))


def mean_cross_entropy(
    logits: Array, targets: Array, num_train: Any, samples: Literal["all", "test"] = "all"
) -> Array:
    """The mean loss f32[] of logits f32[num_samples] over all samples, or over those after `num_train`."""
    if samples not in ("all", "test"):
        raise ValueError(f"samples={samples!r}: it must be 'all' or 'test'")
    losses = optax.sigmoid_binary_cross_entropy(logits, targets)
    if samples == "all":
        return jnp.mean(losses)
    counted = (jnp.arange(losses.shape[0]) >= num_train).astype(losses.dtype)
    return jnp.sum(losses * counted) / jnp.maximum(jnp.sum(counted), 1)
