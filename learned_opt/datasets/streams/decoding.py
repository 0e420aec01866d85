"""Encoded pictures as pixels of one size, cropped and mirrored for training.

References:
    Szegedy et al., Going deeper with convolutions, CVPR 2015: crops of 8 to 100 % of the area, with a ratio
    of sides from 3/4 to 4/3. Krizhevsky, Sutskever, Hinton, ImageNet classification with deep convolutional
    neural networks, NeurIPS 2012: mirroring, and the middle of the picture in tests.
"""

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from learned_opt.core.extras import needed_for
from learned_opt.datasets.streams.source import UnreadableError

if TYPE_CHECKING:
    from PIL.Image import Image

AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
ATTEMPTS = 10
TEST_MARGIN = 256 / 224  # by which the shorter side is longer than the middle that a test sees

Box = tuple[float, float, float, float]  # left, upper, right and lower edge in pixels


def pixels(content: bytes, size: int, rng: np.random.Generator | None) -> np.ndarray:
    """A square u8[size, size, 3] of a picture: anywhere and maybe mirrored, or its middle if `rng` is `None`.

    Raises:
        UnreadableError: if Pillow cannot decode it.
    """
    image = opened(content)
    if rng is None:
        side = min(image.size) / TEST_MARGIN
        return resized(image, size, middle(image.size, side, side))
    found = resized(image, size, random_box(image.size, rng))
    return found[:, ::-1].copy() if rng.random() < 0.5 else found


def opened(content: bytes) -> "Image":
    """A picture whose header has been read."""
    with needed_for("pictures", "data"):
        from PIL import Image

    try:
        return Image.open(io.BytesIO(content))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError("it is no picture that Pillow can read") from error


def resized(image: "Image", size: int, box: Box | None = None) -> np.ndarray:
    """A box of a picture, all of it by default, as u8[size, size, 3]."""
    with needed_for("pictures", "data"):
        from PIL.Image import Resampling

    width, height = image.size
    left, upper, right, lower = (0.0, 0.0, width, height) if box is None else box
    # A JPEG is decoded at half, a quarter or an eighth of its size where no more pixels are wanted.
    wanted = (math.ceil(width * size / (right - left)), math.ceil(height * size / (lower - upper)))
    try:
        image.draft("RGB", wanted)
        x, y = image.size[0] / width, image.size[1] / height
        image = image.convert("RGB")
        edges = left * x, upper * y, right * x, lower * y
        return np.asarray(image.resize((size, size), Resampling.BILINEAR, edges, reducing_gap=2.0))
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises on damaged files
        raise UnreadableError(f"it cannot be decoded: {error}") from error


def random_box(size: tuple[int, int], rng: np.random.Generator) -> Box:
    """A box of a random area and ratio of sides that lies in the picture."""
    width, height = size
    for _ in range(ATTEMPTS):
        area = width * height * rng.uniform(AREA[0], AREA[1])
        ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if w <= width and h <= height:
            left, upper = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, upper, left + w, upper + h
    side = min(width, height)
    return middle(size, side, side)


def middle(size: tuple[int, int], w: float, h: float) -> Box:
    """A box of a width and a height around the middle of a picture."""
    left, upper = (size[0] - w) / 2, (size[1] - h) / 2
    return left, upper, left + w, upper + h
