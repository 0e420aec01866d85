"""Figures of function learners say where functions change."""

import jax
import numpy as np
import pytest

from learned_opt.in_context import (
    Evaluation,
    ablation_sections,
    describe,
    error_curve,
    evaluate_learner,
    families,
    inspect_learner,
    learners,
)

FAINT_DASHES = "stroke-dasharray: 0.8,1.6"


def evaluation(num_functions: int) -> Evaluation:
    errors = np.tile(np.linspace(0.5, 0.1, 12, dtype=np.float32), (4, 1))
    return Evaluation(errors, errors / 2, errors * 2, errors < 0.4, errors * 0, True, num_functions)


@pytest.mark.parametrize(
    ("num_functions", "shown", "marks"), [(1, None, 0), (3, None, 2), (3, 8, 1), (3, 4, 0)]
)
def test_error_curves_mark_the_switches(num_functions: int, shown: int | None, marks: int):
    svg = error_curve({"lstm": evaluation(num_functions)}, title="Error", num_examples=shown)
    assert svg.count(FAINT_DASHES) == marks


def test_evaluations_know_their_functions():
    learner = learners.gru(num_units=2)
    theta = learner.init(jax.random.key(0))
    found = evaluate_learner(learner, theta, families.boolean(), length=4, num_functions=3, num_sequences=2)
    assert found.errors.shape == (2, 12)
    assert found.num_functions == 3


@pytest.mark.parametrize(
    "learner", [learners.lstm(), learners.lstm((2, 3), (1, 0)), learners.gru(num_units=2)]
)
def test_a_report_of_any_number_of_layers(learner):
    theta = learner.init(jax.random.key(0))
    ablation = inspect_learner(learner, theta, families.semilinear(), num_functions=4)
    sections = ablation_sections(ablation, describe(ablation))
    weights = sections[-1].figures
    assert len(weights) == len(ablation.weights) + (ablation.readout.size > 0)
    assert all(figure.startswith("<svg") for figure in weights)
