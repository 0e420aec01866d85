"""Tables: how numbers are shown, and which is the best."""

import re

import numpy as np
import pytest

from learned_opt.reports.report import Section, write_report
from learned_opt.reports.tables import EN_DASH, Column, format_value, terminal_table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.012345, "0.01235"),
        (1.0, "1.000"),
        (0.0, "0"),
        (9999.9, "10,000"),
        (123456.7, "123,457"),
        (-12.3456, "-12.35"),
        (1.5e-9, "1.500e-9"),
        (2.5e12, "2.500e12"),
        (np.float32(0.5), "0.5000"),
        (np.int64(12345), "12,345"),
        (False, "no"),
        (np.bool_(True), "yes"),
        (None, EN_DASH),
        (float("nan"), "nan"),
        (float("-inf"), "-∞"),
        ("adam", "adam"),
    ],
)
def test_format_value(value: object, text: str):
    assert format_value(value) == text


def test_digits():
    assert [format_value(v, digits=2) for v in (0.12345, 123.4)] == ["0.12", "123"]


def test_nothing_is_best_where_all_are_equal_or_alone():
    columns = {"loss": Column("loss", best="low")}

    def styles(*losses: float | None) -> list[str]:
        table = terminal_table([{"loss": loss} for loss in losses], columns)
        return [text.style for text in table.columns[0].cells]

    assert styles(0.1, None) == ["", ""]
    assert styles(0.1, 0.1, float("inf")) == ["", "", ""]
    assert styles(0.2, 0.1, -float("inf")) == ["", "bold", ""]


def cells_of(rows, columns) -> list[str]:
    table = terminal_table(rows, columns)
    return [cell.plain for column in table.columns for cell in column.cells]


def test_intervals_stand_behind_their_numbers_and_do_not_decide_on_the_best():
    columns = {"loss": Column("loss", "low", 3, ("low", "high"))}
    rows = [{"loss": 0.5, "low": 0.25, "high": 1.0}, {"loss": 0.75, "low": 0.1, "high": 2.0}, {"loss": None}]
    assert cells_of(rows, columns) == ["0.500 [0.25, 1.0]", "0.750 [0.10, 2.0]", EN_DASH]
    table = terminal_table(rows, columns)
    assert [bool(cell.style) for cell in table.columns[0].cells] == [True, False, False]


def test_an_interval_has_the_digits_that_it_needs():
    columns = {"loss": Column("loss", "low", 3, ("low", "high"))}

    def shown(loss: float, low: float, high: float) -> str:
        return cells_of([{"loss": loss, "low": low, "high": high}], columns)[0]

    assert shown(1.003, 1.001, 1.004) == "1.00 [1.001, 1.004]"  # in two digits both ends are 1.0
    assert shown(1.47, 1.46, 1.76) == "1.47 [1.46, 1.76]"  # and 1.5 would lie above the number
    assert shown(0.5, 0.5, 0.5) == shown(0.5, 0.5, 0.5 + 1e-9) == "0.500"


def test_rows_are_ranked_with_their_own():
    columns = {"task": Column("task"), "loss": Column("loss", "low")}
    losses = [("easy", 0.1), ("easy", 0.2), ("hard", 3.0), ("hard", 2.0), ("alone", 0.0)]
    rows = [{"task": task, "loss": loss, "ranked_with": task} for task, loss in losses]
    table = terminal_table(rows, columns)
    assert [bool(cell.style) for cell in table.columns[1].cells] == [True, False, False, True, False]


def test_unranked_rows_are_never_the_best(tmp_path):
    rows = [
        {"name": "reference", "loss": 0.0, "unranked": True},
        {"name": "a", "loss": 1.0},
        {"name": "b", "loss": 2.0},
    ]
    columns = {"name": Column("name"), "loss": Column("loss", "low")}
    table = terminal_table(rows, columns)
    assert [bool(cell.style) for cell in table.columns[1].cells] == [False, True, False]
    write_report(tmp_path / "r.html", title="t", summary="", sections=[Section("s", rows=rows)])
    assert "unranked" not in re.sub(r"<script.*</script>", "", (tmp_path / "r.html").read_text(), flags=re.S)
