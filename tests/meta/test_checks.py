"""Each finding on numbers made to have it, and none on sound ones."""

import numpy as np
import pytest

from learned_opt.meta import Settings
from learned_opt.meta.diagnosis.checks import (
    check_gradients,
    check_memory,
    check_metrics,
    check_movement,
    diverged,
)
from learned_opt.meta.diagnosis.diagnostics import UpdateStats
from learned_opt.meta.diagnosis.trajectory_checks import check_floor, check_trajectories
from learned_opt.training.estimators import Bptt, Pes

ESTIMATOR = Bptt(horizon=100, truncation=20, num_problems=8)
SETTINGS = Settings(estimator=ESTIMATOR)
RNG = np.random.default_rng(0)
DIRECTION = RNG.normal(size=50)
SOUND = DIRECTION + 0.3 * RNG.normal(size=(4, 3, 50))


def found(diagnosis) -> dict:
    return {finding.name: finding for finding in diagnosis.findings}


def test_sound_meta_gradients_are_no_finding():
    diagnosis = check_gradients({"['w']": SOUND[..., :40], "['b']": SOUND[..., 40:]}, ESTIMATOR)
    assert not diagnosis.findings
    assert float(diagnosis.measured["cosine of meta-gradients between seeds"].split()[0]) > 0.8


def test_meta_gradients_that_are_not_finite():
    grads = SOUND.copy()
    grads[1, 2, 0] = np.nan
    finding = found(check_gradients({"w": grads}, ESTIMATOR))["meta-gradient-not-finite"]
    assert "1 of 12" in finding.measured
    assert "truncation=10" in finding.fix
    assert list(found(check_gradients({"w": grads * np.nan}, ESTIMATOR))) == ["meta-gradient-not-finite"]


def test_zero_tiny_and_huge_meta_gradients():
    assert list(found(check_gradients({"w": 0 * SOUND}, ESTIMATOR))) == ["meta-gradient-zero"]
    assert list(found(check_gradients({"w": 1e-12 * SOUND}, ESTIMATOR))) == ["meta-gradient-tiny"]
    huge = SOUND.copy()
    huge[0, 0] *= 1e5
    assert "problem_clip_norm=7" in found(check_gradients({"w": huge}, ESTIMATOR))["meta-gradient-huge"].fix
    clipped = Bptt(horizon=100, truncation=20, problem_clip_norm=1.0)
    assert not check_gradients({"w": huge}, clipped).findings


def test_leaves_without_gradient_are_named():
    finding = found(check_gradients({"['w']": SOUND, "['b']": 0 * SOUND}, ESTIMATOR))
    assert "['b'] is exactly 0" in finding["meta-parameters-without-gradient"].measured
    assert "truncation=25" in finding["meta-parameters-without-gradient"].fix


def test_noise_is_told_from_signal():
    noise = RNG.normal(size=(4, 3, 1000))
    finding = found(check_gradients({"w": noise}, ESTIMATOR))["meta-gradient-noisy"]
    assert "num_problems=128" in finding.fix
    assert "estimator='pes'" in finding.fix
    evolved = Pes(horizon=100, truncation=20, num_problems=8)
    assert (
        "1,000 meta-parameters" in found(check_gradients({"w": noise}, evolved))["meta-gradient-noisy"].cause
    )


def test_few_directions_of_either_sign_are_not_enough_to_tell():
    """All along one line: the mean cosine is -1/3, and four seeds could give that by chance."""
    signs = np.array([1, -1, 1, -1])[:, None, None] * np.ones((1, 3, 1))
    assert not check_gradients({"w": signs * DIRECTION}, ESTIMATOR).findings


def test_memory_names_what_would_halve_it():
    assert not check_memory(100, 1000, "of the compiled program", ESTIMATOR).findings
    finding = found(check_memory(950, 1000, "of the compiled program", ESTIMATOR))["memory"]
    assert finding.fix == "num_problems=4 or truncation=10 halves it"


def rows(losses, norms, skipped=0):
    pairs = zip(losses, norms, strict=True)
    return [
        {"step": 10 * (i + 1), "validation_loss": loss, "gradient_norm": norm, "skipped": skipped}
        for i, (loss, norm) in enumerate(pairs)
    ]


def test_metrics_of_a_run():
    falling, ones = list(np.linspace(1, 0.1, 8)), [1.0] * 8
    assert not check_metrics([], SETTINGS).findings
    assert not check_metrics(rows(falling, ones), SETTINGS).findings
    assert list(found(check_metrics(rows([1.0, None] * 5, [1.0] * 10), SETTINGS))) == ["validation-flat"]
    assert list(found(check_metrics(rows(falling, ones, skipped=40), SETTINGS))) == ["meta-steps-skipped"]
    never = found(check_metrics(rows([None] * 4, [1.0] * 4, skipped=40), SETTINGS))
    assert list(never) == ["never-finite"]
    assert "learning_rate=" not in never["never-finite"].fix
    growing = check_metrics(rows(falling, list(2.0 ** np.arange(8))), SETTINGS)
    assert "problem_clip_norm=2" in found(growing)["gradient-norms-growing"].fix


def test_movement_of_theta():
    assert not check_movement({"w": 1.0, "b": 1e-9}).findings
    assert "b is where it started" in check_movement({"w": 1.0, "b": 0.0}).findings[0].measured
    assert "all of theta" in check_movement({"w": 0.0, "b": 0.0}).findings[0].measured


NAMES = ["params['x']", "gradient['x']", "state.mu", "update['x']"]


def stats(**changes) -> UpdateStats:
    """Of 4 problems and 6 steps that go well."""
    ones = np.ones((4, 6), np.float32)
    saturated = {"lstm sigmoid": 0.1 * ones}
    return UpdateStats(ones, 0.1 * ones, ones, 0.1 * ones, np.ones((4, 6, 4), bool), saturated)._replace(
        **changes
    )


FALLING = np.tile(np.linspace(1, 0.3, 7, dtype=np.float32), (4, 1))
RISING = np.tile(np.float32([1, 2, 4, 8, 16, 32, 64]), (4, 1))


@pytest.mark.parametrize(
    ("losses", "changes", "name", "fix"),
    [
        (FALLING * 0 + 1, {"gradient_norm": np.zeros((4, 6))}, "loss-does-not-move", "differentiable"),
        (FALLING, {"gain": np.full((4, 6), 1e-7)}, "steps-too-small", "output_scale=1e+04"),
        (FALLING, {"update_norm": np.full((4, 6), 5.0)}, "steps-too-large", "output_scale=0.01"),
        (RISING, {}, "problems-diverged", "output_scale=0.01"),
        (FALLING, {"saturated": {"lstm_1 sigmoid": np.full((4, 6), 0.95)}}, "saturated-gates", "normalized"),
    ],
)
def test_trajectories(losses, changes, name, fix):
    assert not check_trajectories(FALLING, stats(), NAMES, 0.1).findings
    finding = found(check_trajectories(losses, stats(**changes), NAMES, 0.1))
    assert list(finding) == [name]
    assert fix in finding[name].fix


def test_first_step_and_leaf_that_is_not_finite():
    finite = np.ones((4, 6, 4), bool)
    finite[2, 3:, 1] = False
    finite[2, 4:, 2] = False
    finding = found(check_trajectories(FALLING, stats(finite=finite), NAMES, None))["not-finite"]
    assert finding.measured.startswith("at inner step 3 the first NaN or infinity appears, in gradient['x'];")
    assert "1 of 4 problems" in finding.measured
    losses = FALLING.copy()
    losses[:, 3:] = np.nan
    finding = found(check_trajectories(losses, stats(finite=finite), NAMES, None))["not-finite"]
    assert "in loss, gradient['x'];" in finding.measured


def test_start_at_the_floor():
    assert not check_floor(1.0, 0.5).findings
    assert check_floor(1.0, 0.9999).findings[0].name == "start-at-floor"
    assert check_floor(0.0, 0.0).findings[0].name == "start-at-floor"


def test_diverged_losses_of_any_sign():
    first, last = np.array([-1.0, -1.0, 0.0]), np.array([-5.0, 9.0, 0.0])
    assert diverged(first, last).tolist() == [False, True, False]
