"""Every rule on params that are sharded over explicit axes, which are `jax.make_mesh`'s default."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_init_and_update_follow_the_params_sharding():
    """In one process of its own, with four devices."""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance.explicit_meshes"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.endswith(": ok")] == [], done.stderr[-3000:]
    assert len(lines) == 27, done.stderr[-3000:]
