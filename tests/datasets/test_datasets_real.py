"""Facts about the real MNIST and Fashion-MNIST, where they have been prepared."""

import numpy as np
import pytest

from learned_opt import datasets

needs_mnist = pytest.mark.skipif(
    not datasets.is_prepared("mnist"), reason="needs `learned-opt prepare-data mnist`"
)
needs_fashion_mnist = pytest.mark.skipif(
    not datasets.is_prepared("fashion_mnist"),
    reason="needs `learned-opt prepare-data fashion_mnist`",
)


# Class counts: http://yann.lecun.com/exdb/mnist/. Means over all pixels: the usual normalisation
# constants 0.1307 (training split) and 0.1325 (test split), times 255.
@needs_mnist
@pytest.mark.parametrize(
    ("split", "counts", "mean"),
    [
        ("train", [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], 0.1307),
        ("test", [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009], 0.1325),
    ],
)
def test_mnist(split, counts, mean):
    data = datasets.load("mnist", split)
    assert data.images.shape == (sum(counts), 28, 28, 1)
    assert data.images.dtype == np.uint8
    assert data.labels.dtype == np.int32
    assert np.bincount(data.labels).tolist() == counts
    assert data.images.mean() / 255 == pytest.approx(mean, abs=1e-4)


@needs_mnist
def test_mnist_is_in_the_order_of_tfds():
    # The order in which TFDS shuffles while writing depends on the keys of the examples only.
    first = datasets.load("mnist", "train[:10]").labels
    assert first.tolist() == [4, 1, 0, 7, 8, 1, 2, 7, 1, 6]


@needs_mnist
def test_mnist_is_learnable():
    # Images and labels belong together: the nearest class mean is right for 82 % of the test split.
    train, test = datasets.load("mnist"), datasets.load("mnist", "test")
    means = [train.images[train.labels == label].mean(axis=0).ravel() for label in range(10)]
    distances = -2 * test.images.reshape(-1, 784).astype(np.float64) @ np.array(means).T
    distances += np.square(means).sum(axis=1)
    assert (distances.argmin(axis=1) == test.labels).mean() > 0.8


@needs_fashion_mnist
def test_fashion_mnist():
    train, test = datasets.load("fashion_mnist"), datasets.load("fashion_mnist", "test")
    assert train.images.shape == (60000, 28, 28, 1)
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert train.images.mean() / 255 == pytest.approx(0.2860, abs=1e-4)


@needs_mnist
@needs_fashion_mnist
def test_the_two_are_different():
    images = [datasets.load(name, "test").images for name in ("mnist", "fashion_mnist")]
    assert (images[0] != images[1]).mean() > 0.4
