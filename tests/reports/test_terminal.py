"""Curves of a run as text."""

import pytest

from learned_opt import reports

ROWS = [
    {"step": 10 * i, "validation_loss": 2.0**-i, "adam_loss": 0.25, "meta_loss": -float(i), "seconds": 1.0}
    for i in range(1, 6)
]


def test_terminal_curves_name_the_last_numbers():
    text = reports.terminal_curves(ROWS, title="mine", width=70)
    assert text.startswith("mine\n")
    assert "validation loss 0.03125" in text
    assert "tuned Adam 0.25" in text
    assert "meta-loss -5" in text
    assert "gradient norm" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_not_finite_is_left_out():
    rows = [*ROWS, {"step": 60, "validation_loss": None}, {"step": 70, "validation_loss": float("inf")}]
    assert "validation loss 0.03125" in reports.terminal_curves(rows, title="mine")
    with pytest.raises(ValueError, match="no metrics"):
        reports.terminal_curves([], title="mine")
