"""Random problems of several classes, and of numbers to be predicted, for weight memories of such models."""

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array, Key
from learned_opt.in_context.memory.xor_datasets import Dataset, Datasets, registry, standardized


@registry.register
def cluster_datasets(
    num_classes: int = 3, num_inputs: int = 4, num_samples: int = 200, num_clusters: int = 2
) -> Datasets:
    r"""Random problems of several classes, each of several Gaussian clusters.

    .. math::

        x \sim \mathcal N(m_{yk}, \tfrac14), \qquad m_{yk} \sim \mathcal N(0, 1), \qquad y, k \text{ uniform}

    Args:
        num_classes: of a data set.
        num_inputs: of a sample.
        num_samples: of a data set.
        num_clusters: of a class; of two or more no line need separate a class from the others.

    Returns:
        The distribution; in its data sets every input has mean 0 and variance 1.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> data = cluster_datasets(num_samples=50).sample(jax.random.key(0))
        >>> data.inputs.shape, sorted(set(data.targets.tolist()))
        ((50, 4), [0.0, 1.0, 2.0])
    """
    _check(num_inputs, num_samples)
    if num_classes < 2 or num_clusters < 1:
        raise ValueError(
            f"num_classes={num_classes!r}, num_clusters={num_clusters!r}: give at least 2 and 1 of them"
        )

    def sample(key: Key) -> Dataset:
        class_key, cluster_key, mean_key, noise_key = jax.random.split(key, 4)
        classes = jax.random.randint(class_key, (num_samples,), 0, num_classes)
        clusters = jax.random.randint(cluster_key, (num_samples,), 0, num_clusters)
        means = jax.random.normal(mean_key, (num_classes, num_clusters, num_inputs), jnp.float32)
        noise = jax.random.normal(noise_key, (num_samples, num_inputs), jnp.float32)
        x = means[classes, clusters] + 0.5 * noise
        return Dataset(standardized(x, x), classes.astype(jnp.float32))

    return Datasets(sample, targets="classes", num_classes=num_classes)


@registry.register
def regression_datasets(num_inputs: int = 4, num_samples: int = 200, noise: float = 0.1) -> Datasets:
    r"""Random problems of numbers to be predicted: a sum of two tanh units of the inputs, and noise.

    .. math::

        y = v_1 \tanh(2\, w_1^\top x) + v_2 \tanh(2\, w_2^\top x) + \mathcal N(0, \text{noise}^2), \qquad
        x, v \sim \mathcal N(0, 1), \quad w \sim \mathcal N(0, 1/\text{num_inputs})

    Args:
        num_inputs: of a sample.
        num_samples: of a data set.
        noise: its standard deviation, before targets are scaled.

    Returns:
        The distribution; in its data sets every input, and the targets, have mean 0 and variance 1.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> data = regression_datasets(num_samples=50).sample(jax.random.key(0))
        >>> data.inputs.shape, round(float(data.targets.std()), 3)
        ((50, 4), 1.0)
    """
    _check(num_inputs, num_samples)
    if not noise >= 0:
        raise ValueError(f"noise={noise!r}: it must be at least 0")

    def sample(key: Key) -> Dataset:
        x_key, w_key, v_key, noise_key = jax.random.split(key, 4)
        x = jax.random.normal(x_key, (num_samples, num_inputs), jnp.float32)
        w = jax.random.normal(w_key, (num_inputs, 2), jnp.float32) / num_inputs**0.5
        y = jnp.tanh(2 * x @ w) @ jax.random.normal(v_key, (2,), jnp.float32)
        y = y + noise * jax.random.normal(noise_key, (num_samples,), jnp.float32)
        return Dataset(standardized(x, x), _column(y))

    return Datasets(sample, targets="numbers")


def _column(y: Array) -> Array:
    return standardized(y[:, None], y[:, None])[:, 0]


def _check(num_inputs: int, num_samples: int) -> None:
    if num_inputs < 1 or num_samples < 2:
        raise ValueError(
            f"num_inputs={num_inputs!r}, num_samples={num_samples!r}: give at least 1 and 2 of them"
        )
