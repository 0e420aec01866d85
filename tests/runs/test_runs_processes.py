"""A device a core, unless something else was said."""

import jax
import pytest

from learned_opt import runs


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (None, "", {"jax_num_cpu_devices": 3}),
        ("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false", {"jax_num_cpu_devices": 3}),
        ("XLA_FLAGS", "--xla_force_host_platform_device_count=2", {}),
        ("JAX_NUM_CPU_DEVICES", "2", {}),
    ],
)
def test_each_core_is_a_device(name, value, expected, monkeypatch: pytest.MonkeyPatch):
    asked = {}
    for variable in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES"):
        monkeypatch.delenv(variable, raising=False)
    if name:
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.setattr(jax.config, "update", asked.__setitem__)
    runs.use_every_core()
    assert asked == expected


def test_nothing_changes_once_jax_is_in_use(monkeypatch: pytest.MonkeyPatch):
    before = jax.devices()
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    runs.use_every_core()
    assert jax.devices() == before
