"""Suites that compare optimizers: who runs where, and what a cell keeps."""

from pathlib import Path

import numpy as np
import optax
import pytest

from benchmarks.comparison import baselines
from benchmarks.comparison.curves import summary
from benchmarks.comparison.suite import Budget, Case, case_jobs
from learned_opt import tasks


def test_optimizers_run_where_they_suit():
    budget = Budget(seeds=1)

    def names(case: Case) -> set[str]:
        chosen = list(baselines.BASELINES.values())
        return {job.key.optimizer for job in case_jobs("s", case, chosen, budget)}

    quadratic = names(Case("q", lambda: tasks.quadratic(dim=2)))
    assert "lbfgs" in quadratic
    assert "muon" not in quadratic
    digits = names(Case("d", lambda: tasks.classification("digits", hidden_sizes=(3,))))
    assert "muon" in digits
    assert "lbfgs" not in digits
    assert names(Case("q", lambda: tasks.quadratic(dim=2), only=("sgd",))) == {"sgd"}


def test_loss_scale_is_seen_by_the_optimizer_and_not_by_the_reader(tmp_path: Path):
    """SGD at a hundredth of the rate on a hundred times the loss takes the same steps."""
    task = tasks.quadratic(dim=2)
    plain, scaled = (Case("q", lambda: task, (5,), loss_scale=scale) for scale in (1.0, 100.0))
    found = []
    for case, rate in ((plain, 1e-2), (scaled, 1e-4)):
        c = baselines.untuned("sgd", lambda rate=rate: baselines.optax.sgd(rate))
        job = case_jobs("s", case, [c], Budget(seeds=1, problems=3))[0]
        found.append(job.run(lambda key: {})["final"])
    np.testing.assert_allclose(*found, rtol=1e-4)


def test_stages_follow_one_another():
    """On one task throughout they are the plain trajectory, with its batches and its momentum."""
    task = tasks.classification("digits", hidden_sizes=(3,), batch_size=8)
    twice = task._replace(loss=lambda *args: 2 * task.loss(*args))
    momentum = baselines.untuned("sgd", lambda: optax.sgd(0.01, momentum=0.9))
    halves, changing = ((0.5, lambda: task), (0.5, lambda: task)), ((0.5, lambda: task), (0.5, lambda: twice))
    cases = [Case("d", lambda: task, (6,), stages=stages) for stages in ((), halves, changing)]
    jobs = [case_jobs("s", case, [momentum], Budget(seeds=1, problems=3))[0] for case in cases]
    plain, same, changed = (job.run(lambda key: {}) for job in jobs)
    np.testing.assert_array_equal(plain["steps"], range(7))
    np.testing.assert_allclose(plain["curves"], same["curves"], rtol=1e-5)
    np.testing.assert_allclose(plain["metrics"]["test_loss"], same["metrics"]["test_loss"], rtol=1e-5)
    np.testing.assert_allclose(plain["curves"][:, :3], changed["curves"][:, :3], rtol=1e-5)
    np.testing.assert_allclose(2 * plain["curves"][:, 3], changed["curves"][:, 3], rtol=1e-5)
    assert (np.abs(changed["curves"][:, 4:] / 2 - plain["curves"][:, 4:]) > 1e-4).all()
    assert "stages" not in jobs[0].settings
    assert len(jobs[1].settings["stages"]) == 2


def test_a_stage_that_rounding_empties_is_left_out():
    task = tasks.quadratic(dim=2)
    sgd = baselines.untuned("sgd", lambda: optax.sgd(0.01))
    case = Case("q", lambda: task, (6,), stages=tuple((share, lambda: task) for share in (0.5, 0.49, 0.01)))
    curves = case_jobs("s", case, [sgd], Budget(seeds=1, problems=3))[0].run(lambda key: {})["curves"]
    assert curves.shape == (3, 7)


def test_stages_that_do_not_fit_are_refused():
    task = tasks.quadratic(dim=2)
    sgd, swept = baselines.untuned("sgd", lambda: optax.sgd(0.01)), baselines.BASELINES["adam"]
    half, whole = ((0.5, lambda: task),), ((1.0, lambda: task),)
    for case, optimizer, match in (
        (Case("q", lambda: task, (6,), stages=half), sgd, r"q: stages have shares \[0.5\]"),
        (Case("q", lambda: task, (6,), stages=whole, loss_scale=2.0), sgd, "no loss_scale"),
        (Case("q", lambda: task, (6,), stages=whole), swept, "adam is a swept one"),
    ):
        with pytest.raises(ValueError, match=match):
            case_jobs("s", case, [optimizer], Budget(seeds=1, problems=3))


def test_summary_keeps_the_first_the_final_and_the_mean_loss():
    curves = np.float32([[8, 4, 2, 1, 0], [9, 5, 3, 2, np.inf]])
    kept = summary(curves, horizon=3, window=3)
    np.testing.assert_array_equal(kept["initial"], [8, 9])
    np.testing.assert_allclose(kept["final"], [1, np.inf])
    assert kept["finite"] == [True, False]
    np.testing.assert_array_equal(kept["steps"], [0, 1, 2, 3])
    np.testing.assert_allclose(kept["curves"][0], [8, 14 / 3, 7 / 3, 1], rtol=1e-6)
    np.testing.assert_allclose(kept["mean_curve"][:2], [8.5, (14 + 17) / 6], rtol=1e-6)
