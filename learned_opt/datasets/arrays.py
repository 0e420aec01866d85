"""Images and labels of one's own, in a file of numpy arrays."""

from typing import Any

import numpy as np

from learned_opt.core.paths import user_path
from learned_opt.datasets.image_data import ImageData


def load_arrays(path: str, split: str) -> ImageData:
    """The images and labels of a split, "train" or "test", of an .npz file; labels are 0 to n - 1.

    `FileNotFoundError` if there is no such file, `ValueError` naming the array that is missing or wrong.
    """
    file = user_path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; check the path")
    names = f"{split}_images", f"{split}_labels"
    with np.load(file) as arrays:
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(f"{path} has no array {missing[0]}; it has {', '.join(arrays)}")
        images, labels = (arrays[name] for name in names)
    if images.ndim != 4 or images.dtype != np.uint8:
        raise _wrong(path, names[0], images, "u8[n, height, width, channels]")
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise _wrong(path, names[1], labels, f"integers [{len(images)}] from 0 on")
    return ImageData(images, labels.astype(np.int32))


def _wrong(path: str, name: str, found: Any, wanted: str) -> ValueError:
    return ValueError(f"{path}: {name} is {found.dtype}{list(found.shape)}, expected {wanted}")
