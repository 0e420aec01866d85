"""What the page on algorithms is made from."""

import pytest

from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Key
from benchmarks.suites.algorithms.suite import cases, optimizers
from benchmarks.suites.algorithms.table import ANSWERS, BITS, rows
from learned_opt import tasks


def cell(task: str, seed: int, **metrics: float) -> Cell:
    result = {"metrics": {name: [value] for name, value in metrics.items()}}
    return Cell(Key("algorithms", task, "sgd", 10, seed, "losses"), {"summary": "Of it."}, result, {}, 1.0)


def test_a_row_has_all_seeds_in_their_order():
    bits = dict.fromkeys(BITS, 0.5)
    cells = [cell("copy", 1, **bits | {"bit_errors": 0.25}), cell("copy", 0, **bits | {"bit_errors": 0.0})]
    cells.append(cell("questions", 0, exact_answers=0.9166))
    (row,) = rows(cells, BITS)
    assert (row["what"], row["optimizer"], row["steps"]) == ("copy: Of it.", "sgd", 10)
    assert (row["bit_errors"], row["bit_errors_at_twice"]) == ("0.0, 25.0", "50.0, 50.0")
    (row,) = rows(cells, ANSWERS)
    assert row["exact_answers"] == "91.7"


def test_who_is_named_is_there_and_stages_make_a_whole():
    for size in ("quick", "default", "full"):
        names = {c.name for c in optimizers(size)}
        for case in cases(size):
            assert set(case.only) <= names
            assert not case.stages or sum(share for share, _ in case.stages) == pytest.approx(1)


def test_questions_explore_in_the_second_stage_and_decide_in_the_last():
    staged = [case for case in cases("default") if case.stages]
    assert [case.name for case in staged] == ["questions", "questions-3"]
    for case in staged:
        configs = [tasks.registry.to_json(make().config) for _, make in case.stages]
        assert [config["exploration"] for config in configs] == [0, 3, 0, -0.3]
