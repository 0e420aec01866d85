"""The leaves of a tree as a checkpoint stores them: arrays, and a record of what each is."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, foreign, or of another tree than the one asked for."""


class Leaf(NamedTuple):
    """A leaf of a tree, its data as a numpy array."""

    name: str  # its path in the tree, such as ".theta['lstm']['w']"
    dtype: str  # of the leaf; "key<fry>" for a typed key, whose array holds the key's data
    shape: tuple[int, ...]
    key_impl: str | None
    array: np.ndarray

    def record(self) -> dict[str, Any]:
        """What a manifest says of the leaf."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "key_impl": self.key_impl,
            "sha256": hashlib.sha256(self.array.tobytes()).hexdigest(),
        }


def to_leaf(path: tuple[Any, ...], value: Any) -> Leaf:
    """The leaf at a path of a tree; `TypeError` naming it if it is neither an array nor a number."""
    name = jax.tree_util.keystr(path)
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        impl, array = str(jax.random.key_impl(value)), np.asarray(jax.random.key_data(value))
    else:
        impl, array = None, np.asarray(value)
    if array.dtype.kind in "OSUMm":
        raise TypeError(
            f"leaf {name or 'of the tree'} is {value!r}, of type {type(value).__name__}; a "
            "checkpoint holds arrays and numbers only"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return Leaf(name, *_signature(value), impl, array)


def _signature(value: Any) -> tuple[str, tuple[int, ...]]:
    value = value if hasattr(value, "dtype") else np.asarray(value)
    return str(value.dtype), tuple(value.shape)


def empty_array(record: dict[str, Any]) -> np.ndarray:
    """The array of a leaf without elements, which orbax does not store."""
    if record["key_impl"] is None:
        return np.zeros(record["shape"], jnp.dtype(record["dtype"]))
    keys = jax.random.split(jax.random.key(0, impl=record["key_impl"]), tuple(record["shape"]))
    return np.asarray(jax.random.key_data(keys))


def from_leaves(stored: list[Leaf], like: Any, path: Path) -> Any:
    """The stored leaves in the structure of `like`, or `CheckpointError` saying what does not fit."""
    expected = [(jax.tree_util.keystr(p), leaf) for p, leaf in jax.tree.leaves_with_path(like)]
    fix = "resume with the code and the configuration that wrote it"
    names, stored_names = [name for name, _ in expected], [leaf.name for leaf in stored]
    if names != stored_names:
        missing = [name for name in names if name not in stored_names]
        extra = [name for name in stored_names if name not in names]
        raise CheckpointError(
            f"checkpoint {path} is of another tree: it lacks {missing or 'nothing'} and has "
            f"{extra or 'nothing'} besides: {fix}"
        )
    for leaf, (_, example) in zip(stored, expected, strict=True):
        dtype, shape = _signature(example)
        if (leaf.dtype, leaf.shape) != (dtype, shape):
            raise CheckpointError(
                f"checkpoint {path}: leaf {leaf.name} is expected to be {dtype}{list(shape)} but "
                f"was found to be {leaf.dtype}{list(leaf.shape)}: {fix}"
            )
    values = [_like(leaf, example) for leaf, (_, example) in zip(stored, expected, strict=True)]
    return jax.tree.unflatten(jax.tree.structure(like), values)


def _like(leaf: Leaf, example: Any) -> Any:
    if isinstance(example, np.generic):
        return leaf.array[()]
    if isinstance(example, np.ndarray):
        return leaf.array
    if isinstance(example, int | float | complex):
        return leaf.array.item()
    # An array that is on the default device by default is left free to be moved.
    placed = getattr(example, "committed", True) and example.sharding is not None
    # Keys go as their data, which has axes behind the keys': those are not split.
    array = jax.device_put(leaf.array, example.sharding) if placed else jnp.array(leaf.array)
    return array if leaf.key_impl is None else jax.random.wrap_key_data(array, impl=leaf.key_impl)
