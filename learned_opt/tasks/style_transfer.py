"""A picture's content in another's style, and textures: the optimizee is the pixels.

Reference:
    Gatys, Ecker, Bethge, Image style transfer using convolutional neural networks, CVPR 2016. Deviation: the
    terms are relative to what they compare with, so that weights mean the same for all networks.
    Gatys, Ecker, Bethge, Texture synthesis using convolutional neural networks, NeurIPS 2015.
    Ustyuzhaninov et al., Texture synthesis using shallow convolutional networks with random filters, 2016:
    what random weights are good for.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.datasets.pictures import load_picture
from learned_opt.networks.vgg import Layers, features, load_layers, random_layers
from learned_opt.tasks.registry import registry

RANDOM_WIDTHS = (32, 64)
_CONTENT_LAYER = "conv4_2"  # where there is one
_NOISE = 0.1


class Target(NamedTuple):
    """What a picture is compared with, resident on the device.

    Attributes:
        layers: of the network that looks at pictures.
        content: f32[h, w, n], the content layer's features; `None` for a texture.
        grams: f32[n, n] by layer, of the style.
    """

    layers: Layers
    content: Array | None
    grams: dict[str, Array]


@registry.register
def style_transfer(
    content: str | None = "china",
    style: str = "flower",
    weights: str | None = None,
    size: int = 32,
    style_weight: float = 1.0,
    start: Literal["noise", "picture"] = "noise",
) -> Task:
    r"""The distance of a picture from one picture's content and another's style.

    .. math::

        f(x) = \frac{\lVert F(x) - F(c) \rVert^2}{\lVert F(c) \rVert^2}
            + \frac{w}{L} \sum_{l=1}^{L} \frac{\lVert G_l(x) - G_l(s) \rVert^2}{\lVert G_l(s) \rVert^2},
        \qquad G_l(x) = \frac{1}{h_l w_l} \sum_{ij} F_l(x)_{ij} F_l(x)_{ij}^\top

    F are the features of a conv net, those of the content from the layer conv4_2, or from the last where the
    network has none of that name; G are Gram matrices of the first layer of each block. Without a content
    this is texture synthesis. All problems are one; they differ in their starting points.

    Args:
        content: a picture's file, or `"china"` or `"flower"`; `None` for a texture.
        style: the same.
        weights: a safetensors file with the network, such as torchvision's VGG-19
            (`networks.vgg.load_layers`); `None` for random filters.
        size: pixels of the longer side of both.
        style_weight: w.
        start: `"noise"`, or `"picture"`: the content with a little noise.

    Returns:
        The task; params are the pixels f32[H, W, 3], from 0 to 1; metrics `content_loss`, 0 for a texture,
        and `style_loss`.

    Raises:
        ValueError: if an argument is out of its range, or a file is not what it should be.
        FileNotFoundError: if there is no such file.

    Example:
        >>> task = style_transfer(size=24)
        >>> pixels = task.init(jax.random.key(0), ())
        >>> pixels.shape, bool(task.loss(pixels, (), task.batch(jax.random.key(1), (), task.data)) > 0.1)
        ((16, 24, 3), True)
    """
    check_at_least(16, size=size)
    check_at_least(0, style_weight=style_weight)
    if start not in ("noise", "picture"):
        raise ValueError(f"start={start!r}: choose 'noise' or 'picture'")
    layers = random_layers(jax.random.key(0), RANDOM_WIDTHS) if weights is None else load_layers(weights)
    content_layer = _CONTENT_LAYER if _CONTENT_LAYER in layers else max(layers)
    style_layers = sorted(name for name in layers if name.endswith("_1"))
    names = style_layers if content is None else sorted({content_layer, *style_layers})
    picture = load_picture(style if content is None else content, size)

    def init(key: Key, problem: tuple[()]) -> Params:
        del problem
        middle = 0.5 if start == "noise" else jnp.asarray(picture).astype(jnp.float32) / 255
        return middle + _NOISE * jax.random.normal(key, picture.shape)

    def terms(pixels: Array, target: Target) -> tuple[Array, Array]:
        seen = features(target.layers, pixels, names)
        content_loss = jnp.zeros(())
        if target.content is not None:
            content_loss = _relative(seen[content_layer], target.content)
        style_losses = [_relative(gram(seen[name]), target.grams[name]) for name in style_layers]
        return content_loss, jnp.mean(jnp.stack(style_losses))

    def loss(params: Params, problem: tuple[()], batch: Target) -> Array:
        del problem
        content_loss, style_loss = terms(params, batch)
        return content_loss + style_weight * style_loss

    def metrics(params: Params, problem: tuple[()], data: Target) -> dict[str, Array]:
        del problem
        content_loss, style_loss = terms(params, data)
        return {"content_loss": content_loss, "style_loss": style_loss}

    def looked_at(pixels: np.ndarray, wanted: list[str]) -> dict[str, Array]:
        return features(layers, jnp.asarray(pixels, jnp.float32) / 255, wanted)

    grams = {name: gram(seen) for name, seen in looked_at(load_picture(style, size), style_layers).items()}
    seen = None if content is None else looked_at(picture, [content_layer])[content_layer]
    data = Target(layers, seen, grams)
    return Task(lambda key: (), init, lambda key, problem, data: data, loss, data, metrics)


def gram(seen: Array) -> Array:
    """The Gram matrix f32[n, n] of features f32[h, w, n], by their mean over the image.

    Example:
        >>> gram(jnp.array([[[1.0, 0.0], [1.0, 2.0]]])).tolist()
        [[1.0, 1.0], [1.0, 2.0]]
    """
    height, width, _ = seen.shape
    return jnp.einsum("ijm,ijn->mn", seen, seen) / (height * width)


def _relative(found: Array, wanted: Array) -> Array:
    size = jnp.sum(jnp.square(wanted))
    return jnp.sum(jnp.square(found - wanted)) / jnp.maximum(size, 1e-12)
