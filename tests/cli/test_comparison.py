"""What a comparison says in words and in a report."""

import optax
import pytest

from learned_opt import tasks, training
from learned_opt.cli.comparison import comparison_sections, verdict


@pytest.fixture(scope="module")
def comparison() -> training.Comparison:
    task = tasks.classification("digits", hidden_sizes=())
    return training.compare(
        {"mine": optax.sgd(0.1)}, task, num_steps=3, num_problems=2, baselines={"adam": optax.adam}
    )


def test_training_losses_stand_beside_what_was_held_out(comparison: training.Comparison):
    words = verdict(comparison, "mine")
    rows = {row["optimizer"]: row for row in comparison.rows()}
    assert "These are training losses; held out: test accuracy" in words
    for key in ("test_accuracy", "test_loss"):
        assert f"{rows['mine'][key]:.4g} against {rows['adam'][key]:.4g}" in words


def test_curves_are_not_called_losses_at_a_step(comparison: training.Comparison):
    pytest.importorskip("matplotlib")
    config = tasks.classification("digits", hidden_sizes=()).config
    _, curves, _ = comparison_sections(comparison, "mine", config, "command")
    (figure,) = curves.figures
    assert "Training loss, 2 fresh problems of classification" in figure
    assert "Loss at step" not in figure
