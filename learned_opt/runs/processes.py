"""What the processes of one job, joined by `jax.distributed`, do together and what only the first does.

With one process, which is the usual case, none of it but `use_every_core` does anything.
"""

import contextlib
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec


def use_every_core() -> None:
    """Makes each CPU core a device, so that work which is split over devices keeps all of them busy.

    Inside a loop a compiled program hardly uses more than one core by itself. Nothing changes where jax is in
    use already, or the environment says how many devices the CPU is to be (`JAX_NUM_CPU_DEVICES`, or
    `--xla_force_host_platform_device_count` in `XLA_FLAGS`). GPUs and TPUs are not concerned.

    Example:
        >>> use_every_core()
    """
    if os.environ.get("JAX_NUM_CPU_DEVICES") or "device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with contextlib.suppress(RuntimeError):  # jax is in use
        jax.config.update("jax_num_cpu_devices", cores or 1)


def is_first() -> bool:
    """Whether this is the process that writes and shows things.

    Returns:
        True in process 0, and where there is only one.

    Example:
        >>> is_first()
        True
    """
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until all processes are here.

    Args:
        name: of the place, the same in all of them.

    Example:
        >>> barrier("the directory is made")
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def broadcast(number: float) -> float:
    """The first process's value of a number, for decisions that all must make alike.

    Args:
        number: each process's own.

    Returns:
        The first one's, to single precision where there are several.

    Example:
        >>> broadcast(0.1)
        0.1
    """
    if jax.process_count() == 1:
        return number
    return float(multihost_utils.broadcast_one_to_all(np.float32(number)))


def gather_to_host(tree: Any) -> Any:
    """A tree whose arrays this process can read; all processes must call it together.

    What lies on other processes' devices is gathered leaf by leaf, so that a device never holds more than one
    whole leaf beside its own part. It comes back as numpy arrays, or keys of one device.
    """
    return jax.tree.map(_on_host, tree)


def _on_host(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return leaf
    assert isinstance(leaf.sharding, NamedSharding)
    replicated = NamedSharding(leaf.sharding.mesh, PartitionSpec())
    local = jax.jit(_same, out_shardings=replicated)(leaf).addressable_data(0)
    return local if jnp.issubdtype(local.dtype, jax.dtypes.prng_key) else np.asarray(local)


def _same(leaf: Any) -> Any:
    """One function for all leaves, so that jit does not compile a copy of each anew at every checkpoint."""
    return leaf
