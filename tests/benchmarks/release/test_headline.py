"""The table and the picture of the default optimizers, from cells made by hand."""

import re

import numpy as np
import pytest

from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Key
from benchmarks.release import headline, readme

TASKS = ("dense-mnist", "embeddings-words")


def _cell(task: str, rule: str, train: list[float], test: list[float] | None = None) -> Cell:
    kind = "learned" if rule.startswith("general") else "swept"
    settings = {"kind": kind, "nature": "noisy"}
    result = {"steps": [0, 1, 10, 100], "train": [train], "test": None if test is None else [test]}
    return Cell(Key("generalization", task, rule, 100, None, "curves"), settings, result, {}, 1.0)


def _cost(name: str, seconds: float) -> Cell:
    result = {"seconds": seconds, "adam_seconds": 2.0}
    return Cell(Key("speed", "4x512x512", name, 0, None, "rule-cost"), {}, result, {"device": "cpu"}, 1.0)


@pytest.fixture
def cells() -> list[Cell]:
    adam, sooner, worse = [4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 1.0, 0.5], [4.0, 3.0, 2.0, 1.5]
    return [
        *(_cell(task, "adam", adam, adam) for task in TASKS),
        *(_cell(task, "general", sooner, worse) for task in TASKS),
        _cell(TASKS[0], "general-lite", sooner),
        _cell(TASKS[1], "general-lite", [4.0, 3.0, np.nan, np.nan]),
        # Neither stress tests nor published tasks count.
        _cell("stress-spikes", "general", worse),
        _cell("stress-spikes", "adam", adam),
        _cell("velodrome-ImageMLP_FashionMnist8_Relu32", "general", worse),
        _cost("controller-auto", 7.0),
    ]


def test_rows_by_hand(cells: list[Cell]):
    general, lite = headline.rows(cells)
    # Adam's last loss, 1, is reached at step 10 of 100.
    assert general == ("`general`", "10.00", "100 %", "0 %", "", "0 of 2", "3.5")
    assert lite == ("`general-lite`", "5.00", "50 %", "", "", "1 of 2", "")
    text = headline.explanation(cells)
    assert text.startswith("On 2 tasks of 2 kinds")
    assert re.search(r"tasks: [\d.]+ times as fast at 100 steps \(1 task\)\.", text)
    assert "512x512 on cpu" in text


def test_the_picture_has_the_tasks_that_there_are(cells: list[Cell]):
    pytest.importorskip("matplotlib")
    svg = headline.picture(cells)
    assert svg.startswith("<svg")
    assert "xmlns" in svg
    assert svg == headline.picture(cells)
    assert set(headline.PICTURED) <= {trial.name for trial in headline.generalization.TRIALS}


def test_the_picture_stands_in_the_readme():
    assert f"]({readme.PICTURE.relative_to(readme.README.parent)})" in readme.README.read_text()
