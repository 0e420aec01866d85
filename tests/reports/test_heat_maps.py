"""Heat maps: what is in them, and that they do not change."""

import re

import numpy as np
import pytest

from learned_opt.reports.heat_maps import heat_map


def texts(svg: str) -> list[str]:
    return re.findall(r"<!-- (.*?) -->", svg)


def test_heat_map_names_its_panels_rows_and_columns_and_is_repeatable():
    panels = {"first": np.eye(2), "second": np.array([[np.nan, 1.0], [-3.0, 0.0]])}
    names = (["upper", "lower"], ["left", "right"])
    svg = heat_map(panels, title="Maps", x_label="x", y_label="y", value_label="value", marker=1, names=names)
    assert {"Maps", "first", "second", "left", "right", "upper", "lower", "value"} <= set(texts(svg))
    assert svg == heat_map(
        panels, title="Maps", x_label="x", y_label="y", value_label="value", marker=1, names=names
    )


def test_heat_map_quotes_what_does_not_fit():
    with pytest.raises(ValueError, match="at least one"):
        heat_map({}, title="t", x_label="x", y_label="y")
    with pytest.raises(ValueError, match=r"'a' has shape \(3,\)"):
        heat_map({"a": np.ones(3)}, title="t", x_label="x", y_label="y")
    with pytest.raises(ValueError, match=r"1 row names for the panel 'a' of shape \(2, 3\)"):
        heat_map({"a": np.ones((2, 3))}, title="t", x_label="x", y_label="y", names=(["one"], []))
