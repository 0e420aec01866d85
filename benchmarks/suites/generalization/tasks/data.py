"""Data that the dependencies ship or that tensorflow-datasets has prepared, split once and for all."""

import functools
import importlib
import inspect
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from learned_opt import datasets

SPLIT_SEED = 0
MODULES = (
    "argparse", "collections", "csv", "email.message", "functools", "itertools", "json", "logging", "pathlib",
    "random", "re", "statistics", "string", "textwrap", "unittest", "unittest.mock",
)  # fmt: skip
ALPHABET = "abcdefghijklmnopqrstuvwxyz .,'-"
NUM_CHARACTERS = len(ALPHABET) + 1  # all others are one


class Rows(NamedTuple):
    """Inputs and targets to train on, and those held out: arrays of numpy, or of jax once on the device."""

    inputs: Any
    targets: Any
    test_inputs: Any
    test_targets: Any


@functools.cache
def images(name: str, size: int, num_train: int = 8000, num_test: int = 1000) -> Rows:
    """Images f32[n, size, size, 1] of mean 0 and deviation 1, averaged over blocks; labels i32[n]."""
    train, test = datasets.load(name, "train"), datasets.load(name, "test")
    small = [_shrunk(split.images[:n], size) for split, n in ((train, num_train), (test, num_test))]
    mean, deviation = small[0].mean(), small[0].std()
    inputs, test_inputs = ((x - mean) / deviation for x in small)
    return Rows(inputs, train.labels[:num_train], test_inputs, test.labels[:num_test])


def _shrunk(images: np.ndarray, size: int) -> np.ndarray:
    block = images.shape[1] // size
    kept = np.asarray(images[:, : block * size, : block * size], np.float32) / 255
    return kept.reshape(-1, size, block, size, block, 1).mean((2, 4))


@functools.cache
def pixels(name: str, size: int) -> Rows:
    """Flattened images in [0, 1], as inputs and as targets."""
    rows = images(name, size)
    low, high = rows.inputs.min(), rows.inputs.max()
    train, test = (((x - low) / (high - low)).reshape(len(x), -1) for x in (rows.inputs, rows.test_inputs))
    return Rows(train, train, test, test)


@functools.cache
def table(name: str) -> Rows:
    """A table of scikit-learn, columns of mean 0 and deviation 1; classes i32[n] or numbers f32[n, 1]."""
    from sklearn import datasets as tables

    bunch = getattr(tables, f"load_{name}")()
    x = np.asarray((bunch.data - bunch.data.mean(0)) / bunch.data.std(0), np.float32)
    y = np.asarray(bunch.target)
    if y.dtype.kind == "f":
        y = np.asarray((y - y.mean()) / y.std(), np.float32)[:, None]
    order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
    cut = len(x) * 4 // 5
    train, test = order[:cut], order[cut:]
    return Rows(x[train], y[train].astype(_kept(y)), x[test], y[test].astype(_kept(y)))


def _kept(y: np.ndarray) -> type:
    return np.float32 if y.dtype.kind == "f" else np.int32


def with_label_noise(rows: Rows, share: float, num_classes: int) -> Rows:
    """A share of the labels to train on drawn anew; those held out stay."""
    rng = np.random.default_rng(SPLIT_SEED)
    drawn = rng.integers(0, num_classes, rows.targets.shape).astype(rows.targets.dtype)
    return rows._replace(targets=np.where(rng.random(rows.targets.shape) < share, drawn, rows.targets))


@functools.cache
def _docstrings() -> tuple[tuple[str, int], ...]:
    """Docstrings of the standard library with the number of their module, in a fixed order."""
    found = []
    for number, name in enumerate(MODULES):
        module = importlib.import_module(name)
        public = [v for v in vars(module).values() if inspect.isclass(v) or inspect.isfunction(v)]
        own = [thing for thing in public if thing.__module__ == name]
        # A class may have a slot for its instances' docstrings in place of its own.
        texts = {text for thing in (module, *own) if isinstance(text := thing.__doc__, str) and text}
        found += [(" ".join(text.lower().split()), number) for text in sorted(texts)]
    return tuple(found)


@functools.cache
def characters() -> tuple[np.ndarray, np.ndarray]:
    """The docstrings as characters, i32[n] each: to train on, and the last tenth."""
    codes = {c: i for i, c in enumerate(ALPHABET)}
    text = " ".join(text for text, _ in _docstrings())
    numbers = np.array([codes.get(c, len(ALPHABET)) for c in text], np.int32)
    cut = len(numbers) * 9 // 10
    return numbers[:cut], numbers[cut:]


@functools.cache
def words(vocabulary: int, length: int) -> Rows:
    """Pieces of docstrings as the commonest words, i32[n, length], 0 for all others; their modules."""
    pieces = []
    for text, module in _docstrings():
        parts = ["".join(c for c in word if c.isalpha()) for word in text.split()]
        pieces += [(parts[i : i + length], module) for i in range(0, len(parts) - length + 1, length)]
    counts: dict[str, int] = {}
    for parts, _ in pieces:
        for word in parts:
            counts[word] = counts.get(word, 0) + 1
    common = sorted(counts, key=lambda word: (-counts[word], word))[: vocabulary - 1]
    codes = {word: i + 1 for i, word in enumerate(common)}
    x = np.array([[codes.get(word, 0) for word in parts] for parts, _ in pieces], np.int32)
    y = np.array([module for _, module in pieces], np.int32)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
    cut = len(x) * 9 // 10
    return Rows(x[order[:cut]], y[order[:cut]], x[order[cut:]], y[order[cut:]])


def on_device(rows: Rows) -> Rows:
    """The rows as arrays of jax."""
    return Rows(*(jnp.asarray(array) for array in rows))
