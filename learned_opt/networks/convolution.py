"""Convolutions that a loop of training steps computes fast on a CPU too."""

import math
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array


def convolve(images: Array, kernel: Array, stride: int = 1) -> Array:
    r"""A convolution whose output has the images' size, over the stride.

    .. math::

        y_{b i j o} = \sum_{u v c} w_{u v c o}\, x_{b,\, s i + u - p,\, s j + v - p,\, c}

    with zeros beyond the border, p of them before the first row and column. On a CPU it is one product of
    matrices, of the patches and the kernel: inside a loop XLA computes its own convolutions there on a single
    slow path. Elsewhere it is XLA's convolution.

    Args:
        images: f32[B, H, W, channels].
        kernel: f32[height, width, channels, outputs].
        stride: s, at least 1.

    Returns:
        f32[B, ceil(H / s), ceil(W / s), outputs].

    Raises:
        ValueError: if the stride is below 1, or the kernel is for another number of channels.

    Example:
        >>> image = jnp.ones((1, 4, 4, 1))
        >>> convolve(image, jnp.ones((3, 3, 1, 1)), stride=2)[0, :, :, 0].tolist()
        [[9.0, 6.0], [6.0, 4.0]]
    """
    check_at_least(1, stride=stride)
    if images.shape[-1] != kernel.shape[2]:
        raise ValueError(
            f"the images have {images.shape[-1]} channels and the kernel is for {kernel.shape[2]}: "
            f"shapes {images.shape} and {kernel.shape}"
        )

    def direct(images: Array, kernel: Array) -> Array:
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            images, kernel, (stride, stride), "SAME", dimension_numbers=layout
        )

    def by_patches(images: Array, kernel: Array) -> Array:
        height, width, *_, outputs = kernel.shape
        return _patches(images, height, width, stride) @ kernel.reshape(-1, outputs)

    return jax.lax.platform_dependent(images, kernel, cpu=by_patches, default=direct)


def _patches(images: Array, height: int, width: int, stride: int) -> Array:
    """f32[B, H', W', height * width * channels], what each output sees."""
    batch, rows, columns, channels = images.shape
    outs = (-(-rows // stride), -(-columns // stride))
    spans = [(out - 1) * stride + 1 for out in outs]
    missing = [
        max(span - 1 + side - have, 0)
        for span, side, have in zip(spans, (height, width), (rows, columns), strict=True)
    ]
    padded = jnp.pad(images, ((0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)))
    shifted = [
        jax.lax.slice(
            padded, (0, u, v, 0), (batch, u + spans[0], v + spans[1], channels), (1, stride, stride, 1)
        )
        for u in range(height)
        for v in range(width)
    ]
    return jnp.concatenate(shifted, axis=-1)


class Convolution(hk.Module):
    """`convolve` with parameters of its own, which are those of `hk.Conv2D`: `w` and, with a bias, `b`.

    Args:
        channels: of the output.
        size: of the kernel, on a side.
        stride: s.
        with_bias: whether a bias is added.
        w_init: of the kernel; by default haiku's, of a deviation of one over the root of the inputs.
        name: of the module.

    Example:
        >>> net = hk.without_apply_rng(hk.transform(lambda x: Convolution(4, stride=2)(x)))
        >>> params = net.init(jax.random.key(0), jnp.ones((1, 8, 8, 3)))
        >>> sorted(params["conv2_d"]), net.apply(params, jnp.ones((1, 8, 8, 3))).shape
        (['b', 'w'], (1, 4, 4, 4))
    """

    def __init__(
        self,
        channels: int,
        size: int = 3,
        stride: int = 1,
        *,
        with_bias: bool = True,
        w_init: Any = None,
        name: str = "conv2_d",
    ):
        super().__init__(name=name)
        self.channels, self.size, self.stride = channels, size, stride
        self.with_bias, self.w_init = with_bias, w_init

    def __call__(self, images: Array) -> Array:
        """f32[B, H, W, channels] -> f32[B, ceil(H / s), ceil(W / s), self.channels]."""
        shape = (self.size, self.size, images.shape[-1], self.channels)
        w_init = self.w_init or hk.initializers.TruncatedNormal(1 / math.sqrt(math.prod(shape[:3])))
        found = convolve(images, hk.get_parameter("w", shape, images.dtype, w_init), self.stride)
        if not self.with_bias:
            return found
        return found + hk.get_parameter("b", (self.channels,), images.dtype, jnp.zeros)[None, None, None]
