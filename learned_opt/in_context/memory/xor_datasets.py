"""Random binary problems that no line separates: two half-spaces combined by XOR, seen through noise.

Deviations: the paper's text has lost its numbers, so these are our choices: 4 inputs; exponential
distributions given by their means, with the mean of the outer one named `noise`; linear maps with standard
normal coefficients, thresholded at standard normal multiples of their standard deviation. The targets
belong to the samples without noise; otherwise noise would be no more than another covariance. The paper's own
order, noise first, is `noise_first=True`.

Reference:
    Learning to learn neural networks, section 4.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.registry import Registry
from learned_opt.core.types import Array, Key

registry = Registry("kind of data set")

LEAST_DEVIATION = 1e-6  # an input that is constant is centred only


class Dataset(NamedTuple):
    """A problem.

    Attributes:
        inputs: f32[num_samples, num_inputs].
        targets: f32[num_samples]: 0 or 1, the number of a class, or any number.
    """

    inputs: Array
    targets: Array


class Datasets(NamedTuple):
    """A distribution over problems.

    Attributes:
        sample: `sample(key) -> data set`.
        targets: what they are: `"binary"`, `"classes"` or `"numbers"`.
        num_classes: of classes.
        config: the named arguments that made this distribution, or `None`.
    """

    sample: Callable[[Key], Dataset]
    targets: str = "binary"
    num_classes: int = 2
    config: Any = None


@registry.register
def xor_datasets(
    num_inputs: int = 4,
    num_samples: int = 200,
    noise: float = 1.5,
    min_balance: float = 0.15,
    noise_first: bool = False,
) -> Datasets:
    r"""Random problems of two half-spaces combined by XOR.

    .. math::

        x &\sim \mathcal N(0, A A^\top), \quad A_{ij} \sim \mathcal U(-1, 1), \qquad
        \lambda \sim \mathrm{Exp}(\mathrm{noise}), \quad v_j \sim \mathrm{Exp}(\lambda)

        y &= [w_1^\top x > b_1] \oplus [w_2^\top x > b_2], \qquad
        \text{inputs} = x + \mathcal N(0, \mathrm{diag}(v)), \text{ centred and scaled}

    where Exp has the mean in its brackets. With `noise_first` the half-spaces are those of the noisy
    inputs, so that the noise widens the distribution and leaves no target in doubt. A, lambda, v, w and b
    are a data set's own. What is drawn is thrown away and drawn again until the rarer class has a share of
    at least `min_balance`.

    Args:
        num_inputs: of a sample.
        num_samples: of a data set.
        noise: mean variance of the noise, over inputs and data sets.
        min_balance: least share of the rarer class, below 0.5.
        noise_first: whether noise is added before the partition, and not after it.

    Returns:
        The distribution; in its data sets every input has mean 0 and variance 1.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> data = xor_datasets(num_inputs=2, num_samples=50).sample(jax.random.key(0))
        >>> data.inputs.shape, bool(0.15 <= data.targets.mean() <= 0.85)
        ((50, 2), True)

    Reference:
        Learning to learn neural networks, section 4.
    """
    for name, value, right, rule in (
        ("num_inputs", num_inputs, num_inputs >= 1, "at least 1"),
        ("num_samples", num_samples, num_samples >= 2, "at least 2"),
        ("noise", noise, noise >= 0, "at least 0"),
        ("min_balance", min_balance, 0 <= min_balance < 0.5, "at least 0 and below 0.5"),
    ):
        if not right:
            raise ValueError(f"{name}={value!r}: it must be {rule}")

    def draw(key: Key) -> Dataset:
        keys = jax.random.split(key, 7)
        f32 = jnp.float32
        a = jax.random.uniform(keys[0], (num_inputs, num_inputs), f32, -1.0, 1.0)
        clean = jax.random.normal(keys[1], (num_samples, num_inputs), f32) @ a.T
        variances = noise * jax.random.exponential(keys[4], (), f32)
        variances = variances * jax.random.exponential(keys[5], (1, num_inputs), f32)
        seen = clean + jnp.sqrt(variances) * jax.random.normal(keys[6], clean.shape, f32)
        parted = seen if noise_first else clean
        projected = parted @ jax.random.normal(keys[2], (num_inputs, 2), f32)
        thresholds = jax.random.normal(keys[3], (1, 2), f32) * jnp.std(projected, axis=0, keepdims=True)
        sides = projected > thresholds
        targets = (sides[:, 0] != sides[:, 1]).astype(f32)
        return Dataset(standardized(seen, seen), targets)

    def is_unbalanced(carry: tuple[Key, Dataset]) -> Array:
        share = jnp.mean(carry[1].targets)
        return jnp.minimum(share, 1 - share) < min_balance

    def draw_again(carry: tuple[Key, Dataset]) -> tuple[Key, Dataset]:
        key, draw_key = jax.random.split(carry[0])
        return key, draw(draw_key)

    def sample(key: Key) -> Dataset:
        return jax.lax.while_loop(is_unbalanced, draw_again, draw_again((key, _nothing())))[1]

    def _nothing() -> Dataset:
        return Dataset(jnp.zeros((num_samples, num_inputs), jnp.float32), jnp.zeros(num_samples, jnp.float32))

    return Datasets(sample)


def standardized(inputs: Array, like: Array) -> Array:
    """Inputs scaled to mean 0 and deviation 1 of those in `like`, whose constant ones become 0."""
    mean = jnp.mean(like, axis=0, keepdims=True)
    deviation = jnp.std(like, axis=0, keepdims=True)
    return (inputs - mean) / jnp.where(deviation > LEAST_DEVIATION, deviation, 1)
