"""CIFAR-10 in miniature: an archive laid out as the real one."""

import io
import tarfile

import numpy as np
import pytest

from learned_opt import datasets

SIZES = {f"data_batch_{i}.bin": 4 for i in range(1, 6)} | {"test_batch.bin": 6}
NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()


def write_archive(path, **changes):
    """The archive, and its records u8[n, 3073] by file."""
    rng = np.random.default_rng(0)
    records = {name: rng.integers(0, 256, (size, 3073), dtype=np.uint8) for name, size in SIZES.items()}
    for i, array in enumerate(records.values()):
        array[:, 0] %= 10
        array[:, 1] = 16 * i + np.arange(len(array))  # the first red pixel tells which image it is
    contents = {name: array.tobytes() for name, array in records.items()}
    contents["batches.meta.txt"] = ("\n".join(NAMES) + "\n\n").encode()
    contents |= {name.replace("_bin", ".bin"): content for name, content in changes.items()}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            if content is not None:
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return records


@pytest.fixture
def source_dir(tmp_path):
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def test_prepare_and_load(source_dir, tmp_path, register_sources):
    records = write_archive(source_dir / "cifar-10-binary.tar.gz")
    register_sources("cifar10", source_dir, "https://cifar.invalid/")
    directory = datasets.prepare("cifar10", source_dir, tmp_path / "data")
    assert directory == tmp_path / "data" / "cifar10" / "3.0.2"
    assert datasets.is_prepared("cifar10", tmp_path / "data")
    for split, prefix in {"train": "data", "test": "test"}.items():
        source = np.concatenate([array for name, array in records.items() if name.startswith(prefix)])
        data = datasets.load("cifar10", split, tmp_path / "data")
        assert data.images.shape == (len(source), 32, 32, 3)
        order = [source[:, 1].tolist().index(first) for first in data.images[:, 0, 0, 0]]
        assert sorted(order) == list(range(len(source)))
        expected = source[order][:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(data.images, expected)
        np.testing.assert_array_equal(data.labels, source[order][:, 0])


def test_tfds_reads_the_names_of_classes(source_dir, tmp_path, register_sources):
    import tensorflow_datasets as tfds

    records = write_archive(source_dir / "cifar-10-binary.tar.gz")
    register_sources("cifar10", source_dir, "https://cifar.invalid/")
    builder = tfds.builder_from_directory(datasets.prepare("cifar10", source_dir, tmp_path / "data"))
    assert builder.info.features["label"].names == NAMES
    ids = {example["id"].decode() for example in builder.as_data_source("test")}
    assert ids == {f"test_{i:05d}" for i in range(len(records["test_batch.bin"]))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_batch_3_bin": None}, "holds no cifar-10-batches-bin/data_batch_3.bin"),
        ({"test_batch_bin": b"\0" * 3000}, "test_batch.bin in .* has 3000 bytes, no multiple of the 3073"),
    ],
)
def test_a_damaged_archive_is_named(source_dir, tmp_path, register_sources, changes, message):
    write_archive(source_dir / "cifar-10-binary.tar.gz", **changes)
    register_sources("cifar10", source_dir, "https://cifar.invalid/")
    with pytest.raises(datasets.DataSourceError, match=message):
        datasets.prepare("cifar10", source_dir, tmp_path / "data")
    assert not datasets.is_prepared("cifar10", tmp_path / "data")


def test_a_missing_archive_is_named_with_where_it_comes_from(source_dir, tmp_path):
    with pytest.raises(datasets.DataSourceError, match=r"cifar-10-binary\.tar\.gz: missing") as error:
        datasets.prepare("cifar10", source_dir, tmp_path / "data")
    assert "https://www.cs.toronto.edu/~kriz" in str(error.value)
    assert "learned-opt prepare-data cifar10 --manual-dir DIR" in str(error.value)
