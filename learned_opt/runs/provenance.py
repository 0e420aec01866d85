"""Where a result comes from: code, versions and device."""

import importlib.metadata
import platform
import subprocess
from typing import Any

import jax

PACKAGES = ("learned-opt", "jax", "jaxlib", "optax", "dm-haiku", "numpy")


def provenance() -> dict[str, Any]:
    """What has to be known to get a result again: the commit, the versions and the device.

    Returns:
        `commit` of the working directory and whether it is `dirty` (both `None` outside a git
        repository); `versions` of Python and of the packages (`None` where one is not installed);
        `device`, its `num_devices`, and the `platform`.

    Example:
        >>> sorted(provenance())
        ['commit', 'device', 'dirty', 'num_devices', 'platform', 'versions']
    """
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain")
    devices = jax.devices()
    return {
        "commit": commit,
        "dirty": None if changes is None else bool(changes),
        "versions": {
            "python": platform.python_version(),
            **{package: _version(package) for package in PACKAGES},
        },
        "device": devices[0].device_kind,
        "num_devices": len(devices),
        "platform": platform.platform(),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
