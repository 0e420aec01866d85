"""Cells as files: one JSON each, whole or not there, and checked whenever it is read."""

import dataclasses
import functools
import hashlib
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.harness.suite import Job, Key
from learned_opt import runs, zoo
from learned_opt.runs.files import seal, unseal, write_atomically

KIND, FORMAT = "benchmark cell", 1
SUITE_FILE = "suite.json"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A finished cell."""

    key: Key
    settings: Mapping[str, Any]  # that it was made with
    result: dict[str, Any]  # numbers may be NaN or infinite
    provenance: Mapping[str, Any]  # commit, versions and device
    seconds: float  # that it took, compilation included


class CellError(Exception):
    """A cell that is not there, damaged, or another's."""


def path_of(root: Path, key: Key) -> Path:
    """Where a cell lies in a result directory."""
    name = f"{key.optimizer}.{key.part}" + ("" if key.seed is None else f"-{key.seed}")
    return root / _safe(key.suite) / _safe(key.task) / str(key.horizon) / f"{_safe(name)}.json"


def write(root: Path, job: Job, result: dict[str, Any], seconds: float) -> Cell:
    """Stores what a job measured."""
    cell = Cell(job.key, dict(job.settings), result, _provenance(), seconds)
    record = {
        "key": job.key._asdict(),
        "settings": plain(cell.settings),
        "result": plain(result),
        "provenance": cell.provenance,
        "seconds": round(seconds, 3),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    path = path_of(root, job.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, seal(KIND, FORMAT, record, indent=None).encode())
    return cell


def read(path: Path) -> Cell:
    """The cell in a file; `CellError` saying what is wrong with it."""
    try:
        record = unseal(KIND, FORMAT, path.read_text(encoding="utf-8"), indent=None)
        return Cell(
            Key(**record["key"]),
            record["settings"],
            numbers(record["result"]),
            record["provenance"],
            record["seconds"],
        )
    except FileNotFoundError as error:
        raise CellError(f"{path}: not there") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CellError(f"{path}: {error}") from error


def finished(root: Path, job: Job) -> Cell | None:
    """The stored cell of a job, `None` where there is none; CellError if the file there is not that cell."""
    path = path_of(root, job.key)
    if not path.exists():
        return None
    cell = read(path)
    if cell.key != job.key:
        raise CellError(f"{path}: it is another cell, {tuple(cell.key)}")
    if cell.settings != plain(dict(job.settings)):
        changed = [
            k
            for k in sorted({*cell.settings, *job.settings})
            if cell.settings.get(k) != plain(job.settings.get(k))
        ]
        raise CellError(f"{path}: it was made with other settings ({', '.join(changed)})")
    return cell


def read_all(root: Path, below: Path) -> tuple[list[Cell], list[str]]:
    """The cells of a result directory below one of its own, and one line on each file that is none."""
    found, problems = [], []
    for path in sorted(below.rglob("*.json")):
        if path.name == SUITE_FILE or path.name.startswith("."):
            continue
        try:
            cell = read(path)
            if path != path_of(root, cell.key):
                raise CellError(f"{path}: it belongs to another place, {path_of(root, cell.key)}")
            found.append(cell)
        except CellError as error:
            problems.append(str(error))
    return found, problems


def load(directory: Path) -> tuple[list[dict[str, Any]], list[Cell], list[str]]:
    """The suites' records, the cells, and one line on each file that is no whole cell.

    The directory of a single suite among the results is read too.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: there is no such directory")
    root, records = directory, list(read_suites(directory))
    if not records and (directory / SUITE_FILE).exists():
        directory = directory.resolve()  # `.` has no parent
        root, records = directory.parent, [read_suite(directory / SUITE_FILE)]
    if not records:
        raise ValueError(
            f"{directory} holds no results; `python -m benchmarks run SUITE --out {directory}` makes some"
        )
    found, problems = read_all(root, directory)
    return records, found, problems


def plain(value: Any) -> Any:
    """A value in JSON's types: NaN and infinity as text, float32 in the fewest digits that tell it."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, jax.Array):
        return plain(np.asarray(value))
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        # Rounded to what float32 holds, which is half the digits of the same number as a double.
        return plain(np.array([float(str(v)) for v in value.ravel()], np.float64).reshape(value.shape))
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def numbers(value: Any) -> Any:
    """What `plain` made, with its NaN and infinities as numbers again."""
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [numbers(v) for v in value]
    if value in ("nan", "inf", "-inf"):
        return float(value)
    return value


def fingerprint(stored: zoo.Stored) -> str:
    """Changes whenever a stored model or its theta does, so that cells made with it are made anew."""
    config = dataclasses.replace(stored.config, settings=None).to_json()
    found = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for leaf in jax.tree.leaves(stored.theta):
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()[:16]


def suite_file(root: Path, name: str) -> Path:
    """Where a suite's own record lies."""
    return root / _safe(name) / SUITE_FILE


def write_suite(root: Path, record: dict[str, Any]) -> None:
    """Stores a suite's own record: version, size, command, how its metrics are shown."""
    path = suite_file(root, record["suite"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, seal("benchmark suite", FORMAT, plain(record)).encode())


def read_suites(root: Path) -> Iterator[dict[str, Any]]:
    """The suites' own records; `ValueError` naming the file that is damaged."""
    for path in sorted(root.glob(f"*/{SUITE_FILE}")):
        yield read_suite(path)


def read_suite(path: Path) -> dict[str, Any]:
    """One suite's record."""
    try:
        return unseal("benchmark suite", FORMAT, path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; remove it and run the suite again") from error


@functools.cache
def _provenance() -> dict[str, Any]:
    return runs.provenance()


def _safe(name: str) -> str:
    return re.sub(r"[^\w.+=-]+", "_", name)
