"""`learned-opt doctor`, as a user types it."""

import dataclasses
import json

import pytest

from learned_opt import cli, meta, optimizers, runs, tasks, zoo
from learned_opt.training.estimators import Bptt

SMALL = ["--num-seeds", "2", "--num-trajectories", "2"]


@pytest.fixture(autouse=True)
def sgd(monkeypatch):
    """A recipe of which nothing is run: what the doctor finds is tested elsewhere."""
    recipe = dataclasses.replace(
        meta.recipe("lstm-quadratic"),
        model=optimizers.hyperparameters("sgd", {"learning_rate": 0.01}).config,
        task=tasks.quadratic(dim=2).config,
        settings=meta.Settings(estimator=Bptt(horizon=4, truncation=2)),
    )
    monkeypatch.setitem(meta.RECIPES, "sgd", recipe)


def test_findings_are_printed_and_exit_with_status_1(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    finding = meta.Finding("not-finite", "in gradient['w'] at step 3", "a cause", "a " + 30 * "long " + "fix")
    diagnosis = meta.Diagnosis({"saturated: ['a']": "5%"}, [finding])
    monkeypatch.setattr(meta, "doctor", lambda *args, **options: diagnosis)
    with pytest.raises(SystemExit) as e:
        cli.main(["doctor", "sgd", *SMALL])
    assert e.value.code == 1
    out = capsys.readouterr().out
    for text in ("not-finite", "gradient['w'] at step 3", "a cause", "long fix", "saturated: ['a']"):
        assert text in out
    with pytest.raises(SystemExit) as e:
        cli.main(["doctor", "sgd", *SMALL, "--json"])
    assert e.value.code == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["of"], found["measured"]) == ("sgd", diagnosis.measured)
    assert found["findings"] == [finding._asdict()]


def test_overrides_reach_the_doctor(capsys, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        meta, "doctor", lambda *args, **options: seen.update(options) or meta.Diagnosis({}, [])
    )
    cli.main(["doctor", "sgd", *SMALL, "--horizon", "8", "--truncation", "4"])
    assert (seen["horizon"], seen["truncation"], seen["num_seeds"]) == (8, 4, 2)
    assert "nothing found" in capsys.readouterr().out


def test_help_and_bad_names(capsys):
    with pytest.raises(SystemExit) as e:
        cli.main(["doctor", "--help"])
    assert e.value.code == 0
    assert "usage: learned-opt doctor {RECIPE,RUN}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as e:
        cli.main(["doctor", "lstm-minst"])
    assert e.value.code == 2
    assert "did you mean 'lstm-mnist'" in capsys.readouterr().err


def test_a_run_is_told_from_a_recipe(capsys, monkeypatch, tmp_path):
    directory = tmp_path / "run"
    runs.RunDirectory.create(directory, {"kind": "optimizer"})
    seen = []

    def doctor_run(path, **options):
        seen.append((path, options))
        return meta.Diagnosis({"theta against its start": "1 of 1 leaves moved"}, [])

    monkeypatch.setattr(meta, "doctor_run", doctor_run)
    cli.main(["doctor", str(directory), *SMALL])
    assert seen == [(str(directory), {"num_seeds": 2, "num_trajectories": 2})]
    assert "1 of 1 leaves moved" in capsys.readouterr().out


def test_other_kinds_are_refused(capsys, tmp_path):
    learner = tmp_path / "learner"
    config = zoo.load("boolean-16").config.to_json()
    runs.RunDirectory.create(learner, config | {"has_validation_task": False, "start": None})
    for what in ("boolean-16", str(learner)):
        with pytest.raises(SystemExit) as e:
            cli.main(["doctor", what])
        assert e.value.code == 2
        err = capsys.readouterr().err
        assert "a function learner; doctor looks at learned optimizers alone" in err
