"""What the suite of held-out functions measures, on learners that are written by hand."""

import numpy as np
import pytest

from benchmarks.comparison.learners import judge
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Key, Request
from benchmarks.suites.held_out import splits
from benchmarks.suites.held_out.suite import (
    BASE,
    EXCLUDES,
    RECIPE,
    STORES,
    SUITE,
    VARIANTS,
    row_of,
    settings_of,
)
from learned_opt.in_context import families


@pytest.fixture(scope="module")
def drawn() -> splits.Splits:
    return splits.draw_splits(14, 3, range(4))


def test_splits_are_of_different_functions(drawn):
    assert drawn.training.shape == (4, 11, 4)
    for training, held_out in zip(*drawn, strict=True):
        assert len(np.unique(np.concatenate([training, held_out]), axis=0)) == 14
    assert len({held_out.tobytes() for held_out in drawn.held_out}) > 1


def test_the_probe_tells_storing_from_ruling_out(drawn):
    stores = splits.probe(splits.storing(), drawn.training, drawn)
    excludes = splits.probe(splits.excluding(), drawn.training, drawn)
    np.testing.assert_array_equal(stores[:, 1:], 1)
    # Three answers have settled on the wrong function, and the first surprise does not undo that.
    assert excludes[:, :2].max() < 0.05
    assert excludes.shape == (4, splits.TIMES)


def test_the_probe_has_no_share_where_no_training_function_is_near():
    """AND is told from its four neighbours by none of these."""
    one = splits.Splits(np.ones((1, 1, 4), np.float32), np.array([[[0, 0, 0, 1]]], np.float32))
    assert np.isnan(splits.probe(splits.storing(), one.training, one)).all()


def test_storing_serves_for_every_function_and_ruling_out_for_those_of_training(drawn):
    def accuracy(learner, part: str) -> float:
        tables = getattr(drawn, part), splits.known_functions(drawn, part)
        figures = judge(learner, drawn.training, families.among, *tables, length=32, num_sequences=50)
        return float(np.mean([f["accuracy"] for f in figures]))  # type: ignore[arg-type]

    stores, excludes = splits.storing(), splits.excluding()
    assert accuracy(stores, "held_out") == pytest.approx(1 - 2 / 32, abs=0.02)
    assert accuracy(excludes, "training") > accuracy(stores, "training") - 0.005
    assert accuracy(excludes, "held_out") < 0.85


def test_training_reaches_the_thetas_of_every_split(drawn):
    learner, settings = VARIANTS["3 cells"].make(), settings_of(VARIANTS["3 cells"], 4)
    thetas = splits.train(learner, settings, drawn)
    readouts = thetas["readout"]["w"]
    assert readouts.shape == (4, 3, 1)
    assert len(np.unique(readouts, axis=0)) == 4


def result(accuracy: float, shown: float) -> dict:
    figures = [
        {"mse": 1 - a, "bayes_mse": 0.0, "accuracy": a, "bayes_accuracy": 1.0}
        for a in (accuracy - 0.1, accuracy, accuracy)
    ]
    as_shown = np.full((3, splits.TIMES), shown)
    as_shown[2] = np.nan
    return {"epochs": 1.0, "training": figures, "held_out": figures, "as_shown": as_shown}


def test_a_row_has_medians_and_ends_without_what_is_no_number():
    row = row_of("x", result(0.9, 0.25))
    assert (row["held_out"], row["held_out_low"], row["held_out_high"]) == (0.9, 0.8, 0.9)
    assert (row["as_shown"], row["as_shown_low"], row["as_shown_high"]) == (0.25, 0.25, 0.25)


def test_the_report_has_a_row_and_figures_for_what_was_made():
    made = {BASE: result(0.8, 0.1), RECIPE: result(0.97, 1.0), EXCLUDES: result(0.7, 0.0)}
    cells = [
        Cell(Key("held_out", "boolean-14", n, 64, None, "splits"), {}, r, {}, 1.0) for n, r in made.items()
    ]
    (section,) = SUITE.sections(cells)
    assert [row["name"] for row in section.rows] == [RECIPE, BASE, EXCLUDES]
    assert len(section.figures) == len(section.captions) == 3
    assert RECIPE in section.figures[0]


def test_the_plan_has_every_variant_of_the_14_functions():
    jobs = SUITE.plan(Request())
    planned = [job.key.optimizer for job in jobs if job.key.task == "boolean-14"]
    assert planned == [*VARIANTS, STORES, EXCLUDES]
    assert all(job.settings["num_splits"] == 10 for job in jobs)
    with pytest.raises(ValueError, match="without --optimizers"):
        SUITE.plan(Request(optimizers=("adam",)))
