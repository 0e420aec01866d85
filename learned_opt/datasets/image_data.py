"""What every image data set loads as."""

from typing import NamedTuple

import numpy as np


class ImageData(NamedTuple):
    """Labelled images, held in host memory.

    Arrays that `load` returns are shared by all its callers and therefore read-only; copy one
    before writing to it.

    Attributes:
        images: uint8 `[num_images, height, width, channels]`, 0 to 255.
        labels: int32 `[num_images]`, 0 to the number of classes less one.

    Example:
        >>> data = ImageData(np.zeros((3, 8, 8, 1), np.uint8), np.arange(3, dtype=np.int32))
        >>> data.images.shape, data.labels.tolist()
        ((3, 8, 8, 1), [0, 1, 2])
    """

    images: np.ndarray
    labels: np.ndarray
