"""Weight files: meta-parameters and what they belong to, in one file that shows damage."""

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jax.numpy as jnp
import numpy as np

from learned_opt.core.paths import user_path
from learned_opt.runs.files import seal, unseal, write_atomically

KIND, VERSION = "weights", 1
HEADER = "learned_opt"  # the key of our text in the safetensors header
# "|" separates the levels, because haiku's module names contain "/", "~" and ".".
SEPARATOR, ESCAPES = "|", str.maketrans({"%": "%25", "|": "%7C"})
DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U64": np.dtype(np.uint64),
    "U32": np.dtype(np.uint32),
    "U16": np.dtype(np.uint16),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}


class WeightsError(ValueError):
    """A weight file is truncated, damaged, foreign, or newer than this learned_opt."""


def save_weights(path: str | Path, theta: Any, metadata: dict[str, Any], overwrite: bool = False) -> None:
    """Writes meta-parameters to a safetensors file, all of it or nothing.

    Other programs can read the file: a tensor is named after its path in `theta`, with `|` between
    the levels (a `|` or `%` inside a name is written `%7C` or `%25`).

    Args:
        path: ends in `.safetensors`; its directory exists.
        theta: nested dictionaries with string keys, and arrays of any shape as leaves.
        metadata: what belongs to them, such as the optimizer's configuration; of JSON's types.
        overwrite: whether an existing file may be replaced.

    Raises:
        ValueError: if the path does not end in `.safetensors`.
        FileExistsError: if the file exists and `overwrite` is not set.
        TypeError: naming the part of `theta` or `metadata` that a file cannot hold.

    Example:
        >>> theta = {"lstm/linear": {"w": np.ones((2, 3), np.float32)}, "scale": np.float32(0.1)}
        >>> save_weights("mine.safetensors", theta, {"horizon": 100})
        >>> loaded, metadata = load_weights("mine.safetensors")
        >>> loaded["lstm/linear"]["w"].shape, metadata
        ((2, 3), {'horizon': 100})
    """
    from safetensors.numpy import save

    path = user_path(path)
    if path.suffix != ".safetensors":
        raise ValueError(
            f"a weight file's name ends in .safetensors, got {str(path)!r}; "
            f"use {str(path) + '.safetensors'!r}"
        )
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; pass overwrite=True to replace it, or use another path")
    tensors: dict[str, np.ndarray] = {}
    empty: list[str] = []
    _flatten(theta, (), tensors, empty)
    record = {"metadata": metadata, "empty": empty, "tensors_sha256": _digest(tensors)}
    write_atomically(path, save(tensors, {HEADER: seal(KIND, VERSION, record)}))


def load_weights(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads a weight file, every byte of tensors and metadata checked.

    Args:
        path: of a file that `save_weights` wrote.

    Returns:
        The meta-parameters as numpy arrays, bit-identical to what was saved, and the metadata.

    Raises:
        FileNotFoundError: if there is no such file.
        WeightsError: if it is truncated, damaged, not a weight file of ours, or of a newer format.

    Example:
        >>> load_weights("absent.safetensors")
        Traceback (most recent call last):
        ...
        FileNotFoundError: no weight file absent.safetensors; there are none in its directory
    """
    from safetensors import SafetensorError, deserialize

    path = user_path(path)
    if not path.exists():
        others = ", ".join(sorted(p.name for p in path.parent.glob("*.safetensors")))
        raise FileNotFoundError(f"no weight file {path}; there are {others or 'none'} in its directory")
    if path.is_dir():
        raise WeightsError(f"{path} is a directory; pass the .safetensors file in it")
    data = path.read_bytes()
    fix = "take it from its source again"
    try:
        parsed = deserialize(data)
        length = int.from_bytes(data[:8], "little")
        text = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(HEADER)
    except (SafetensorError, ValueError) as error:
        raise WeightsError(
            f"{path} is no safetensors file, or was truncated or damaged ({error}): {fix}"
        ) from error
    if text is None:
        raise WeightsError(
            f"{path} is a safetensors file, but not of learned_opt: it lacks our header; "
            "write it with save_weights"
        )
    try:
        record = unseal(KIND, VERSION, text)
        tensors = {name: _array(spec) for name, spec in parsed}
        if _digest(tensors) != record["tensors_sha256"]:
            raise ValueError("its tensors are damaged (their checksum differs)")
        return _unflatten(tensors, record["empty"]), record["metadata"]
    except ValueError as error:
        raise WeightsError(f"weight file {path}: {error}; {fix}") from error


def _flatten(tree: Any, path: tuple[str, ...], tensors: dict[str, np.ndarray], empty: list[str]) -> None:
    """Collects the leaves, and the names of empty dictionaries, below one node."""
    name = SEPARATOR.join(key.translate(ESCAPES) for key in path)
    where = "theta" + "".join(f"[{key!r}]" for key in path)
    if isinstance(tree, dict):
        for key, value in tree.items():
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}; a weight file's keys are strings")
            _flatten(value, (*path, key), tensors, empty)
        if path and not tree:
            empty.append(name)
        return
    if not path or isinstance(tree, list | tuple) or tree is None:
        raise TypeError(
            f"{where} is of type {type(tree).__name__}; a weight file holds nested dictionaries of "
            "arrays: wrap it in a dictionary, such as {'value': ...}"
        )
    array = tree if hasattr(tree, "dtype") else np.asarray(tree)
    if array.dtype not in DTYPES.values():
        raise TypeError(
            f"{where} has dtype {array.dtype}, which a weight file does not hold; it holds "
            f"{', '.join(map(str, DTYPES.values()))}"
        )
    tensors[name] = np.asarray(array, order="C")


def _unflatten(tensors: dict[str, np.ndarray], empty: list[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in [*tensors.items(), *((name, {}) for name in empty)]:
        *parents, last = map(unquote, name.split(SEPARATOR))
        node = tree
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = value
    return tree


def _array(spec: dict[str, Any]) -> np.ndarray:
    if spec["dtype"] not in DTYPES:
        raise ValueError(f"it holds tensors of the unknown dtype {spec['dtype']}")
    return np.frombuffer(spec["data"], DTYPES[spec["dtype"]]).reshape(spec["shape"])


def _digest(tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        digest.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
