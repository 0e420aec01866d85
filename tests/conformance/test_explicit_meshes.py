"""Explicit axes, which are `jax.make_mesh`'s default: of params that a rule updates, and around training."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


# Params sharded over them, and a mesh of the user's in which it is trained and measured.
@pytest.mark.parametrize(("module", "devices", "cases"), [("explicit_meshes", 4, 36), ("user_meshes", 2, 12)])
def test_all_works_on_explicit_axes(module, devices, cases):
    """In one process of its own, with several devices."""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}",
    }
    done = subprocess.run(
        [sys.executable, "-m", f"tests.conformance.{module}"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.endswith(": ok")] == [], done.stderr[-3000:]
    assert len(lines) == cases, done.stderr[-3000:]
