import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from learned_opt import datasets


def test_shapes_types_and_range():
    for split, size in {"train": 1437, "test": 360}.items():
        data = datasets.load("digits", split)
        assert data.images.shape == (size, 8, 8, 1)
        assert data.images.dtype == np.uint8
        assert data.labels.shape == (size,)
        assert data.labels.dtype == np.int32
        assert data.images.min() == 0
        assert data.images.max() == 255


def test_splits_are_disjoint_complete_and_scaled():
    original = load_digits()
    expected = sorted(
        (np.floor(image * 255 / 16 + 0.5).astype(np.uint8).tobytes(), int(label))
        for image, label in zip(original.images, original.target, strict=True)
    )
    both = [datasets.load("digits", split) for split in ("train", "test")]
    found = sorted((image.tobytes(), int(label)) for data in both for image, label in zip(*data, strict=True))
    assert found == expected


def test_the_test_split_has_36_images_of_each_class():
    test = datasets.load("digits", "test")
    assert np.bincount(test.labels).tolist() == [36] * 10
    train = np.bincount(datasets.load("digits").labels)
    assert train.min() >= 138
    assert train.max() <= 147


def test_classes_are_mixed_throughout():
    for start in range(0, 1400, 200):
        data = datasets.load("digits", f"train[{start}:{start + 200}]")
        assert np.bincount(data.labels, minlength=10).min() >= 8


def test_the_split_never_changes():
    # Digests of this split as first published: results on it stay comparable.
    digests = {
        split: hashlib.sha256(b"".join(a.tobytes() for a in datasets.load("digits", split)))
        for split in ("train", "test")
    }
    assert {split: digest.hexdigest()[:16] for split, digest in digests.items()} == {
        "train": "d6de0ce7b667e2d7",
        "test": "766b6a20a68b9d65",
    }


@pytest.mark.parametrize(
    ("split", "first", "last"),
    [
        ("train[:]", 0, 1437),
        ("train[:100]", 0, 100),
        ("train[100:]", 100, 1437),
        ("train[20:30]", 20, 30),
        ("train[-37:]", 1400, 1437),
        ("train[:-37]", 0, 1400),
        ("train[:10%]", 0, 144),
        ("train[10%:50%]", 144, 718),
        ("train[-10%:]", 1293, 1437),
        ("train[1400:100%]", 1400, 1437),
    ],
)
def test_slices(split, first, last):
    whole, part = datasets.load("digits"), datasets.load("digits", split)
    assert part.images.shape[0] == last - first
    np.testing.assert_array_equal(part.images, whole.images[first:last])
    np.testing.assert_array_equal(part.labels, whole.labels[first:last])


@pytest.mark.parametrize("percent", [1, 7, 33, 50, 66, 99])
def test_percentages_round_as_tfds_rounds_them(percent):
    import tensorflow_datasets as tfds

    split = f"train[:{percent}%]"
    infos = {"train": SimpleNamespace(num_examples=1437)}
    [instruction] = tfds.core.ReadInstruction.from_spec(split).to_absolute(infos)
    assert len(datasets.load("digits", split).labels) == instruction.to


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train[:1438]", "0 to 1438 of digits, of which there are 1437"),
        ("train[-1438:]", "of which there are 1437"),
        ("train[5:5]", "at least one"),
        ("train[9:3]", "at least one"),
        ("tran", "unknown split of digits 'tran'; did you mean 'train'"),
        ("validation", "Known: test, train"),
        ("train[50]", r"cannot read the split 'train\[50\]'"),
        ("train+test", "cannot read the split"),
        ("train[:5.5%]", "cannot read the split"),
        ("", "cannot read the split"),
    ],
)
def test_bad_splits_are_refused(split, message):
    with pytest.raises(ValueError, match=message):
        datasets.load("digits", split)


def test_arrays_are_shared_and_read_only():
    first, second = datasets.load("digits", "train[:9]"), datasets.load("digits")
    assert np.shares_memory(first.images, second.images)
    for array in (*first, *second):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_digits_need_no_preparation(tmp_path):
    assert datasets.is_prepared("digits", data_dir=tmp_path)
    assert (datasets.prepare("digits", data_dir=tmp_path) / "digits.csv.gz").is_file()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("function", [datasets.load, datasets.prepare, datasets.is_prepared])
def test_unknown_names_get_the_nearest_match(function):
    with pytest.raises(ValueError, match=r"unknown data set 'fashon_mnist'.*'fashion_mnist'"):
        function("fashon_mnist")


def test_names():
    assert datasets.names() == ("digits", "photographs", "mnist", "fashion_mnist", "cifar10")
