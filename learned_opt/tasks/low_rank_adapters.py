"""Classification by low-rank changes of a frozen network.

Reference:
    Hu et al., LoRA: low-rank adaptation of large language models, ICLR 2022: the second factor starts at
    zero.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt import datasets
from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.tasks.image_features import principal_components
from learned_opt.tasks.registry import registry


class Frozen(NamedTuple):
    """One problem: the weights that stay as they are.

    Attributes:
        first: W, f32[num_components, hidden_size].
        second: V, f32[hidden_size, num_classes].
    """

    first: Array
    second: Array


@registry.register
def low_rank_adapters(
    dataset: str = "digits",
    hidden_size: int = 20,
    rank: int = 2,
    batch_size: int = 16,
    num_components: int = 24,
    split: str = "train",
) -> Task:
    r"""Cross-entropy of a random network of two layers, of which only low-rank changes are trained.

    .. math::

        \mathrm{net}(a) = (V + C D)^\top \max(0, (W + A B)^\top a), \qquad B_0 = D_0 = 0

    The images a are their principal components. Each problem has other frozen weights W and V. As the first
    factors have no gradient where the second ones are zero, they rest in the first step.

    Args:
        dataset: `"digits"`, `"mnist"` or `"fashion_mnist"`.
        hidden_size: units of the hidden layer.
        rank: columns of A and C.
        batch_size: images in a minibatch, drawn with replacement.
        num_components: principal components of an image.
        split: what minibatches are drawn from, as tensorflow-datasets spells it.

    Returns:
        The task; its params are two layers of `{"after": B or D, "before": A or C}`; its data is features
        f32[N, num_components] and labels i32[N].

    Raises:
        ValueError: if an argument is out of its range or the data set is unknown.
        DataNotPreparedError: if the data set has not been prepared on this machine.

    Example:
        >>> task = low_rank_adapters()
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> problem = task.sample(keys[0])
        >>> x, batch = task.init(keys[1], problem), task.batch(keys[2], problem, task.data)
        >>> bool(1 < task.loss(x, problem, batch) < 9), int(jnp.count_nonzero(x[0]["after"]))
        (True, 0)
    """
    check_at_least(1, hidden_size=hidden_size, rank=rank, batch_size=batch_size)
    train = datasets.load(dataset, split)
    features = principal_components(train.images, num_components)(train.images)
    data = jnp.asarray(features), jnp.asarray(train.labels)
    sizes = num_components, hidden_size, int(train.labels.max()) + 1

    def normal(key: Key, rows: int, columns: int, gain: float = 1.0) -> Array:
        return gain * jax.random.normal(key, (rows, columns)) / jnp.sqrt(jnp.float32(rows))

    def sample(key: Key) -> Frozen:
        first_key, second_key = jax.random.split(key)
        return Frozen(normal(first_key, *sizes[:2], gain=2**0.5), normal(second_key, *sizes[1:]))

    def init(key: Key, problem: Frozen) -> Params:
        del problem
        return tuple(
            {"after": jnp.zeros((rank, columns)), "before": normal(k, rows, rank)}
            for k, rows, columns in zip(jax.random.split(key), sizes[:2], sizes[1:], strict=True)
        )

    def batch(key: Key, problem: Frozen, data: tuple[Array, Array]) -> tuple[Array, Array]:
        del problem
        chosen = jax.random.randint(key, (batch_size,), 0, data[0].shape[0])
        return data[0][chosen], data[1][chosen]

    def loss(params: Params, problem: Frozen, batch: tuple[Array, Array]) -> Array:
        inputs, labels = batch
        first, second = (w + p["before"] @ p["after"] for w, p in zip(problem, params, strict=True))
        logits = jax.nn.relu(inputs @ first) @ second
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    return Task(sample, init, batch, loss, data)
