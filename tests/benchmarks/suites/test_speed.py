"""What the suite of speed makes of the trainer's loop, by hand."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Key, Request
from benchmarks.suites.speed import rules
from benchmarks.suites.speed.meta_training import LOOP, loop_costs
from benchmarks.suites.speed.pipeline import PIPELINE
from benchmarks.suites.speed.suite import SUITE


def test_periods_of_two_lengths_tell_a_step_from_the_end_of_a_period():
    # 2 ms a meta-step and 30 ms at the end of each period.
    costs = loop_costs({60: 0.15, 10: 0.05})
    assert costs == pytest.approx({"loop_seconds": 0.002, "end_seconds": 0.03})


def test_report_has_the_overhead_of_the_loop():
    (key,) = (job.key for job in SUITE.plan(Request("default")) if job.key.part == LOOP)
    result = {"seconds": 0.002, "loop_seconds": 0.0021, "end_seconds": 0.03, "compile_seconds": 5.0}
    (section,) = SUITE.sections([Cell(key, {}, result, {}, 1.0)])
    (row,) = section.rows
    assert row["task"] == "quadratic-10"
    assert row["overhead"] == pytest.approx(5)
    assert row["compile"] == 5.0
    assert key == Key("speed", "meta-training-quadratic-10", "lstm-20x2", 0, None, LOOP)


def test_report_has_the_pipeline_beside_the_step():
    key = Key("speed", "imagenet-64", "resnet18", 0, None, PIPELINE)
    (section,) = SUITE.sections([Cell(key, {}, {"given": {"0": 300.0, "1": 500.0}, "taken": 50.0}, {}, 1.0)])
    (row,) = section.rows
    assert row["workers_1"] == 500
    assert row["ratio"] == pytest.approx(10)
    assert {"workers_0", "workers_1", "taken"} <= section.columns.keys()


def test_compilation_is_timed_without_the_cache(tmp_path: Path):
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    kept = {name: jax.config.values[name] for name in names}
    try:
        for name, value in zip(names, (str(tmp_path), 0.0), strict=True):
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        tx, params = optax.adam(1e-3), {"w": jnp.ones(5)}
        state = tx.init(params)
        written = set(tmp_path.iterdir())
        assert written  # it is in use
        assert rules._compile_seconds(tx, params) > 0
        assert set(tmp_path.iterdir()) == written
        jax.jit(functools.partial(rules._step, tx))(params, state, params)
        assert set(tmp_path.iterdir()) > written  # it is in use again
    finally:
        for name, value in kept.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
