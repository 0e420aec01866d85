"""What the suite of estimators makes of its cells, by hand."""

import numpy as np

from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Key, Request
from benchmarks.suites.estimators import memory
from benchmarks.suites.estimators.suite import LANDSCAPE, REFERENCE, SIGMA, SUITE, estimators, rows, smoothed


def result(gradients) -> dict:
    return {"gradients": gradients, "microseconds": 1.0, "bytes": 8.0}


OWN = {
    "exact": result([[3.0, 4.0], [3.0, 4.0]]),
    "scattered": result([[3.0, 14.0], [3.0, 4.0], [np.inf, 0.0], [np.nan, 0.0]]),
    REFERENCE: {"gradient": [3.0, 4.0], "error": [0.0, 0.0]},
    LANDSCAPE: {"shifts": np.linspace(-0.3, 0.3, 61), "losses": np.linspace(1.0, 2.0, 61)},
}


def test_bias_and_spread_are_shares_of_the_reference():
    exact, scattered = rows(OWN)
    assert exact["estimator"] == "exact"
    assert (exact["bias"], exact["spread"], exact["lost"]) == (0, 0, 0)
    # Two finite estimates, 5 to either side of their mean; the reference's norm is 5.
    np.testing.assert_allclose(scattered["bias"], 1)
    np.testing.assert_allclose(scattered["spread"], np.sqrt(50) / 5)
    np.testing.assert_allclose(scattered["bias_error"], 1)
    assert scattered["lost"] == 0.5


def test_smoothing_keeps_what_is_straight_and_takes_ripples_away():
    shifts = np.linspace(-6 * SIGMA, 6 * SIGMA, 601)
    kept, losses = smoothed(shifts, 2 * shifts + np.sin(200 * shifts))
    np.testing.assert_allclose(losses, 2 * kept, atol=2e-3)
    assert np.abs(kept).max() <= 3 * SIGMA + 1e-9


def test_plan_has_every_estimator_on_both_tasks_and_the_report_draws_them():
    jobs = SUITE.plan(Request("quick"))
    made = {(job.key.task, job.key.optimizer) for job in jobs if job.key.part == "gradient"}
    names = {*estimators(40, 2), REFERENCE, LANDSCAPE}
    assert made == {(task, name) for task in ("tame", "chaotic") for name in names}
    cells = [Cell(Key("estimators", "tame", n, 40, None, "gradient"), {}, r, {}, 1.0) for n, r in OWN.items()]
    (section,) = SUITE.sections(cells)
    assert section.heading == "tame, 40 steps"
    assert len(section.figures) == 2


def test_memory_is_told_in_states_and_drawn_over_the_horizon():
    key = Key("estimators", memory.PART, "tbptt", 100, None, memory.PART)
    results = {
        key: {"bytes": 1024.0, "peak_bytes": 3e8},
        key._replace(horizon=1000): {"bytes": 1024.0, "peak_bytes": None},
        key._replace(optimizer="full"): {"bytes": 10_240.0, "peak_bytes": None},
    }
    planned = {job.key for job in SUITE.plan(Request("quick"))}
    assert planned > results.keys()
    (section,) = SUITE.sections([Cell(k, {"processes": 5}, r, {}, 1.0) for k, r in results.items()])
    full, *tbptt = section.rows
    # A state is 64 params and their momentum, 512 bytes.
    assert (full["states"], full["peak"]) == (20, None)
    assert [(row["horizon"], row["states"], row["peak"]) for row in tbptt] == [(100, 2, 300), (1000, 2, None)]
    assert len(section.figures) == 1
