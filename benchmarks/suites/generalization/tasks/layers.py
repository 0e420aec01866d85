"""Layers as functions on plain dictionaries of arrays."""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array, Key

Activation = Callable[[Array], Array]
Weights = dict[str, Array]


def matrix(key: Key, fan_in: int, fan_out: int, gain: float = 1.0) -> Array:
    """A truncated normal matrix of deviation `gain / sqrt(fan_in)`."""
    return gain * fan_in**-0.5 * jax.random.truncated_normal(key, -2.0, 2.0, (fan_in, fan_out))


def mlp(sizes: Sequence[int], activation: Activation, gain: float = 2**0.5):
    """`init(key) -> weights` and `apply(weights, x)` of a network whose last layer is linear."""
    layers = list(itertools.pairwise(sizes))

    def init(key: Key) -> Weights:
        weights = {}
        for i, (fan_in, fan_out) in enumerate(layers):
            last = i == len(layers) - 1
            weights[f"w{i}"] = matrix(jax.random.fold_in(key, i), fan_in, fan_out, 1.0 if last else gain)
            weights[f"b{i}"] = jnp.zeros(fan_out)
        return weights

    def apply(weights: Weights, x: Array) -> Array:
        x = x.reshape(x.shape[0], -1)
        for i in range(len(layers)):
            x = x @ weights[f"w{i}"] + weights[f"b{i}"]
            x = activation(x) if i < len(layers) - 1 else x
        return x

    return init, apply


def normalized(x: Array, axes: int | tuple[int, ...] = -1) -> Array:
    """`x` with mean 0 and variance 1 over some axes."""
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5)


def kernel(key: Key, channels_in: int, channels_out: int) -> Array:
    """A 3x3 kernel f32[3, 3, in, out]."""
    flat = matrix(key, 9 * channels_in, channels_out, 2**0.5)
    return flat.reshape(3, 3, channels_in, channels_out)


def convolved(x: Array, weights: Array, stride: int = 1) -> Array:
    """A 3x3 convolution with padding, as a product of matrices: many kernels side by side stay fast."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = [(i, j) for i in range(3) for j in range(3)]
    patches = [padded[:, i : i + height : stride, j : j + width : stride] for i, j in shifts]
    return jnp.concatenate(patches, -1) @ weights.reshape(-1, weights.shape[-1])


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Of integer labels, one a row."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1)[..., 0]


def squared_error(outputs: Array, targets: Array) -> Array:
    """The mean square of each row."""
    return jnp.mean(jnp.square(outputs - targets), axis=-1)
