"""Axes of figures: their titles, ranges, scales and numbers."""

import numpy as np
import pytest

from learned_opt.reports.axes import labelled_axes, loss_axis, number_axis, power, step_axis


@pytest.fixture
def axes():
    return labelled_axes("long " * 20, "width")[1]


def test_a_long_title_is_set_in_several_lines(axes):
    assert axes.get_title().count("long") == 20
    assert "\n" in axes.get_title()


def test_steps_start_at_the_left_end(axes):
    step_axis(axes, 0, 100)
    assert axes.get_xlim() == (0.0, 100.0)


@pytest.mark.parametrize(("low", "scale"), [(0.01, "log"), (0.0, "linear"), (-1.0, "linear")])
def test_losses_are_on_a_logarithmic_axis_where_all_are_positive(axes, low, scale):
    loss_axis(axes, low, 1.0)
    assert axes.get_yscale() == scale


def test_numbers_on_a_logarithmic_axis(axes):
    number_axis(axes, np.array([1.0, np.nan, 10.0]), log=True)
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == (1.0, 10.0)


def test_powers_of_ten():
    assert [power(value) for value in (1e4, 2e-3)] == ["10⁴", "2\N{MULTIPLICATION SIGN}10⁻³"]
