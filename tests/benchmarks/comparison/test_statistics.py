"""Measures against numbers that can be derived by hand."""

import numpy as np
import pytest

from benchmarks.comparison import statistics

INF, NAN = float("inf"), float("nan")


def test_interquartile_mean_leaves_out_a_quarter_at_each_end():
    assert statistics.iqm(np.array([8.0, 1, 2, 3, 4, 5, 6, 1000])) == (3 + 4 + 5 + 6) / 4
    # One of four diverged is left out, two of four are not.
    assert statistics.iqm(np.array([1.0, 2, 3, NAN])) == 2.5
    assert statistics.iqm(np.array([1.0, 2, NAN, INF])) == INF


def test_interval_of_equal_values_is_the_value():
    assert statistics.interval(np.full(7, 3.0)) == (3.0, 3.0, 3.0)
    assert statistics.interval(np.array([2.0])) == (2.0, 2.0, 2.0)


def test_interval_of_a_mean_has_the_width_of_its_standard_error():
    values = np.random.default_rng(1).normal(5.0, 2.0, size=400)
    value, low, high = statistics.interval(values, np.mean)
    assert value == pytest.approx(values.mean())
    # 1.96 standard errors of 0.1 on either side.
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert low < value < high


def test_interval_reaches_infinity_where_divergence_may():
    values = np.array([1.0, 1, 1, 1, 1, 1, 1, INF, INF])
    value, low, high = statistics.interval(values)
    assert value == 1.0
    assert low == 1.0
    assert high == INF


def test_interval_wants_one_value_a_problem():
    with pytest.raises(ValueError, match="shape"):
        statistics.interval(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="at least one"):
        statistics.interval(np.zeros(0))


def test_curve_quantiles_are_problems_losses():
    curves = np.array([[1.0, 4], [2, NAN], [3, 2], [4, 1]])
    low, middle, high = statistics.curve_quantiles(curves)
    np.testing.assert_array_equal(low, [1, 1])
    np.testing.assert_array_equal(middle, [2, 2])
    np.testing.assert_array_equal(high, [3, 4])
    assert statistics.curve_quantiles(curves, [1.0])[0, 1] == INF


def test_speed_up_is_a_ratio_of_steps():
    steps = np.arange(5)
    baseline = np.array([16.0, 8, 4, 2, 1])
    faster = np.array([16.0, 4, 1, 1, 1])
    assert statistics.speed_up(steps, baseline, 1.0, steps, faster) == 4 / 2
    assert statistics.speed_up(steps, baseline, 1.0, steps, baseline) == 1
    assert statistics.speed_up(steps, baseline, 1.0, steps, baseline + 1) == 0
    # The baseline's own final loss may have been reached earlier.
    early = np.array([16.0, 1, 1, 1, 1])
    assert statistics.speed_up(steps, early, 1.0, steps, faster) == 1 / 2


def test_divergence_is_not_finite_or_above_the_start():
    first = np.array([1.0, 1, 1, 1])
    final = np.array([0.5, 2.0, 0.5, NAN])
    assert statistics.divergence_rate(np.array([True, True, False, False]), first, final) == 0.75


def test_performance_profile():
    losses = {"a": np.array([1.0, 1, 4, NAN]), "b": np.array([2.0, 1, 1, INF])}
    profile = statistics.performance_profile(losses, np.array([1.0, 2.0, 4.0]))
    # The last problem was solved by nobody.
    np.testing.assert_array_equal(profile["a"], [0.5, 0.5, 0.75])
    np.testing.assert_array_equal(profile["b"], [0.5, 0.75, 0.75])


def test_worst_after_looks_beyond_the_horizon_only():
    steps = np.array([0, 1, 10, 100, 1000])
    assert statistics.worst_after(steps, np.array([9.0, 8, 2, 6, 1]), 10) == 3
    assert statistics.worst_after(steps, np.array([9.0, 8, 2, 1, 1]), 10) == 1
    assert statistics.worst_after(steps, np.array([9.0, 8, 2, NAN, 1]), 10) == INF
    with pytest.raises(ValueError, match="before the horizon"):
        statistics.worst_after(steps, np.ones(5), 5000)
