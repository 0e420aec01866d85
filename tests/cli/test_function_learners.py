"""The commands for function learners, as a user types them."""

import json
import re
import shutil

import pytest

from learned_opt import cli, reports, runs, zoo
from tests.cli.failing import fails

TINY = (
    "--length 8 --validation-length 8 --num-meta-steps 4 --warmup-steps 1 --validate-every 2 --batch-size 2 "
    "--num-validation-sequences 4 --model.num-cells 2"
).split()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    cli.main(["train", "boolean-14", "--directory", str(path), *TINY])
    return path


def test_train_stores_what_it_was_told(run):
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["model"]["num_cells"] == [2]
    assert config["task"]["num_held_out"] == 3
    assert config["settings"]["num_meta_steps"] == 4
    assert config["settings"]["estimator"]["length"] == 8
    assert len(runs.read_metrics(run / "metrics.jsonl")) == 2
    assert zoo.load(run).config.model.num_cells == (2,)


def test_evaluate_has_the_limit_and_what_was_held_out(run, capsys, tmp_path):
    out = tmp_path / "report.html"
    words = ["--num-sequences", "40", "--seeds", "2", "--length", "64", "--out", str(out)]
    cli.main(["evaluate", str(run), *words])
    shown = capsys.readouterr().out
    assert "held out" in shown
    assert "on boolean(num_functions=14, num_held_out=3)" in shown
    assert "2 x 40 fresh sequences" in " ".join(shown.split())
    cli.main(["evaluate", str(run), *words[:-2], "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["length"], found["task"]["num_held_out"]) == (64, 3)
    assert [row["functions"] for row in found["rows"]] == ["training", "held out"]
    (errors, training) = reports.read_report(out)["sections"]
    assert [row["functions"] for row in errors["rows"]] == ["training", "held out"]
    assert errors["rows"][1]["bayes_mse"] == pytest.approx(0.0148, rel=0.2)
    assert errors["rows"][1]["bayes_accuracy"] == pytest.approx(0.972, abs=0.01)
    assert training["heading"] == "Meta-training"


def test_evaluate_on_other_functions_and_on_several_in_a_row(run, capsys, tmp_path):
    out = tmp_path / "report.html"
    words = ["--task", "quadratic", "--num-functions", "3", "--length", "16", "--num-sequences", "20"]
    cli.main(["evaluate", str(run), *words, "--seeds", "1", "--out", str(out)])
    shown = " ".join(capsys.readouterr().out.split())
    assert "3 functions in a row, the state kept from each to the next" in shown
    (row,) = reports.read_report(out)["sections"][0]["rows"]
    assert row["functions"] == "quadratic"
    assert row["bayes_mse"] < row["mean_mse"] < row["mse"]
    assert "did you mean 'quadratic'" in fails(capsys, "evaluate", str(run), "--task", "quadratics")


def test_inspect_prints_the_account_and_writes_the_report(run, capsys):
    cli.main(["inspect", str(run)])
    shown = capsys.readouterr().out
    assert shown.startswith("cell 1 ")
    assert "\ncell 2 " in shown
    assert (
        "\na linear readout of all cells finds the answers to the four pairs with a held-out R^2 of" in shown
    )
    headings = [section["heading"] for section in reports.read_report(run / "report.html")["sections"]]
    assert headings == [
        *("The account", "What cells hold", "Without each unit", "Weights"),
        *("All cells together", "Who writes and who reads", "Over time"),
    ]


def test_resume_goes_on(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step_000000004")
    (tmp_path / "run" / "theta.safetensors").unlink()
    cli.main(["resume", str(tmp_path / "run")])
    # 4 steps of 2 sequences, each of 4 functions, where an epoch is 100 of one function.
    assert re.search(
        r"validation loss \S+ after 0 epochs\nnext: learned-opt evaluate", capsys.readouterr().out
    )
    assert (tmp_path / "run" / "theta.safetensors").read_bytes() == (run / "theta.safetensors").read_bytes()


@pytest.mark.parametrize("command", ["train", "evaluate", "inspect"])
def test_everything_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as e:
        cli.main([command, "boolean-14", "--help"])
    assert e.value.code == 0
    assert f"usage: learned-opt {command} boolean-14" in capsys.readouterr().out


def test_bad_input_is_met_with_the_nearest(run, capsys, tmp_path):
    assert "did you mean 'inspect'" in fails(capsys, "inspct", "x")
    assert "seeds=0: it must be at least 1" in fails(capsys, "evaluate", "boolean-14", "--seeds", "0")
    assert "length=0: it must be at least 1" in fails(capsys, "evaluate", "boolean-14", "--length", "0")
    assert "did you mean 'boolean-16'" in fails(capsys, "train", "boolean-61")
    assert "holds a run already" in fails(capsys, "train", "boolean-14", "--directory", str(run), *TINY)
    assert "weight 'nothing'" in fails(capsys, "evaluate", "nothing")
    assert "target='recall'" in fails(
        capsys, "train", "quadratic", "--directory", str(tmp_path / "x"), "--target", "recall", *TINY
    )

    stored = zoo.load(run)
    zoo.save(tmp_path / "bare.safetensors", stored.model, stored.theta)
    for command in ("evaluate", "inspect"):
        error = fails(capsys, command, str(tmp_path / "bare.safetensors"))
        assert "does not say what the function learner was trained on" in error
