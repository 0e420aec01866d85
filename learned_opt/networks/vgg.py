"""Features of images from stacks of convolutions in the manner of VGG, from a file or trained here.

Reference:
    Simonyan, Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015.
    Gatys, Ecker, Bethge, Image style transfer using convolutional neural networks, CVPR 2016: the means of
    pools in place of the maxima.
"""

import os
import re
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.paths import user_path
from learned_opt.core.types import Array, Key
from learned_opt.networks.convolution import convolve

# By its layers' names, "conv{block}_{number}"; between two blocks the image is halved.
Layers = dict[str, dict[str, Array]]  # w f32[3, 3, in, out], b f32[out]

# Of ImageNet, as torchvision's networks were trained with.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_KEY = re.compile(r"features\.(\d+)\.weight")


def random_layers(key: Key, widths: Sequence[int], channels: int = 3) -> Layers:
    """Layers as He et al. (2015) start them, two a block.

    Args:
        key: decides on the weights.
        widths: channels of each block.
        channels: of the images.

    Example:
        >>> sorted(random_layers(jax.random.key(0), (4, 8)))
        ['conv1_1', 'conv1_2', 'conv2_1', 'conv2_2']
    """
    layers = {}
    for block, width in enumerate(widths, 1):
        for number in (1, 2):
            key, layer_key = jax.random.split(key)
            w = jax.random.normal(layer_key, (3, 3, channels, width)) * np.sqrt(2 / (9 * channels))
            layers[f"conv{block}_{number}"] = {"w": w, "b": jnp.zeros(width)}
            channels = width
    return layers


def features(layers: Layers, image: Array, names: Sequence[str]) -> dict[str, Array]:
    """What layers say of an image, behind their ReLUs.

    Args:
        layers: of the network.
        image: f32[H, W, channels], from 0 to 1.
        names: of the layers that are wanted; what lies behind the last is not computed.

    Returns:
        f32[h, w, width] by name.

    Example:
        >>> layers = random_layers(jax.random.key(0), (4, 8))
        >>> features(layers, jnp.ones((16, 16, 3)), ["conv2_1"])["conv2_1"].shape
        (8, 8, 8)
    """
    mean, deviation = (jnp.asarray(v[: image.shape[-1]], jnp.float32) for v in (_MEAN, _DEVIATION))
    x, block, found = ((image - mean[None, None]) / deviation[None, None])[None], 1, {}
    for name in sorted(layers, key=_order):
        if _order(name)[0] != block:
            x, block = _halved(x), _order(name)[0]
        layer = layers[name]
        x = jax.nn.relu(convolve(x, layer["w"]) + layer["b"][None, None, None])
        if name in names:
            found[name] = x[0]
        if len(found) == len(names):
            break
    return found


def load_layers(path: str | os.PathLike[str]) -> Layers:
    """The layers of a VGG network in a safetensors file, named as torchvision's are.

    `features.N.weight` f32[out, in, 3, 3] and `features.N.bias` f32[out]; N counts convolutions, ReLUs and
    pools, so that two layers without a pool in between are two numbers apart, with one three. The 16
    convolutions of VGG-19 are 0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32 and 34.

    Args:
        path: of the file; a `~` at its beginning is the home directory.

    Returns:
        The layers.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no safetensors file, or a tensor is missing or has another shape; it is named.

    Example:
        >>> load_layers("vgg19.safetensors")
        Traceback (most recent call last):
        ...
        FileNotFoundError: vgg19.safetensors: there is no such file of weights; check the path
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = user_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file of weights; check the path")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    numbers = sorted(int(match[1]) for match in map(_KEY.fullmatch, tensors) if match)
    if not numbers or numbers[0] != 0:
        raise ValueError(
            f"{path}: features.0.weight is missing; layers are named as torchvision's VGG-19 has them"
        )
    layers: Layers = {}
    block, place, channels = 1, 0, 3
    for number, before in zip(numbers, [-2, *numbers], strict=False):
        if number - before not in (2, 3):
            raise ValueError(
                f"{path}: features.{before + 2}.weight or features.{before + 3}.weight is missing"
            )
        block, place = (block, place + 1) if number - before == 2 else (block + 1, 1)
        w, b = (tensors.get(f"features.{number}.{kind}") for kind in ("weight", "bias"))
        if b is None:
            raise ValueError(f"{path}: features.{number}.bias is missing")
        if w is None or w.shape[1:] != (channels, 3, 3) or b.shape != w.shape[:1]:
            found = None if w is None else w.shape
            raise ValueError(
                f"{path}: features.{number} has weights {found} and biases {b.shape}, "
                f"expected (n, {channels}, 3, 3) and (n,)"
            )
        channels = len(w)
        layers[f"conv{block}_{place}"] = {
            "w": jnp.asarray(w.transpose(2, 3, 1, 0), jnp.float32),
            "b": jnp.asarray(b, jnp.float32),
        }
    return layers


def save_layers(path: str | os.PathLike[str], layers: Layers) -> None:
    """Writes layers as `load_layers` reads them.

    Args:
        path: of the file.
        layers: of the network.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "net.safetensors")
        >>> save_layers(path, random_layers(jax.random.key(0), (4, 8)))
        >>> sorted(load_layers(path))
        ['conv1_1', 'conv1_2', 'conv2_1', 'conv2_2']
    """
    from safetensors.numpy import save_file

    tensors, number, block = {}, -2, 1
    for name in sorted(layers, key=_order):
        number, block = number + (2 if _order(name)[0] == block else 3), _order(name)[0]
        tensors[f"features.{number}.weight"] = np.ascontiguousarray(
            np.asarray(layers[name]["w"]).transpose(3, 2, 0, 1)
        )
        tensors[f"features.{number}.bias"] = np.asarray(layers[name]["b"])
    save_file(tensors, user_path(path))


def _order(name: str) -> tuple[int, int]:
    block, number = name.removeprefix("conv").split("_")
    return int(block), int(number)


def _halved(x: Array) -> Array:
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4
