"""A run's directory is not taken twice, not confused with others, and locked."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from learned_opt.runs import RunDirectory, RunError

CONFIG = {"optimizer": {"name": "lstm", "hidden_sizes": (20, 20)}, "seed": 3, "clip": float("inf")}

LOCKED = """
import fcntl, os, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
os.write(file.fileno(), f"{os.getpid()}\\n".encode())
print("locked", flush=True)
sys.stdin.read()
"""

KILLED_WHILE_CREATING = """
import os, signal, sys
from learned_opt.runs import RunDirectory
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
RunDirectory.create(sys.argv[1], {})
"""


def test_opened_config_is_the_created_one(tmp_path):
    created = RunDirectory.create(tmp_path / "deep" / "run", CONFIG)
    opened = RunDirectory.open(str(created.path))
    assert opened == created
    assert opened.config["optimizer"] == {"name": "lstm", "hidden_sizes": [20, 20]}
    assert opened.metrics_path == created.path / "metrics.jsonl"
    assert opened.checkpoints_path == created.path / "checkpoints"
    assert opened.theta_path == created.path / "theta.safetensors"
    assert opened.report_path == created.path / "report.html"
    assert [path.name for path in created.path.iterdir()] == ["config.json"]


def test_create_takes_nothing_that_is_not_empty(tmp_path):
    RunDirectory.create(tmp_path / "run", {})
    with pytest.raises(RunError, match=r"holds a run already.*learned-opt resume .*run`.*another"):
        RunDirectory.create(tmp_path / "run", {"seed": 1})
    assert RunDirectory.open(tmp_path / "run").config == {}

    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="is a file; use another path"):
        RunDirectory.create(tmp_path / "file", {})
    with pytest.raises(RunError, match="is not empty and holds no run"):
        RunDirectory.create(tmp_path, {})
    (tmp_path / "empty").mkdir()
    assert RunDirectory.create(tmp_path / "empty", {"a": 1}).config == {"a": 1}


def test_kill_while_creating_leaves_the_directory_free(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_CREATING, str(tmp_path / "run")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "run").iterdir())) == 1
    RunDirectory.create(tmp_path / "run", {"seed": 1})
    assert RunDirectory.open(tmp_path / "run").config == {"seed": 1}
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_config_has_to_be_json(tmp_path):
    with pytest.raises(TypeError, match="the run cannot be stored as JSON"):
        RunDirectory.create(tmp_path / "run", {"f": print})
    assert not (tmp_path / "run").exists()


def test_open_refuses_what_is_no_run(tmp_path):
    with pytest.raises(RunError, match=r"absent is no directory, so it holds no run"):
        RunDirectory.open(tmp_path / "absent")
    with pytest.raises(RunError, match=r"has no config.json.*learned-opt train"):
        RunDirectory.open(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match=r"file/config.json cannot be used"):
        RunDirectory.open(tmp_path / "file")
    for content, message in [
        ('{"model": "bert"}', "it is not a learned_opt run"),
        ("", "truncated or damaged"),
        ('{"format": "learned_opt run", "version": 2}', "upgrade learned-opt"),
    ]:
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(RunError, match=message):
            RunDirectory.open(tmp_path)


def test_every_damage_of_the_config_is_found(tmp_path):
    path = RunDirectory.create(tmp_path / "run", CONFIG).path / "config.json"
    good = path.read_bytes()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        data = bytearray(good)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        with pytest.raises(RunError, match=r"config\.json cannot be used"):
            RunDirectory.open(tmp_path / "run")
    path.write_bytes(good.replace(b'"seed": 3', b'"seed": 4'))
    with pytest.raises(RunError, match="damaged or edited"):
        RunDirectory.open(tmp_path / "run")


def test_lock_is_exclusive_and_released(tmp_path):
    run = RunDirectory.create(tmp_path / "run", {})
    for _ in range(2):
        with run.lock():
            with (
                pytest.raises(RunError, match=f"is in use by process {os.getpid()};"),
                RunDirectory.open(run.path).lock(),
            ):
                pass
            assert RunDirectory.open(run.path) == run


def test_lock_of_another_process_ends_with_it(tmp_path):
    run = RunDirectory.create(tmp_path / "run", {})
    command = [sys.executable, "-c", LOCKED, str(run.path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(RunError, match=f"is in use by process {other.pid};"), run.lock():
            pass
        other.kill()
        other.wait()
        with run.lock():
            assert (run.path / ".lock").read_text() == f"{os.getpid()}\n"
