"""Provenance: the commit where there is one, the versions and the device."""

import json
import subprocess

import jax
import pytest

from learned_opt.runs import provenance


def git(*arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    done = subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return tmp_path


def test_outside_a_repository(elsewhere, monkeypatch):
    found = provenance()
    assert found["commit"] is None
    assert found["dirty"] is None
    assert found["versions"]["jax"] == jax.__version__
    assert set(found["versions"]) >= {"python", "learned-opt", "jaxlib", "optax", "dm-haiku"}
    assert found["num_devices"] == jax.device_count()
    assert found["device"] == jax.devices()[0].device_kind
    assert json.loads(json.dumps(found)) == found
    monkeypatch.setenv("PATH", "")  # no git at all
    assert provenance() == found


def test_commit_and_changes(elsewhere):
    git("init", "-q")
    assert provenance()["commit"] is None  # nothing is committed yet
    git("commit", "-q", "--allow-empty", "-m", "First")
    clean = provenance()
    assert clean["commit"] == git("rev-parse", "HEAD")
    assert clean["dirty"] is False
    (elsewhere / "new.txt").write_text("change")
    assert provenance()["dirty"] is True
