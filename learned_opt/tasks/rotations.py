"""Which way up an image is: a task for a conv net on images without labels.

Reference:
    Gidaris, Singh, Komodakis, Unsupervised representation learning by predicting image rotations, ICLR 2018.
"""

import jax
import jax.numpy as jnp
import optax

from learned_opt import datasets
from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.networks.vgg import features, random_layers
from learned_opt.tasks.registry import registry
from learned_opt.tasks.resnet import TEST_CHUNK
from learned_opt.tasks.vae import Pictures

NUM_TURNS = 4


@registry.register
def rotations(
    dataset: str = "digits", widths: tuple[int, ...] = (8, 16), batch_size: int = 32, split: str = "train"
) -> Task:
    r"""Cross-entropy of a small VGG network that says by how many right angles an image was turned.

    .. math::

        f(x) = -\frac{1}{B} \sum_{i=1}^{B} \log \operatorname{softmax}(\mathrm{net}_x(\rho^{k_i} a_i))_{k_i},
        \qquad k_i \in \{0, 1, 2, 3\}

    The network has two 3x3 convolutions a block, of `widths` channels, the image halved between blocks, and a
    linear layer on the mean over the image. What it learns to see serves `style_transfer`. All problems share
    data and architecture.

    Args:
        dataset: what the images are from, as in `datasets.load`; they are square.
        widths: channels of each block.
        batch_size: B, images in a minibatch, drawn with replacement.
        split: what minibatches are drawn from, as tensorflow-datasets spells it.

    Returns:
        The task; params are a dictionary of the `layers` and of the linear layer; the metric `test_accuracy`
        is of the test images, a quarter of them turned each way.

    Raises:
        ValueError: if an argument is out of its range or the data set is unknown.
        DataNotPreparedError: if the data set has not been prepared on this machine.

    Example:
        >>> task = rotations()
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> x, batch = jax.jit(task.init)(keys[0], ()), jax.jit(task.batch)(keys[1], (), task.data)
        >>> bool(1 < jax.jit(task.loss)(x, (), batch) < 4)  # log 4 = 1.39 without knowing anything
        True
    """
    widths = tuple(widths)
    check_at_least(1, batch_size=batch_size, **{f"widths[{i}]": n for i, n in enumerate(widths)})
    data = Pictures(*(jnp.asarray(datasets.load(dataset, part).images) for part in (split, "test")))
    last = f"conv{len(widths)}_2"

    def logits(params: Params, images: Array) -> Array:
        def one(image: Array) -> Array:
            seen = features(params["layers"], image.astype(jnp.float32) / 255, [last])[last]
            return jnp.mean(seen, axis=(0, 1)) @ params["w"] + params["b"]

        return jax.vmap(one)(images)

    def init(key: Key, problem: tuple[()]) -> Params:
        del problem
        layers_key, key = jax.random.split(key)
        layers = random_layers(layers_key, widths, channels=data.images.shape[-1])
        w = jax.random.normal(key, (widths[-1], NUM_TURNS)) / jnp.sqrt(widths[-1])
        return {"layers": layers, "w": w, "b": jnp.zeros(NUM_TURNS)}

    def batch(key: Key, problem: tuple[()], data: Pictures) -> tuple[Array, Array]:
        del problem
        chosen, turns = jax.random.randint(
            key, (2, batch_size), 0, jnp.array([[data.images.shape[0]], [NUM_TURNS]])
        )
        return turned(data.images[chosen], turns), turns

    def loss(params: Params, problem: tuple[()], batch: tuple[Array, Array]) -> Array:
        del problem
        images, turns = batch
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits(params, images), turns))

    def metrics(params: Params, problem: tuple[()], data: Pictures) -> dict[str, Array]:
        del problem
        turns = jnp.arange(len(data.test_images)) % NUM_TURNS

        def one(image: Array) -> Array:
            return logits(params, image[None])[0]

        images = turned(data.test_images, turns)
        found = jnp.argmax(jax.lax.map(one, images, batch_size=TEST_CHUNK), axis=-1)
        return {"test_accuracy": jnp.mean(found == turns)}

    return Task(lambda key: (), init, batch, loss, data, metrics)


def turned(images: Array, turns: Array) -> Array:
    """Square images [B, S, S, C], each turned to the left by a number of right angles i32[B].

    Example:
        >>> image = jnp.array([[1, 2], [3, 4]])[None, :, :, None]
        >>> turned(image, jnp.array([1]))[0, :, :, 0].tolist()
        [[2, 4], [1, 3]]
    """
    ways = jnp.stack([jnp.rot90(images, k, axes=(1, 2)) for k in range(NUM_TURNS)])
    return ways[turns, jnp.arange(len(images))]
