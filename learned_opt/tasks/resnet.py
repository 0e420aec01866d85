"""Image classification with a residual network.

Reference:
    He, Zhang, Ren, Sun, Identity mappings in deep residual networks, ECCV 2016: blocks that normalise and
    activate before each convolution. Deviation: groups of channels are normalised (Wu, He, Group
    normalization, ECCV 2018), since statistics of the batch would be a state beside the params.
"""

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from learned_opt import datasets
from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.networks.convolution import Convolution
from learned_opt.tasks.classification import Images
from learned_opt.tasks.registry import registry

TEST_CHUNK = 250  # images that the metrics see at once


@registry.register
def resnet(
    dataset: str = "digits",
    widths: tuple[int, ...] = (8, 16),
    blocks: int = 1,
    stride: int = 1,
    groups: int = 4,
    augment: bool = False,
    batch_size: int = 32,
    split: str = "train",
) -> Task:
    r"""Cross-entropy of a residual network on minibatches of images.

    .. math::

        f(x) = -\frac{1}{B} \sum_{i=1}^{B} \log \operatorname{softmax}(\mathrm{net}_x(a_i))_{b_i}, \qquad
        \mathrm{block}(h) = h + C_2\, \phi N_2\, C_1\, \phi N_1\, h

    A 3x3 convolution of the given stride, then for each of `widths` a stage of `blocks` blocks of two 3x3
    convolutions C, the first of a stage (but for the first stage) with stride 2 and a 1x1 convolution beside
    it; N normalises groups of channels, :math:`\phi` is ReLU; a linear layer on the mean over the image. The
    depth is `2 * blocks * len(widths) + 2`: ResNet-20 has widths (16, 32, 64) and 3 blocks. All problems
    share data and architecture.

    Args:
        dataset: what the images are from, as in `datasets.load`: `"cifar10"`, or a .npz file of one's own.
        widths: channels of each stage.
        blocks: of each stage.
        stride: of the first convolution; 2 halves the images before the stages, for a quarter of the time.
        groups: of channels that are normalised together; every width is a multiple.
        augment: mirrors half of the images and shifts each by up to an eighth of its side.
        batch_size: B, images in a minibatch, drawn with replacement.
        split: what minibatches are drawn from, as tensorflow-datasets spells it.

    Returns:
        The task; params as haiku makes them; metrics `test_loss` and `test_accuracy`.

    Raises:
        ValueError: if an argument is out of its range or the data set is unknown.
        DataNotPreparedError: if the data set has not been prepared on this machine.

    Example:
        >>> task = resnet(widths=(4,), batch_size=8)
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> x, batch = jax.jit(task.init)(keys[0], ()), jax.jit(task.batch)(keys[1], (), task.data)
        >>> bool(1 < jax.jit(task.loss)(x, (), batch) < 6)
        True
    """
    widths = tuple(widths)
    check_at_least(1, blocks=blocks, stride=stride, groups=groups, batch_size=batch_size)
    if not widths or any(width < 1 or width % groups for width in widths):
        raise ValueError(f"widths={widths!r}: give one or more, each a multiple of groups={groups}")
    train, test = datasets.load(dataset, split), datasets.load(dataset, "test")
    data = Images(*(jnp.asarray(a) for a in (*train, *test)))
    num_classes = int(train.labels.max()) + 1
    shape = data.images.shape[1:]
    network = hk.without_apply_rng(
        hk.transform(lambda images: _network(images, widths, blocks, stride, groups, num_classes))
    )

    def init(key: Key, problem: tuple[()]) -> Params:
        del problem
        return network.init(key, jnp.zeros((1, *shape), jnp.uint8))

    def batch(key: Key, problem: tuple[()], data: Images) -> tuple[Array, Array]:
        del problem
        chosen_key, augment_key = jax.random.split(key)
        chosen = jax.random.randint(chosen_key, (batch_size,), 0, data.images.shape[0])
        images = data.images[chosen]
        return augmented(augment_key, images) if augment else images, data.labels[chosen]

    def loss(params: Params, problem: tuple[()], batch: tuple[Array, Array]) -> Array:
        del problem
        images, labels = batch
        return jnp.mean(
            optax.softmax_cross_entropy_with_integer_labels(network.apply(params, images), labels)
        )

    def metrics(params: Params, problem: tuple[()], data: Images) -> dict[str, Array]:
        del problem

        def one(image: Array) -> Array:
            return network.apply(params, image[None])[0]

        logits = jax.lax.map(one, data.test_images, batch_size=TEST_CHUNK)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, data.test_labels)
        right = jnp.argmax(logits, axis=-1) == data.test_labels
        return {"test_loss": jnp.mean(losses), "test_accuracy": jnp.mean(right)}

    return Task(lambda key: (), init, batch, loss, data, metrics)


def augmented(key: Key, images: Array) -> Array:
    """Images u8[B, H, W, C], half of them mirrored, each shifted by up to an eighth of a side over black.

    Example:
        >>> images = jnp.full((4, 8, 8, 1), 7, jnp.uint8)
        >>> moved = augmented(jax.random.key(0), images)
        >>> moved.shape, moved.dtype, bool(moved.max() == 7)
        ((4, 8, 8, 1), dtype('uint8'), True)
    """
    _, height, width, channels = images.shape
    margin = max(height, width) // 8
    padded = jnp.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))

    def one(key: Key, image: Array) -> Array:
        mirror_key, shift_key = jax.random.split(key)
        y, x = jax.random.randint(shift_key, (2,), 0, 2 * margin + 1)
        cut = jax.lax.dynamic_slice(image, (y, x, 0), (height, width, channels))
        return jnp.where(jax.random.bernoulli(mirror_key), cut[:, ::-1], cut)

    return jax.vmap(one)(jax.random.split(key, len(images)), padded)


def _network(
    images: Array, widths: tuple[int, ...], blocks: int, stride: int, groups: int, num_classes: int
) -> Array:
    """u8[B, H, W, C] -> logits f32[B, num_classes]."""
    x = _convolution(images.astype(jnp.float32) / 127.5 - 1, widths[0], stride)
    for stage, width in enumerate(widths):
        for block in range(blocks):
            x = _block(x, width, groups, stride=2 if stage and not block else 1)
    x = jnp.mean(_activated(x, groups), axis=(1, 2))
    return hk.Linear(num_classes, name="logits")(x)


def _block(x: Array, width: int, groups: int, stride: int) -> Array:
    z = _activated(x, groups)
    beside = x if stride == 1 else Convolution(width, 1, stride, with_bias=False)(z)
    z = _convolution(z, width, stride)
    return beside + _convolution(_activated(z, groups), width)


def _activated(x: Array, groups: int) -> Array:
    return jax.nn.relu(hk.GroupNorm(groups)(x))


def _convolution(x: Array, width: int, stride: int = 1) -> Array:
    w_init = hk.initializers.VarianceScaling(2.0)
    return Convolution(width, 3, stride, with_bias=False, w_init=w_init)(x)
