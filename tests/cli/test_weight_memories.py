"""The commands for weight memories, as a user types them; `predict` is tested with the function."""

import json
import re
import shutil

import numpy as np
import pytest

from learned_opt import cli, in_context, reports, runs, zoo

TINY = (
    "--model.num-inputs 2 --model.num-hidden 4 --model.learner-sizes 8 --task.num-inputs 2 "
    "--task.num-samples 20 --validation-task.num-inputs 2 --validation-task.num-samples 20 --min-train 5 "
    "--max-train 15 --num-meta-steps 4 --warmup-steps 1 --validate-every 2 --batch-size 2 "
    "--num-validation-datasets 8"
).split()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "memory"
    cli.main(["train", "weight-memory", "--directory", str(path), *TINY])
    return path


def test_train_stores_what_it_was_told(run):
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["model"]["num_hidden"] == 4
    assert config["validation_task"]["noise"] == 1.5
    assert config["settings"]["estimator"]["max_train"] == 15
    assert len(runs.read_metrics(run / "metrics.jsonl")) == 2
    assert zoo.load(run).config.model.learner_sizes == (8,)


def test_evaluate_has_one_pass_and_the_mean_of_orders(run, capsys):
    cli.main(["evaluate", str(run), "--num-datasets", "20", "--num-orders", "3"])
    shown, progress = capsys.readouterr()
    assert "test samples of 20 data sets of " in shown
    assert "predicting fresh data sets 2/2 (100%)" in progress
    one, several = re.search(r"one pass +(\S+)", shown), re.search(r"over 3 orders +(\S+)", shown)
    assert one
    assert several
    # A mean of probabilities has at most the mean of their cross entropies, data set by data set.
    assert 0 < float(several[1]) < float(one[1]) + 0.05

    cli.main(["evaluate", str(run), "--num-datasets", "20", "--num-orders", "3", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [f"{row['mean']:.4f}" for row in found["rows"]] == [one[1], several[1]]

    stored = zoo.load(run)
    data, num_train = in_context.comparison_datasets(stored, 20, seed=1000)
    losses = in_context.memory_losses(stored.model, stored.theta, data, num_train, seed=1000)
    assert float(one[1]) == pytest.approx(float(np.mean(losses)), abs=1e-4)


def test_inspect_writes_the_report(run, capsys):
    cli.main(["inspect", str(run), "--num-train", "10"])
    assert f"report: {run / 'report.html'}" in capsys.readouterr().out
    report = reports.read_report(run / "report.html")
    assert "num_hidden=4" in report["summary"]
    assert all(section["heading"] for section in report["sections"])


def test_resume_goes_on(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "memory")
    shutil.rmtree(tmp_path / "memory" / "checkpoints" / "step_000000004")
    (tmp_path / "memory" / "theta.safetensors").unlink()
    cli.main(["resume", str(tmp_path / "memory")])
    assert "validation loss" in capsys.readouterr().out
    again = (tmp_path / "memory" / "theta.safetensors").read_bytes()
    assert again == (run / "theta.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["evaluate", "weight-memory", "--num-orders", "0"], "num_orders=0: it must be at least 1"),
        (["evaluate", "weight-memori"], "did you mean 'weight-memory'"),
        (["train", "weight-memory", "--outer-optimizer", "sgd"], "invalid choice 'sgd'"),
        (["train", "weight-memory", "--min-train", "30", "--max-train", "20"], "min_train=30"),
    ],
)
def test_bad_input_is_met_with_what_to_do(words, match, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as e:
        cli.main([*words])
    assert e.value.code == 2
    assert match in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_predict_takes_weight_memories_alone(capsys, tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("a,b,y\n1,2,no\n2,1,yes\n3,3,no\n1,1,\n")
    with pytest.raises(SystemExit) as e:
        cli.main(["predict", str(data), "--weights", "lstm-mnist"])
    assert e.value.code == 2
    assert "lstm-mnist is of another kind: optimizer" in capsys.readouterr().err
