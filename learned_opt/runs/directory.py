"""A run's directory: what it is of, where its files lie, and who may write to it."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learned_opt.core.paths import quoted, user_path
from learned_opt.runs.files import leftovers, seal, unseal, write_atomically
from learned_opt.runs.processes import barrier, is_first

KIND, VERSION = "run", 1
CONFIG, LOCK = "config.json", ".lock"


class RunError(ValueError):
    """A directory holds no run of ours, a damaged one, one already, or one in use."""


@dataclass(frozen=True)
class RunDirectory:
    """The directory of a run; made by `create` or `open`.

    Attributes:
        path: of the directory.
        config: what the run is of, as JSON's types.

    Example:
        >>> run = RunDirectory.create("run", {"seed": 0})
        >>> RunDirectory.open("run").config
        {'seed': 0}
        >>> with run.lock():
        ...     print(run.metrics_path)
        run/metrics.jsonl
    """

    path: Path
    config: dict[str, Any]

    @classmethod
    def create(cls, path: str | Path, config: dict[str, Any]) -> "RunDirectory":
        """Makes a directory for a new run; of several processes the first makes it for all.

        Args:
            path: does not exist, or is a directory that is empty or holds only what was left by a process
                killed in this function.
            config: what the run is of; of JSON's types.

        Returns:
            The run's directory.

        Raises:
            RunError: if the path holds anything already.
            TypeError: if the configuration cannot be stored as JSON.
        """
        path = user_path(path)
        text = seal(KIND, VERSION, {"config": config})
        cls.check_free(path)
        barrier(f"{path} is free")
        if is_first():
            path.mkdir(parents=True, exist_ok=True)
            for part in leftovers(path / CONFIG):
                part.unlink(missing_ok=True)
            write_atomically(path / CONFIG, text.encode())
        barrier(f"{path} is made")
        return cls(path, json.loads(text)["config"])

    @staticmethod
    def check_free(path: str | Path) -> None:
        """Raises `RunError` if a new run cannot be made at a path."""
        path = user_path(path)
        if (path / CONFIG).exists():
            raise RunError(
                f"{path} holds a run already; go on with `learned-opt resume {quoted(path)}`, or use another "
                "path"
            )
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; use another path for the run's directory")
        if path.is_dir() and set(path.iterdir()) - set(leftovers(path / CONFIG)):
            raise RunError(f"{path} is not empty and holds no run; use a new or an empty directory")

    @classmethod
    def open(cls, path: str | Path) -> "RunDirectory":
        """Opens the directory of a run, to resume it or to read from it.

        Args:
            path: of a directory that `create` made.

        Returns:
            The run's directory.

        Raises:
            RunError: if it is none, or its configuration is damaged.
        """
        path = user_path(path)
        try:
            config = unseal(KIND, VERSION, (path / CONFIG).read_bytes().decode())["config"]
        except FileNotFoundError as error:
            what = "has no config.json" if path.is_dir() else "is no directory"
            raise RunError(
                f"{path} {what}, so it holds no run; check the path, or start one with `learned-opt train`"
            ) from error
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path / CONFIG} cannot be used: {error}; put back a copy of it, or start the "
                "run anew in another directory"
            ) from error
        return cls(path, config)

    @property
    def metrics_path(self) -> Path:
        """Of the metrics, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard_path(self) -> Path:
        """Of the directory of TensorBoard's events."""
        return self.path / "tensorboard"

    @property
    def checkpoints_path(self) -> Path:
        """Of the directory of checkpoints."""
        return self.path / "checkpoints"

    @property
    def theta_path(self) -> Path:
        """Of the final meta-parameters."""
        return self.path / "theta.safetensors"

    @property
    def report_path(self) -> Path:
        """Of the report."""
        return self.path / "report.html"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes from running this run; released at the end of `with`, or by a kill.

        Raises:
            RunError: naming the process that has it.
        """
        # The file stays: removing it would let two processes lock two files of one name.
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                owner = os.read(descriptor, 100).decode(errors="replace").strip() or "unknown"
                raise RunError(
                    f"{self.path} is in use by process {owner}; wait until it ends, or stop it"
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)
