"""Line and interval plots: what is in them, and that they do not change."""

import re

import numpy as np
import pytest

from learned_opt.reports import plots
from learned_opt.reports.plots import interval_plot, line_plot, scatter_plot

X = np.arange(1.0, 20.0)


def texts(svg: str) -> list[str]:
    return re.findall(r"<!-- (.*?) -->", svg)


def test_line_plot_names_its_lines_and_axes_and_is_repeatable():
    lines = {"adam": np.stack([X, 1 / X]), "mine": np.stack([X, X**-2, 0.5 * X**-2, 2 * X**-2])}
    svg = line_plot(lines, title="Falls", x_label="width", y_label="gap", highlight=["mine"])
    assert {"Falls", "width", "gap", "adam", "mine"} <= set(texts(svg))
    assert svg == line_plot(lines, title="Falls", x_label="width", y_label="gap", highlight=["mine"])


def test_line_plot_does_not_follow_what_explodes():
    tame = {"a": np.stack([X, 1 / X])}
    wild = tame | {"b": np.stack([X, np.append(X[:-1], np.inf) ** 50.0])}
    ticks = [
        [t for t in texts(line_plot(lines, title="t", x_label="x", y_label="y")) if t.startswith("10")]
        for lines in (tame, wild)
    ]
    assert len(ticks[1]) <= 9
    assert "10⁵⁰" not in ticks[1]


def test_log_axis_leaves_out_what_is_not_positive():
    with_zero = np.stack([np.append(0.0, X), np.append(1.0, 1 / X)])
    svg = line_plot({"a": with_zero}, title="t", x_label="x", y_label="y", log="xy")
    assert svg == line_plot({"a": with_zero[:, 1:]}, title="t", x_label="x", y_label="y", log="xy")


def test_ticks_far_out_are_powers_of_ten_without_markup():
    line = np.stack([np.geomspace(1e3, 1e7, 9), np.ones(9)])
    svg = line_plot({"a": line}, title="t", x_label="x", y_label="y", log="xy")
    assert {"10³", "10⁷"} <= set(texts(svg))
    assert "mathdefault" not in svg


def test_fractions_have_ticks_of_their_own_between_whole_numbers():
    line = np.stack([np.linspace(-0.3, 0.3, 7), np.ones(7)])
    ticks = texts(line_plot({"a": line}, title="t", x_label="x", y_label="y"))
    assert {"0.0", "0.2"} <= set(ticks)
    assert "0.4" not in ticks


def test_interval_plot_puts_the_largest_on_top_and_marks_what_has_no_place():
    rows = {"low": (1.0, 0.5, 2.0), "high": (3.0, 2.0, 4.0), "never": (0.0, 0.0, 0.0)}
    svg = interval_plot(rows, title="Speed", x_label="times", x_log=True, level=1.0)
    assert [t for t in texts(svg) if t in rows] == ["never", "low", "high"]


def test_interval_plot_holds_long_names_and_labels(monkeypatch: pytest.MonkeyPatch):
    figures = []
    monkeypatch.setattr(plots, "to_svg", lambda figure, title: figures.append(figure) or "<svg>")
    rows = {"a network of so many units, trained by so many steps an example": (1.0, 0.5, 2.0)}
    interval_plot(rows, title="a title of some words", x_label="mean squared error (the line: the least)")
    (figure,) = figures
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for text in (figure._suptitle, axes.xaxis.label, *axes.get_yticklabels()):
        assert text.get_text()
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, text
    assert axes.bbox.width > 0.5 * figure.bbox.width


@pytest.mark.parametrize("draw", [line_plot, interval_plot])
def test_nothing_to_draw_is_an_error(draw):
    extra = {"y_label": "y"} if draw is line_plot else {}
    with pytest.raises(ValueError, match="at least one"):
        draw({}, title="t", x_label="x", **extra)


def test_scatter_plot_names_its_groups_and_leaves_out_what_is_not_finite():
    groups = {"mine": np.array([[0.0, 1.0], [1.0, 2.0]]), "theirs": np.array([[0.5, np.nan], [1.5, 1.0]])}
    labels = {"title": "Points", "x_label": "across", "y_label": "up"}
    svg = scatter_plot(groups, **labels)
    assert {"Points", "across", "up", "mine", "theirs"} <= set(texts(svg))
    assert svg == scatter_plot(groups | {"theirs": groups["theirs"][:, :1]}, **labels)
    with pytest.raises(ValueError, match="at least one"):
        scatter_plot({}, **labels)
    with pytest.raises(ValueError, match=r"'mine' has shape \(3,\)"):
        scatter_plot({"mine": np.ones(3)}, **labels)


def test_a_line_of_another_shape_is_quoted():
    with pytest.raises(ValueError, match=r"'a' has shape \(3, 19\)"):
        line_plot({"a": np.ones((3, 19))}, title="t", x_label="x", y_label="y")


def test_a_scale_of_another_name_is_quoted():
    with pytest.raises(ValueError, match="log='z'"):
        line_plot({"a": np.stack([X, X])}, title="t", x_label="x", y_label="y", log="z")  # type: ignore[arg-type]
