"""Metrics stay readable through kills and resumes."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.runs import MetricsWriter, read_metrics


def test_every_line_is_there_when_write_returns(tmp_path):
    path = tmp_path / "m.jsonl"
    with MetricsWriter(path) as metrics:
        assert read_metrics(path) == []
        metrics.write(1, loss=jnp.float32(0.5), count=np.int32(3), on=True, none=None)
        assert read_metrics(path) == [{"step": 1, "loss": 0.5, "count": 3, "on": True, "none": None}]
        metrics.write(2, loss=jnp.bfloat16(0.5))
        assert read_metrics(path)[1] == {"step": 2, "loss": 0.5}
    with pytest.raises(ValueError, match="closed file"):
        metrics.write(3, loss=1.0)


def test_non_finite_values_are_valid_json(tmp_path):
    path = tmp_path / "m.jsonl"
    with MetricsWriter(path) as metrics:
        metrics.write(0, a=float("nan"), b=-np.inf, c=jnp.float32(jnp.inf), d=jnp.bfloat16(jnp.nan))

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    row = json.loads(path.read_text(), parse_constant=refuse)
    assert row == {"step": 0, "a": None, "b": None, "c": None, "d": None}


@pytest.mark.parametrize("value", ["text", np.ones(2), [1.0], 1j, object()])
def test_other_values_are_refused(tmp_path, value):
    with (
        MetricsWriter(tmp_path / "m.jsonl") as metrics,
        pytest.raises(TypeError, match="metric loss is"),
    ):
        metrics.write(0, loss=value)
    assert read_metrics(tmp_path / "m.jsonl") == []


def test_resumed_run_has_the_file_of_an_undisturbed_one(tmp_path):
    undisturbed = tmp_path / "whole.jsonl"
    with MetricsWriter(undisturbed) as metrics:
        for step in range(0, 50, 10):
            metrics.write(step, loss=1.0 / (step + 1), scale=1e-30)
    whole = undisturbed.read_bytes()
    start_of_30 = whole.index(b'{"step": 30')
    for cut in range(start_of_30, len(whole) + 1):
        path = tmp_path / "killed.jsonl"
        path.write_bytes(whole[:cut])
        assert read_metrics(path) == read_metrics(undisturbed)[: len(read_metrics(path))]
        with MetricsWriter(path, resume_step=20) as metrics:
            for step in (30, 40):
                metrics.write(step, loss=1.0 / (step + 1), scale=1e-30)
        assert path.read_bytes() == whole


def test_torn_line_is_dropped_on_append(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1, "a": 1}\n{"step": 2, "a"')
    assert read_metrics(path) == [{"step": 1, "a": 1}]
    with MetricsWriter(path) as metrics:
        metrics.write(2, a=5)
    assert read_metrics(path) == [{"step": 1, "a": 1}, {"step": 2, "a": 5}]


def test_last_line_without_line_break_is_kept(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1, "a": 1}')
    with MetricsWriter(path) as metrics:
        metrics.write(2, a=5)
    assert [row["step"] for row in read_metrics(path)] == [1, 2]


@pytest.mark.parametrize("line", ["{", "", "[1]", '{"loss": 1}', "\0\0"])
def test_damage_before_the_last_line_is_named(tmp_path, line):
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(ValueError, match=r"m.jsonl, line 2 is damaged"):
        read_metrics(path)
    with pytest.raises(ValueError, match=r"m.jsonl, line 2 is damaged"):
        MetricsWriter(path, resume_step=2)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_metrics(tmp_path / "none.jsonl")
