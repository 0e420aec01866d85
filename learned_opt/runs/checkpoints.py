"""Checkpoints of a run: complete or absent, checked when read, bit-identical.

The arrays are written by orbax. Around them lies one directory a checkpoint with a manifest: a
checksum of every file, and the name, shape, dtype and checksum of every leaf. A checkpoint is
written under another name and renamed when all of it is on the disk.
"""

import contextlib
import hashlib
import itertools
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from learned_opt.core.extras import needed_for
from learned_opt.core.paths import user_path
from learned_opt.runs.files import disk_full, is_disk_full, seal, sync, unseal
from learned_opt.runs.leaves import CheckpointError, Leaf, empty_array, from_leaves, to_leaf

KIND, VERSION = "checkpoint", 1
ARRAYS, MANIFEST = "arrays", "manifest.json"
STEP_NAME = re.compile(r"step_(\d{9,})")
PLAIN_PATH = re.compile(r"[\w/.,=+@-]*")
UNFINISHED = ".unfinished_"  # being written or being removed


class Checkpoints:
    """The checkpoints in one directory, which has one writer at a time.

    A kill at any moment leaves the checkpoints that were there, or those and the whole new one.
    What is damaged is never deleted for it.

    Args:
        directory: made by the first `save`.
        keep: how many of the newest checkpoints to keep, at least 1.

    Raises:
        ValueError: if `keep` is below 1.

    Example:
        >>> checkpoints = Checkpoints("checkpoints", keep=2)
        >>> for step in (10, 20, 30):
        ...     checkpoints.save(step, {"w": jax.numpy.arange(3.0), "step": step})
        >>> checkpoints.steps()
        [20, 30]
        >>> checkpoints.restore(like={"w": jax.numpy.zeros(3), "step": 0})
        (30, {'step': 30, 'w': Array([0., 1., 2.], dtype=float32)})
    """

    def __init__(self, directory: str | Path, keep: int = 3):
        if keep < 1:
            raise ValueError(f"keep must be at least 1 checkpoint, got {keep}")
        self.directory = user_path(directory).absolute()
        self.keep = keep

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, damaged ones included, in ascending order."""
        if not self.directory.is_dir():
            return []
        matches = (STEP_NAME.fullmatch(path.name) for path in self.directory.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def save(self, step: int, tree: Any) -> None:
        """Stores a tree; when this returns, it is on the disk, and those beyond `keep` are gone.

        Saving the same tree at the same step again does nothing.

        Args:
            step: a non-negative integer.
            tree: a pytree of jax arrays (typed keys too), numpy arrays and Python numbers. A weakly
                typed array comes back strongly typed.

        Raises:
            TypeError: naming a leaf that is none of these.
            CheckpointError: if the step has a checkpoint of something else.
            OSError: if the disk is full; the older checkpoints are intact.
        """
        if step < 0:
            raise ValueError(f"step must not be negative, got {step}")
        step = int(step)
        leaves = [to_leaf(path, value) for path, value in jax.tree.leaves_with_path(tree)]
        path = self._path(step)
        if path.exists() and self._holds(step, leaves):
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._remove_unfinished()
            unfinished = self.directory / f"{UNFINISHED}{path.name}"
            unfinished.mkdir()
            _write(unfinished, step, str(jax.tree.structure(tree)), leaves)
            if path.exists():  # damaged: `_holds` refuses all else
                os.rename(path, _free_name(path.with_name(f"{path.name}.damaged")))
            os.rename(unfinished, path)
            sync(self.directory)
        except BaseException as error:
            self._remove_unfinished()
            if is_disk_full(error):
                intact = f"checkpoints {self.steps()} are intact"
                raise disk_full(f"while saving step {step}", self.directory, intact) from error
            raise
        for old in [s for s in self.steps() if s <= step][: -self.keep]:
            # Renamed first: a kill must not leave half a checkpoint under a checkpoint's name.
            os.rename(self._path(old), self.directory / f"{UNFINISHED}{self._path(old).name}")
        self._remove_unfinished()

    def restore(self, like: Any, step: int | None = None) -> tuple[int, Any]:
        """Reads a checkpoint, every byte checked.

        Args:
            like: a tree of the structure, shapes and dtypes to expect; arrays or `jax.ShapeDtypeStruct`.
                Leaves come back as the kind of array, and with the sharding, that they have here.
            step: which checkpoint; by default the newest that is whole, with a warning that names
                the damaged ones passed over.

        Returns:
            The checkpoint's step, and the tree.

        Raises:
            CheckpointError: if there is no such checkpoint, none is whole, or `like` does not fit.
        """
        if not self.steps() or step not in (None, *self.steps()):
            what = "no checkpoint" if step is None else f"no checkpoint of step {step}"
            raise CheckpointError(
                f"{self.directory}: {what}; there are {self.steps() or 'none'}: check the path, "
                "or start the run anew"
            )
        damaged: list[CheckpointError] = []
        for candidate in reversed(self.steps()) if step is None else [step]:
            path = self._path(candidate)
            try:
                stored = _read(path)
            except CheckpointError as error:
                damaged.append(error)
                continue
            if damaged:
                passed_over = "; ".join(map(str, damaged))
                warnings.warn(f"{passed_over}. Going on from {path} instead", stacklevel=2)
            return candidate, from_leaves(stored, like, path)
        others = "" if step is None else ", leave `step` out for the newest that is whole,"
        raise CheckpointError(
            f"{'; '.join(map(str, damaged))}. Put back a copy of it{others} or start the run anew "
            "in another directory"
        ) from damaged[-1]

    def _path(self, step: int) -> Path:
        return self.directory / f"step_{step:09d}"

    def _holds(self, step: int, leaves: list[Leaf]) -> bool:
        """Whether these leaves are stored; False if damaged ones are, an error if others are."""
        try:
            stored = _read(self._path(step))
        except CheckpointError:
            return False
        if [leaf.record() for leaf in stored] != [leaf.record() for leaf in leaves]:
            raise CheckpointError(
                f"{self._path(step)} exists and holds another state; go on from the newest "
                "checkpoint (`learned-opt resume`), or use another directory"
            )
        return True

    def _remove_unfinished(self) -> None:
        for path in self.directory.glob(f"{UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)


def _write(directory: Path, step: int, structure: str, leaves: list[Leaf]) -> None:
    # orbax has no arrays without elements; those are all in the manifest.
    arrays = {str(i): leaf.array for i, leaf in enumerate(leaves) if leaf.array.size}
    if arrays:
        with _checkpointer() as (ocp, checkpointer), _plainly_named(directory) as plain:
            checkpointer.save(plain / ARRAYS, args=ocp.args.PyTreeSave(arrays))
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    manifest = {
        "step": step,
        "structure": structure,
        "leaves": [leaf.record() for leaf in leaves],
        "files": {path.relative_to(directory).as_posix(): _sha256(path) for path in files},
    }
    (directory / MANIFEST).write_text(seal(KIND, VERSION, manifest))
    for path in (*directory.rglob("*"), directory):
        sync(path)


def _read(directory: Path) -> list[Leaf]:
    """The leaves of a stored checkpoint; `CheckpointError` if anything is not as written."""
    try:
        manifest = unseal(KIND, VERSION, (directory / MANIFEST).read_bytes().decode())
        for name, digest in manifest["files"].items():
            if _sha256(directory / name) != digest:
                raise ValueError(f"{name} is damaged (its checksum differs)")
        if directory.name != f"step_{manifest['step']:09d}":
            raise ValueError(f"it is of step {manifest['step']}: the directory was renamed")
        leaves = _load(directory, manifest["leaves"])
        for leaf, record in zip(leaves, manifest["leaves"], strict=True):
            if leaf.record() != record:
                raise ValueError(f"leaf {leaf.name} was not read as it was written")
    except FileNotFoundError as error:
        raise CheckpointError(
            f"checkpoint {directory}: {Path(error.filename).relative_to(directory)} is missing"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint {directory}: {error}") from error
    return leaves


def _load(directory: Path, records: list[dict[str, Any]]) -> list[Leaf]:
    stored = {str(i): empty_array(record) for i, record in enumerate(records) if 0 in record["shape"]}
    if len(stored) < len(records):
        with _checkpointer() as (ocp, checkpointer), _plainly_named(directory) as plain:
            as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
            restore_args = {str(i): as_numpy for i in range(len(records)) if str(i) not in stored}
            stored |= checkpointer.restore(
                plain / ARRAYS, args=ocp.args.PyTreeRestore(restore_args=restore_args)
            )
    return [
        Leaf(record["name"], record["dtype"], tuple(record["shape"]), record["key_impl"], stored[str(i)])
        for i, record in enumerate(records)
    ]


@contextlib.contextmanager
def _plainly_named(directory: Path) -> Iterator[Path]:
    """The directory, by another name where its own may be a pattern, as which orbax reads paths."""
    if PLAIN_PATH.fullmatch(str(directory)):
        yield directory
        return
    with tempfile.TemporaryDirectory() as elsewhere:
        link = Path(elsewhere) / "checkpoint"
        link.symlink_to(directory, target_is_directory=True)
        yield link


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _free_name(path: Path) -> Path:
    numbered = (path.with_name(f"{path.name}{number}") for number in itertools.count(2))
    return next(free for free in itertools.chain([path], numbered) if not free.exists())


@contextlib.contextmanager
def _checkpointer() -> Iterator[tuple[Any, Any]]:
    """The orbax module and its checkpointer, its log silent; what goes wrong in it is raised as well."""
    with needed_for("a checkpoint", "train"):
        import orbax.checkpoint as ocp

    # Each process of several reads and writes by itself, and waits for no other.
    process = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process_{process}"
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
            yield ocp, checkpointer
    finally:
        logger.setLevel(level)
