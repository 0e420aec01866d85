import errno
import json
import re
import shutil
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import learned_opt
from learned_opt import LearnedOptimizer, optimizers, runs, tasks
from learned_opt.meta import Run, meta_train, resume
from learned_opt.meta.job import open_run
from learned_opt.meta.starts import first_state

LOPT = optimizers.lstm(hidden_sizes=(4,))
TASK = tasks.quadratic(dim=2)
TINY = {
    "horizon": 6,
    "truncation": 3,
    "num_problems": 4,
    "num_meta_steps": 8,
    "validate_every": 2,
    "num_validation_problems": 4,
    "steps_per_call": 2,
    "quiet": True,
}


def assert_same_result(one: Run, other: Run):
    """Bit for bit in all but the seconds that it took."""
    chex.assert_trees_all_equal(one.theta, other.theta)
    chex.assert_trees_all_equal(one.last_theta, other.last_theta)
    assert one.validation_loss == other.validation_loss
    assert one.adam_loss == other.adam_loss
    without_time = [[{**row, "seconds": None} for row in run.metrics] for run in (one, other)]
    assert without_time[0] == without_time[1]


def test_validations_take_the_mean_that_meta_training_does():
    """Adam's loss is a validation too, and does not depend on theta."""
    settings = {**TINY, "num_meta_steps": 1, "validate_every": 1, "num_validation_problems": 16}
    plain, logs, high = (
        meta_train(LOPT, TASK, log_floor=floor, **settings).adam_loss for floor in (None, 1e-6, 1e3)
    )
    # The geometric mean is below the arithmetic one, and near it where the floor is far above the losses.
    assert logs < 0.9 * plain
    assert high == pytest.approx(plain, rel=0.05)


def test_meta_training_learns():
    run = meta_train(
        optimizers.lstm(hidden_sizes=(8,)),
        TASK,
        horizon=10,
        truncation=5,
        num_problems=32,
        num_meta_steps=150,
        validate_every=50,
        learning_rate=3e-2,
        quiet=True,
    )
    assert run.validation_loss < 0.3  # 2 before the first step, 0.43 for swept Adam
    assert run.validation_loss < 0.7 * run.adam_loss
    assert run.validation_loss == pytest.approx(min(row["validation_loss"] for row in run.metrics))
    assert [row["step"] for row in run.metrics] == [50, 100, 150]
    assert run.directory is None

    # It holds on problems of another seed, for the transformation that a user would make of it.
    tx = optimizers.lstm(hidden_sizes=(8,)).build(run.theta)
    curves = learned_opt.evaluate(tx, TASK, num_steps=10, num_problems=256, seed=11)
    assert curves[:, 0].mean() > 1.8
    assert curves[:, -1].mean() < 0.4


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Run:
    return meta_train(LOPT, TASK, directory=tmp_path_factory.mktemp("runs") / "run", **TINY)


@pytest.fixture
def copy(undisturbed: Run, tmp_path: Path) -> Path:
    """A copy of the finished run's directory, to be disturbed."""
    return shutil.copytree(undisturbed.directory, tmp_path / "copy")


def test_same_seed_same_theta(undisturbed: Run):
    assert_same_result(meta_train(LOPT, TASK, **TINY), undisturbed)
    other = meta_train(LOPT, TASK, seed=1, **TINY)
    assert not np.allclose(other.last_theta["linear"]["w"], undisturbed.last_theta["linear"]["w"])
    assert other.adam_loss != undisturbed.adam_loss


def test_best_theta_is_the_one_that_validated_best(tmp_path: Path):
    settings = TINY | {"learning_rate": 0.1}  # too large to end with the best
    run = meta_train(LOPT, TASK, directory=tmp_path / "run", **settings)
    losses = [row["best_loss"] for row in run.metrics]
    best = np.argmin([row["validation_loss"] for row in run.metrics])
    assert best < len(losses) - 1
    assert losses == sorted(losses, reverse=True)
    assert run.validation_loss == losses[-1] == losses[best]

    directory = runs.RunDirectory.open(tmp_path / "run")
    like = first_state(open_run(directory))
    _, state = runs.Checkpoints(directory.checkpoints_path).restore(like, run.metrics[best]["step"])
    chex.assert_trees_all_equal(run.theta, state.theta)
    # Validation has no part in training.
    short = meta_train(LOPT, TASK, **settings | {"validate_every": 8})
    chex.assert_trees_all_equal(short.last_theta, run.last_theta)


def test_directory_holds_all_of_the_run(undisturbed: Run):
    directory = runs.RunDirectory.open(undisturbed.directory)
    assert directory.config["model"]["hidden_sizes"] == [4]
    assert directory.config["task"] == {
        "name": "quadratic",
        "dim": 2,
        "condition_number": None,
        "start_deviation": 0.01,
    }
    assert directory.config["settings"]["num_meta_steps"] == 8
    assert runs.read_metrics(directory.metrics_path) == undisturbed.metrics
    assert [row["step"] for row in undisturbed.metrics] == [2, 4, 6, 8]
    stored = learned_opt.load(directory.theta_path)
    assert stored.config.model == LOPT.config
    assert stored.config.task == TASK.config
    assert stored.config.to_json()["settings"] == directory.config["settings"]
    chex.assert_trees_all_equal(stored.theta, undisturbed.theta)


def test_directory_of_another_run_is_not_touched(copy: Path):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(runs.RunError, match="holds a run already"):
        meta_train(LOPT, TASK, directory=copy, **TINY)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_finished_run_is_returned_as_it_is(undisturbed: Run, copy: Path):
    assert_same_result(resume(copy, quiet=True), undisturbed)


def test_resumed_from_an_older_checkpoint(undisturbed: Run, copy: Path):
    newest = sorted((copy / "checkpoints").iterdir())[-1]
    shutil.rmtree(newest)
    assert_same_result(resume(copy, quiet=True), undisturbed)
    assert [row["step"] for row in runs.read_metrics(copy / "metrics.jsonl")] == [2, 4, 6, 8]


def test_resumed_without_any_checkpoint(undisturbed: Run, copy: Path):
    shutil.rmtree(copy / "checkpoints")
    assert_same_result(resume(copy, quiet=True), undisturbed)


def test_damaged_checkpoint_is_passed_over_with_a_warning(undisturbed: Run, copy: Path):
    newest = sorted((copy / "checkpoints").iterdir())[-1]
    largest = max((p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    with pytest.warns(UserWarning, match=rf"{newest.name}.*Going on from .*step_000000006"):
        run = resume(copy, quiet=True)
    assert_same_result(run, undisturbed)


def test_full_disk_ends_the_run_which_goes_on_once_there_is_space(
    undisturbed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(path: Path):
        if "step_000000006" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(runs.checkpoints, "sync", full)
        with pytest.raises(OSError, match=r"no space left .* step 6; .*\[2, 4\] are intact"):
            meta_train(LOPT, TASK, directory=tmp_path / "run", **TINY)
    assert_same_result(resume(tmp_path / "run", quiet=True), undisturbed)


@pytest.mark.parametrize("estimator", ["full", "pes", "nres"])
def test_every_kind_of_estimator_state_is_resumed(tmp_path: Path, estimator: str):
    """In the middle of trajectories at random phases; with the backward pass there are none."""
    lopt = optimizers.hyperparameters("sgd", {"learning_rate": 0.01})
    settings = {k: v for k, v in TINY.items() if estimator != "full" or k != "truncation"}
    settings |= {"estimator": estimator, "num_meta_steps": 4}
    settings |= {} if estimator == "full" else {"random_phases": True}
    run = meta_train(lopt, TASK, directory=tmp_path / "run", **settings)
    shutil.rmtree(sorted((tmp_path / "run" / "checkpoints").iterdir())[-1])
    assert_same_result(resume(tmp_path / "run", quiet=True), run)
    assert run.last_theta["learning_rate"] != np.float32(np.log(0.01))


def test_run_without_a_name_is_resumed_with_what_it_was_made_of(tmp_path: Path):
    def half(learning_rate):
        return optax.sgd(0.5 * learning_rate)

    lopt = optimizers.hyperparameters(half, {"learning_rate": 0.1})
    task = TASK._replace(config=None)
    run = meta_train(lopt, task, directory=tmp_path / "run", **TINY)
    with pytest.raises(ValueError, match=r"model was made from something without a name.*model=\.\.\."):
        resume(tmp_path / "run", quiet=True)
    with pytest.raises(ValueError, match=r"task was made from something without a name.*task=\.\.\."):
        resume(tmp_path / "run", model=lopt, quiet=True)
    assert_same_result(resume(tmp_path / "run", model=lopt, task=task, quiet=True), run)


def test_a_validation_task_without_a_name_is_asked_for(tmp_path: Path):
    other = tasks.quadratic(dim=2, start_deviation=1.0)._replace(config=None)
    run = meta_train(LOPT, TASK, validation_task=other, directory=tmp_path / "run", **TINY)
    with pytest.raises(ValueError, match=r"validation_task was made from something without a name"):
        resume(tmp_path / "run", quiet=True)
    shutil.rmtree(sorted((tmp_path / "run" / "checkpoints").iterdir())[-1])
    assert_same_result(resume(tmp_path / "run", validation_task=other, quiet=True), run)
    # Theta is selected on the other task, and trained on the same.
    plain = meta_train(LOPT, TASK, **TINY)
    chex.assert_trees_all_equal(run.last_theta, plain.last_theta)
    assert run.validation_loss > 3 * plain.validation_loss


def test_no_run_no_resumption(tmp_path: Path):
    with pytest.raises(runs.RunError, match="is no directory"):
        resume(tmp_path / "absent", quiet=True)


def test_configuration_of_another_run_is_refused(copy: Path):
    """A checkpoint of another optimizer does not become this one's."""
    with pytest.raises(runs.CheckpointError, match="checkpoint"):
        resume(copy, model=optimizers.lstm(hidden_sizes=(5,)), quiet=True)


# What theta may and may not depend on.


def test_test_images_do_not_influence_theta():
    task = tasks.classification("digits", hidden_sizes=(3,), batch_size=8)
    settings = TINY | {"num_meta_steps": 4, "num_problems": 2, "num_validation_problems": 2}
    data = task.data
    changed = data._replace(test_images=255 - data.test_images, test_labels=(data.test_labels + 1) % 10)
    run = meta_train(LOPT, task, **settings)
    assert_same_result(meta_train(LOPT, task._replace(data=changed), **settings), run)
    training = data._replace(labels=(data.labels + 1) % 10)
    other = meta_train(LOPT, task._replace(data=training), **settings)
    assert other.validation_loss != run.validation_loss


def sometimes_without_derivative() -> LearnedOptimizer:
    """SGD whose update, though not its value, has no derivative where a gradient is large."""

    def build(theta, *, num_steps=None):
        def update(gradients, state, params=None, **extra_args):
            # The root's derivative is infinite at 0.
            large = jnp.abs(gradients).max() > 4.0
            zero = 0.0 * jnp.sqrt(jnp.where(large, 0.0 * theta, 1.0))
            return -jnp.exp(theta) * gradients + zero, state

        return optax.GradientTransformationExtraArgs(lambda params: (), update)

    return LearnedOptimizer(lambda key: jnp.float32(-3), build)


def test_meta_gradients_that_are_not_finite_are_skipped_and_counted(capsys):
    settings = TINY | {"num_problems": 1, "num_meta_steps": 20, "quiet": False}
    run = meta_train(sometimes_without_derivative(), TASK, **settings)
    skipped = [row["skipped"] for row in run.metrics]
    assert 0 < skipped[-1] < 20
    assert skipped == sorted(skipped)
    assert f"  skipped {skipped[-1]}  " in capsys.readouterr().err.splitlines()[-1]
    assert np.isfinite(run.last_theta)
    assert run.last_theta != -3  # the others count


def test_never_a_finite_validation_is_an_error():
    task = TASK._replace(loss=lambda x, problem, batch: jnp.sum(x) * jnp.nan, config=None)
    with pytest.raises(FloatingPointError, match="never finite; `learned-opt doctor`"):
        meta_train(LOPT, task, **TINY)


def test_meta_step_is_compiled_once_for_each_number_of_steps(caplog):
    settings = TINY | {"num_meta_steps": 12, "validate_every": 5, "steps_per_call": 2}
    with jax.log_compiles():
        meta_train(optimizers.lstm(hidden_sizes=(3,)), TASK, **settings)
    compiled = [r.getMessage() for r in caplog.records if "Compiling" in r.getMessage()]
    assert len([m for m in compiled if re.search(r"meta_steps", m)]) == 2  # of 2 steps and of 1
    assert len([m for m in compiled if re.search(r"_trajectories", m)]) <= 4  # two builds, a sweep


def test_metrics_are_json(undisturbed: Run):
    for row in undisturbed.metrics:
        assert json.loads(json.dumps(row, allow_nan=False)) == row
        assert row["skipped"] == 0
        assert row["adam_loss"] == undisturbed.adam_loss
        assert row["gradient_norm"] > 0
