"""The `learned-opt` command, as a user types it."""

import dataclasses
import json

import chex
import pytest

from learned_opt import cli, meta, optimizers, runs, tasks, zoo

TINY = (
    "--task.dim 2 --horizon 10 --truncation 5 --num-problems 4 --num-meta-steps 4 --validate-every 2 "
    "--num-validation-problems 8 --optimizer.hidden-sizes 4"
).split()


def fails(capsys, *words: str) -> str:
    """What a bad command prints; it exits with status 2 and shows no traceback."""
    with pytest.raises(SystemExit) as e:
        cli.main(words)
    assert e.value.code == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    cli.main(["meta-train", "lstm-quadratic", "--directory", str(path), *TINY])
    return path


def test_help_names_every_command(capsys):
    cli.main(["--help"])
    out = capsys.readouterr().out
    for name in ("demo", "meta-train", "resume", "watch", "evaluate", "list", "show", "prepare-data"):
        assert f"\n  {name} " in out


@pytest.mark.parametrize("command", ["demo", "evaluate", "meta-train", "resume", "show", "list", "watch"])
def test_every_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit) as e:
        cli.main([command, "--help"])
    assert e.value.code == 0
    assert "usage: learned-opt" in capsys.readouterr().out


def test_recipe_help_shows_its_values(capsys):
    with pytest.raises(SystemExit) as e:
        cli.main(["meta-train", "lstm-quadratic", "--help"])
    assert e.value.code == 0
    out = capsys.readouterr().out
    assert "--task.dim" in out
    assert "--horizon" in out


def test_list_and_show(capsys):
    cli.main(["list"])
    out = capsys.readouterr().out
    assert "lstm-mnist" in out
    cli.main(["show", "lstm-quadratic"])
    assert "known failures" in capsys.readouterr().out


def test_unknown_names_are_met_with_the_nearest(capsys):
    assert "did you mean 'evaluate'" in fails(capsys, "evalute")
    assert "did you mean 'lstm-mnist'" in fails(capsys, "show", "lstm-mnst")
    assert "did you mean 'lstm-mnist'" in fails(capsys, "meta-train", "lstm-minst")
    assert "did you mean 'mnist'" in fails(capsys, "prepare-data", "mnit")


def test_meta_train_stores_what_it_was_told(run):
    config = json.loads((run / "config.json").read_text())
    text = json.dumps(config)
    assert '"dim": 2' in text
    assert '"num_meta_steps": 4' in text
    assert len(runs.read_metrics(run / "metrics.jsonl")) == 2
    assert (run / "theta.safetensors").exists()


def test_a_finished_run_is_not_overwritten(capsys, run):
    before = (run / "theta.safetensors").read_bytes()
    error = fails(capsys, "meta-train", "lstm-quadratic", "--directory", str(run), *TINY)
    assert "learned-opt resume" in error
    assert (run / "theta.safetensors").read_bytes() == before


def test_resume_of_a_finished_run_reports_it(capsys, run):
    cli.main(["resume", str(run)])
    assert "validation loss" in capsys.readouterr().out


def test_bad_settings_name_the_fix(capsys, tmp_path):
    words = ["meta-train", "lstm-quadratic", "--directory", str(tmp_path / "new"), *TINY]
    assert "does not divide horizon=10" in fails(capsys, *words, "--truncation", "3")
    assert "horizon=-5" in fails(capsys, *words, "--horizon", "-5")


def test_a_wrapped_task_and_imitation(capsys, tmp_path):
    words = ["meta-train", "lstm-quadratic", "--directory", str(tmp_path / "new"), *TINY]
    assert "did you mean 'random_scaling'" in fails(capsys, *words, "--wrap", "random_scalin")
    assert "--wrap mixture: that is a task of its own" in fails(capsys, *words, "--wrap", "mixture")
    cli.main([*words, "--estimator", "imitation", "--wrap", "random_scaling", "normalized_loss"])
    task = runs.RunDirectory.open(tmp_path / "new").config["task"]
    assert [task["name"], task["task"]["name"]] == ["normalized_loss", "random_scaling"]
    assert task["task"]["task"]["dim"] == 2
    assert "validation loss" in capsys.readouterr().out


def test_starting_from_an_earlier_run(capsys, run, tmp_path):
    words = ["meta-train", "lstm-quadratic", "--directory", str(tmp_path / "new"), *TINY]
    assert "no such run or file" in fails(capsys, *words, "--start", "runs/missing")
    # Steps of no size: theta is still the earlier run's, and not what another seed begins with.
    cli.main([*words, "--start", str(run), "--seed", "1", "--learning-rate", "1e-12"])
    assert runs.RunDirectory.open(tmp_path / "new").config["start"] == str(run)
    stored, earlier = (zoo.load(path / "theta.safetensors").theta for path in (tmp_path / "new", run))
    chex.assert_trees_all_close(stored, earlier, rtol=0, atol=1e-7)


@pytest.fixture
def chain(monkeypatch, tmp_path):
    """Two recipes, of which the second goes on from the first, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    settings = meta.Settings(
        horizon=4, truncation=2, num_problems=2, num_meta_steps=4, validate_every=2, num_validation_problems=2
    )
    first = dataclasses.replace(
        meta.recipe("lstm-quadratic"),
        optimizer=optimizers.lstm(hidden_sizes=(2,)).config,
        task=tasks.quadratic(dim=2).config,
        settings=settings,
    )
    monkeypatch.setitem(meta.RECIPES, "first", first)
    monkeypatch.setitem(meta.RECIPES, "second", dataclasses.replace(first, start="first"))
    return tmp_path / "runs"


def test_an_occupied_directory_is_noticed_before_an_earlier_recipe_runs(capsys, chain):
    (chain / "second").mkdir(parents=True)
    (chain / "second" / "notes.txt").write_text("mine")
    assert "is not empty" in fails(capsys, "meta-train", "second")
    assert not (chain / "first").exists()


def test_a_recipe_that_goes_on_from_another_runs_it_first(capsys, chain):
    cli.main(["meta-train", "second"])
    assert "first comes first, in runs/first" in capsys.readouterr().out
    config = json.loads((chain / "second" / "config.json").read_text())
    assert '"start": "runs/first"' in json.dumps(config)
    first = (chain / "first" / "theta.safetensors").read_bytes()

    # Once it is finished it is taken as it is.
    cli.main(["meta-train", "second", "--directory", "runs/again"])
    assert "comes first" not in capsys.readouterr().out
    assert (chain / "first" / "theta.safetensors").read_bytes() == first
    second, again = (zoo.load(chain / name / "theta.safetensors").theta for name in ("second", "again"))
    chex.assert_trees_all_equal(second, again)


def test_an_earlier_run_that_was_stopped_is_continued(capsys, chain):
    cli.main(["meta-train", "first"])
    theta = chain / "first" / "theta.safetensors"
    before = theta.read_bytes()
    theta.unlink()  # as if it had been stopped after its last checkpoint
    cli.main(["meta-train", "second"])
    assert "first comes first" in capsys.readouterr().out
    assert theta.read_bytes() == before


def test_evaluate_a_run_and_write_a_report(capsys, run, tmp_path):
    report = tmp_path / "report.html"
    words = f"--num-steps 5 --num-problems 4 --out {report}".split()
    cli.main(["evaluate", str(run), *words])
    out = capsys.readouterr().out
    for name in ("sgd", "momentum", "nag", "rmsprop", "adam"):
        assert name in out
    assert "x that of the best swept baseline" in out
    assert "learned-opt evaluate" in report.read_text()


def test_a_damaged_weight_file_is_refused(capsys, run, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    data = bytearray((run / "theta.safetensors").read_bytes())
    data[-3] ^= 1
    damaged.write_bytes(data)
    assert str(damaged) in fails(capsys, "evaluate", str(damaged))


def test_demo_quick(capsys, tmp_path):
    path = tmp_path / "demo"
    cli.main(["demo", "--quick", "--dataset", "digits", "--directory", str(path)])
    out = capsys.readouterr().out
    assert "digits" in out
    assert "again:    learned-opt demo --dataset digits --seed 0 --quick" in out
    report = (path / "report.html").read_text()
    assert "<svg" in report
    assert "Meta-training" in report
