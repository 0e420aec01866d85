"""`learned-opt in-context`, as a user types it."""

import json
import shutil

import pytest

from learned_opt import cli, in_context, reports, runs

TINY = (
    "--length 8 --validation-length 8 --num-steps 4 --warmup-steps 1 --validate-every 2 --batch-size 2 "
    "--num-validation-sequences 4 --learner.num-cells 2"
).split()


def fails(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as e:
        cli.main(["in-context", *words])
    assert e.value.code == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    words = ["in-context", "train", "boolean-14", "--directory", str(path), *TINY]
    cli.main(words)
    return path


def test_train_stores_what_it_was_told(run):
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["learner"]["num_cells"] == [2]
    assert config["family"]["num_held_out"] == 3
    assert config["settings"]["num_steps"] == 4
    assert len(runs.read_metrics(run / "metrics.jsonl")) == 2
    assert in_context.load_learner(run).learner.config.num_cells == (2,)


def test_evaluate_has_the_limit_and_what_was_held_out(run, capsys, tmp_path):
    out = tmp_path / "report.html"
    words = ["--num-sequences", "40", "--seeds", "2", "--length", "64", "--out", str(out)]
    cli.main(["in-context", "evaluate", str(run), *words])
    shown = capsys.readouterr().out
    assert "held out" in shown
    (errors, training) = reports.read_report(out)["sections"]
    assert [row["functions"] for row in errors["rows"]] == ["training", "held out"]
    assert errors["rows"][1]["bayes_mse"] == pytest.approx(0.0148, rel=0.2)
    assert errors["rows"][1]["bayes_accuracy"] == pytest.approx(0.972, abs=0.01)
    assert training["heading"] == "Meta-training"


def test_inspect_prints_the_account_and_writes_the_report(run, capsys):
    cli.main(["in-context", "inspect", str(run)])
    shown = capsys.readouterr().out
    assert shown.startswith("cell 1 ")
    assert "\ncell 2 " in shown
    headings = [section["heading"] for section in reports.read_report(run / "report.html")["sections"]]
    assert headings == ["The account", "What cells hold", "Without each unit", "Weights"]


def test_resume_goes_on(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step_000000004")
    (tmp_path / "run" / "theta.safetensors").unlink()
    cli.main(["resume", str(tmp_path / "run")])
    assert "validation loss" in capsys.readouterr().out
    assert (tmp_path / "run" / "theta.safetensors").read_bytes() == (run / "theta.safetensors").read_bytes()


@pytest.mark.parametrize(
    "words", [["--help"], ["train", "--help"], ["evaluate", "-h"], ["inspect", "--help"]]
)
def test_everything_explains_itself(words, capsys):
    with pytest.raises(SystemExit) as e:
        cli.main(["in-context", *words])
    assert e.value.code == 0
    assert "usage: learned-opt in-context" in capsys.readouterr().out


def test_bad_input_is_met_with_the_nearest(run, capsys, tmp_path):
    assert "did you mean 'inspect'" in fails(capsys, "inspct", "x")
    assert "did you mean 'boolean-16'" in fails(capsys, "train", "boolean-61")
    assert "holds a run already" in fails(capsys, "train", "boolean-14", "--directory", str(run), *TINY)
    assert "learner 'nothing'" in fails(capsys, "evaluate", "nothing")
    assert "aim='recall'" in fails(
        capsys, "train", "quadratic", "--directory", str(tmp_path / "x"), "--aim", "recall", *TINY
    )
