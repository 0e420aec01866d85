"""The 8x8 digits that scikit-learn carries in its wheel: real data that is always there.

They are the test part of the "Optical Recognition of Handwritten Digits" data (E. Alpaydin and
C. Kaynak, UCI Machine Learning Repository, 1998): 1,797 images, intensities 0 to 16.
"""

import numpy as np

from learned_opt.core.extras import needed_for
from learned_opt.datasets.image_data import ImageData

_NUM_CLASSES = 10
_TEST_IMAGES_PER_CLASS = 36
_SPLIT_SEED = 0


def load_digits() -> dict[str, ImageData]:
    """The splits "train" (1,437 images) and "test" (360) of scikit-learn's digits, uint8[n, 8, 8, 1].

    The images are in an order drawn with a fixed seed, the first 36 of each class are the test split.
    Intensities are scaled from 0..16 to 0..255 (half up), so that image data sets share one range.
    """
    with needed_for("the digits", "data"):
        from sklearn import datasets

    intensities, targets = datasets.load_digits(return_X_y=True)
    images = (intensities.astype(np.int32) * 255 + 8) // 16
    images = images.astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = targets.astype(np.int32)
    # The stream of the legacy generator is frozen: the split is the same under every numpy.
    order = np.random.RandomState(_SPLIT_SEED).permutation(len(labels))
    is_test = np.zeros(len(labels), bool)
    for label in range(_NUM_CLASSES):
        is_test[order[labels[order] == label][:_TEST_IMAGES_PER_CLASS]] = True
    train, test = order[~is_test[order]], order[is_test[order]]
    return {"train": ImageData(images[train], labels[train]), "test": ImageData(images[test], labels[test])}
