"""Patches of the two photographs that scikit-learn carries in its wheel.

They are "china" by danielbuechele and "flower" by vultilion (Creative Commons Attribution 2.0).
"""

import functools

import numpy as np

from learned_opt.core.extras import needed_for
from learned_opt.datasets.image_data import ImageData

PHOTOGRAPHS = ("china", "flower")
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_PHOTOGRAPH_SIDE = 32
_TEST_SHARE = 0.2
_LEAST_CONTRAST = 4.0  # grey levels; a flatter patch is mostly quantisation noise


@functools.cache
def load_patches(side: int) -> np.ndarray:
    """Square grey patches of natural images, on a grid of half their side.

    Patches whose standard deviation is below 4 of 255 grey levels (sky, blur) are left out.

    Args:
        side: pixels of a patch's side, between 2 and 64.

    Returns:
        uint8[num_patches, side, side], read-only.

    Raises:
        ValueError: if `side` is out of its range.

    Example:
        >>> patches = load_patches(16)
        >>> patches.shape[1:], patches.dtype, len(patches) > 4000
        ((16, 16), dtype('uint8'), True)
    """
    if not 2 <= side <= 64:
        raise ValueError(f"side={side!r}: it must be between 2 and 64")
    patches = []
    for image in photographs():
        grey = np.round(image @ np.array(_LUMA)).astype(np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(grey, (side, side))
        patches.append(windows[:: side // 2, :: side // 2].reshape(-1, side, side))
    patches = np.concatenate(patches)
    patches = patches[patches.std(axis=(1, 2)) >= _LEAST_CONTRAST]
    patches.flags.writeable = False
    return patches


def load_photographs() -> dict[str, ImageData]:
    """The splits "train" and "test" of colour patches u8[n, 32, 32, 3], labelled by photograph, 0 or 1.

    They lie on a grid of half their side; those of the test split are from the right fifth of a photograph.
    They are in an order drawn with a fixed seed.
    """
    side, splits = _PHOTOGRAPH_SIDE, {"train": [], "test": []}
    for image in photographs():
        cut = round(image.shape[1] * (1 - _TEST_SHARE))
        for split, part in (("train", image[:, :cut]), ("test", image[:, cut:])):
            windows = np.lib.stride_tricks.sliding_window_view(part, (side, side), axis=(0, 1))
            patches = windows[:: side // 2, :: side // 2].reshape(-1, 3, side, side)
            splits[split].append(patches.transpose(0, 2, 3, 1))
    return {name: _shuffled(parts) for name, parts in splits.items()}


def _shuffled(parts: list[np.ndarray]) -> ImageData:
    labels = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
    order = np.random.RandomState(0).permutation(len(labels))  # a stream that is frozen under every numpy
    return ImageData(np.concatenate(parts)[order], labels[order])


def photographs() -> list[np.ndarray]:
    """Those of `PHOTOGRAPHS`, u8[427, 640, 3] each."""
    with needed_for("photographs", "data"):
        from sklearn import datasets

    return datasets.load_sample_images().images
