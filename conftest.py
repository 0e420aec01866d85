"""Settings that every test and every documented example runs under.

It lies at the root, and not in `tests/`, because the examples in the package need it too.
"""

import gc
import importlib.metadata
import os
import random
from collections.abc import Iterator
from pathlib import Path

# Compiled programs are kept between runs and shared by the test processes. A test compiles hundreds
# of small programs, hence no lower limit on size or compile time. Read when jax is imported, whose keys
# hold the versions, the flags and the kind of processor. The directory is outside the clone, so that a new
# clone has them too.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "learned_opt", "jax"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# They compile much and compute little: without optimizations, with the older of two code generators,
# which takes half the time, and a program in one piece, as its parts are more work together. XLA ends a
# process that names a flag which it does not have.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if importlib.metadata.version("jaxlib").startswith("0.10."):
    flags = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ["XLA_FLAGS"] = f"{flags} {os.environ.get('XLA_FLAGS', '')}"
os.environ.setdefault("MPLBACKEND", "Agg")  # draw without a screen

import hypothesis
import jax
import numpy as np
import optax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# optax raises a float to an integer step count, which strict promotion forbids: the bias
# correction of Adam and its kin keeps the rules that it was written for.
optax.tree.bias_correction = jax.numpy_dtype_promotion("standard")(optax.tree.bias_correction)

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """Spares the garbage collector the modules and tests, which stay, and has it run more rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True, scope="module")
def _few_mappings() -> Iterator[None]:
    """Drops compiled programs before they are more than Linux lets a process map, which is 65,530 pieces."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()


@pytest.fixture
def optimized() -> Iterator[None]:
    """For a test that computes much, and compiles little: what it runs is optimized."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(autouse=True)
def _repeatable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds the global generators, and lets an example write files into a scratch folder."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (third-party code may draw from it)
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
