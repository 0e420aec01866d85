"""`learned-opt doctor`, as a user types it."""

import dataclasses

import pytest

from learned_opt import cli, meta, optimizers, tasks

SMALL = ["--num-seeds", "2", "--num-trajectories", "2"]


@pytest.fixture(autouse=True)
def sgd(monkeypatch):
    """A recipe that compiles fast."""
    settings = meta.Settings(
        horizon=4, truncation=2, num_problems=4, num_meta_steps=4, validate_every=2, num_validation_problems=2
    )
    recipe = dataclasses.replace(
        meta.recipe("lstm-quadratic"),
        optimizer=optimizers.hyperparameters("sgd", {"learning_rate": 0.01}).config,
        task=tasks.quadratic(dim=2).config,
        settings=settings,
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


def test_a_sound_run_exits_with_status_0(capsys, tmp_path):
    run = str(tmp_path / "run")
    cli.main(["meta-train", "sgd", "--directory", run])
    cli.main(["doctor", run, *SMALL])
    out = capsys.readouterr().out
    assert "nothing found" in out
    assert "1 of 1 leaves moved" in out
