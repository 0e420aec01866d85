"""A miniature MNIST: four small IDX files with their checksums registered as the real ones."""

import functools
import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

SIZES = {"train": 50, "t10k": 20}


class Miniature(NamedTuple):
    """Where the source files are and what is in them."""

    source_dir: Path
    arrays: dict[str, np.ndarray]


def _idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.tobytes())


def _register(monkeypatch: pytest.MonkeyPatch, name: str, directory: Path, url: str) -> None:
    from tensorflow_datasets.core.download import checksums

    from learned_opt.datasets import builders

    infos = {}
    for path in sorted(directory.iterdir()):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        infos[url + path.name] = checksums.UrlInfo(len(content), digest, path.name)
    monkeypatch.setattr(builders.BUILDERS[name], "url_infos", infos)


def _write_miniature(directory: Path, seed: int) -> Miniature:
    rng = np.random.default_rng(seed)
    directory.mkdir()
    arrays = {}
    for prefix, size in SIZES.items():
        # The first pixel numbers the image, so that a shuffled image can be told.
        images = rng.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        images[:, 0, 0] = np.arange(size)
        labels = rng.integers(0, 10, size, dtype=np.uint8)
        arrays |= {f"{prefix}-images-idx3-ubyte.gz": images}
        arrays |= {f"{prefix}-labels-idx1-ubyte.gz": labels}
    for name, array in arrays.items():
        (directory / name).write_bytes(_idx_bytes(array))
    return Miniature(directory, arrays)


@pytest.fixture
def register_sources(monkeypatch):
    """Registers the files in a directory as the source files of a data set."""
    return functools.partial(_register, monkeypatch)


@pytest.fixture
def mnist(tmp_path, register_sources) -> Miniature:
    miniature = _write_miniature(tmp_path / "mnist_source", seed=0)
    register_sources("mnist", miniature.source_dir, "https://mnist.invalid/")
    return miniature


@pytest.fixture
def fashion_mnist(tmp_path, register_sources) -> Miniature:
    miniature = _write_miniature(tmp_path / "fashion_source", seed=1)
    register_sources("fashion_mnist", miniature.source_dir, "https://fashion.invalid/")
    return miniature
