"""Patches of the two photographs that scikit-learn carries in its wheel.

They are "china" by danielbuechele and "flower" by vultilion (Creative Commons Attribution 2.0).
"""

import functools

import numpy as np

from learned_opt.core.extras import needed_for

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
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
    with needed_for("the patches of photographs", "data"):
        from sklearn import datasets

    patches = []
    for image in datasets.load_sample_images().images:
        grey = np.round(image @ np.array(_LUMA)).astype(np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(grey, (side, side))
        patches.append(windows[:: side // 2, :: side // 2].reshape(-1, side, side))
    patches = np.concatenate(patches)
    patches = patches[patches.std(axis=(1, 2)) >= _LEAST_CONTRAST]
    patches.flags.writeable = False
    return patches
