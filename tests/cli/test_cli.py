"""The `learned-opt` command, as a user types it."""

import dataclasses
import json
import re
import shlex
import shutil
from pathlib import Path

import chex
import pytest

from learned_opt import cli, meta, optimizers, runs, tasks, zoo
from learned_opt.cli.recipes import RecipeOptions, overridden
from learned_opt.core.kinds import KINDS
from learned_opt.meta.diagnosis.monitor import Monitor
from learned_opt.training.estimators import Bptt, Pes
from tests.cli.failing import fails

TINY = (
    "--task.dim 2 --horizon 10 --truncation 5 --num-problems 4 --num-meta-steps 4 --validate-every 2 "
    "--num-validation-problems 8 --optimizer.hidden-sizes 4"
).split()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    cli.main(["train", "lstm-quadratic", "--directory", str(path), *TINY])
    return path


WRAPPERS = {"convex_term", "gradient_noise", "mixture", "normalized_loss", "random_scaling"}
COMMANDS = (
    "demo list show train resume doctor watch evaluate inspect predict fit prepare-data completion".split()
)


def test_help_names_every_command_once(capsys):
    cli.main(["--help"])
    listed = re.findall(r"^  (\S+)  +\S", capsys.readouterr().out.split("A first quarter")[0], re.MULTILINE)
    assert listed == COMMANDS


def test_the_api_page_names_every_command():
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text().split("## learned_opt.cli")[1]
    assert re.findall(r"^\| `(\S+)` \|", page, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("command", [*COMMANDS, "meta-train"])
def test_every_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit) as e:
        cli.main([command, "--help"])
    assert e.value.code == 0
    out = capsys.readouterr().out
    assert "usage: learned-opt" in out
    assert f"  learned-opt {command.replace('meta-', '')}" in out  # an example


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("lstm-quadratic", ["--model.hidden-sizes", "--task.dim", "--horizon", "--second-order"]),
        ("boolean-16", ["--model.num-cells", "--task.num-held-out", "--length", "--num-starts"]),
        ("weight-memory", ["--model.num-hidden", "--validation-task.noise", "--batch-size", "--seed"]),
    ],
)
def test_recipe_help_shows_its_options(capsys, recipe, options):
    with pytest.raises(SystemExit) as e:
        cli.main(["train", recipe, "--help"])
    assert e.value.code == 0
    out = capsys.readouterr().out
    for option in options:
        assert option in out


def test_every_recipe_can_be_overridden_and_is_itself_without_overrides():
    for name, recipe in meta.RECIPES.items():
        assert overridden(RecipeOptions, name, [], "train")[1] == recipe
        words = ["--seed", "77", "--num-meta-steps", "9876"]
        settings = dataclasses.replace(recipe.settings, seed=77, num_meta_steps=9876)
        assert overridden(RecipeOptions, name, words, "train")[1].settings == settings


def test_the_name_of_the_kind_may_stand_for_the_model():
    for prefix in ("model", "optimizer"):
        words = [f"--{prefix}.hidden-sizes", "3", "5"]
        assert overridden(RecipeOptions, "lstm-quadratic", words, "train")[1].model.hidden_sizes == (3, 5)


def test_another_estimator_keeps_the_fields_that_both_have():
    words = ["--estimator", "pes", "--sigma", "0.3", "--truncation", "50"]
    changed = overridden(RecipeOptions, "lstm-quadratic", words, "train")[1]
    before = meta.recipe("lstm-quadratic").settings
    assert changed.settings == dataclasses.replace(
        before,
        estimator=Pes(
            sigma=0.3,
            truncation=50,
            horizon=100,
            weights="linear",
            log_floor=1e-5,
            num_validation_problems=512,
        ),
    )


def test_list_and_show(capsys):
    cli.main(["list"])
    out = capsys.readouterr().out
    shipped, recipes = out.split("Recipes", 1)
    for kind in KINDS.values():
        names = shipped.split(f"Shipped {kind.plural}")[1].split("Shipped")[0]
        assert all(f" {name} " in names for name in zoo.available(kind.name))
    recipes, named = recipes.split("Tasks: ")
    assert all(f" {name} " in recipes for name in meta.RECIPES)
    assert all(f" {name} " in named for name in tasks.registry.names() if name not in WRAPPERS)
    for name in ("lstm-quadratic", "boolean-16", "weight-memory"):
        cli.main(["show", name])
        out = capsys.readouterr().out
        assert out.startswith(f"{name}\n")
        assert "known failures" in out


def test_show_of_a_run_and_of_a_file(capsys, run):
    cli.main(["show", str(run)])
    out = capsys.readouterr().out
    assert '"num_meta_steps": 4' in out
    assert "validations: 2" in out
    cli.main(["show", str(run / "theta.safetensors")])
    config = json.loads(capsys.readouterr().out)
    assert (config["kind"], config["task"]["dim"]) == ("optimizer", 2)
    assert config["settings"]["estimator"]["horizon"] == 10


def test_json_of_list_and_show_is_whole(capsys, run):
    def shown(*words):
        cli.main([*words, "--json"])
        return json.loads(capsys.readouterr().out)

    listed = shown("list")
    assert set(listed["shipped"]["optimizers"]) == set(zoo.available())
    assert set().union(*listed["recipes"].values()) == set(meta.RECIPES)
    assert listed["default"] == zoo.DEFAULT
    assert set(listed["tasks"]) == set(tasks.registry.names()) - WRAPPERS
    assert shown("show", "lstm-sparse-coding") == zoo.available()["lstm-sparse-coding"].to_json()
    assert len(shown("show", "lstm-sparse-coding")["config"]["settings"]["estimator"]["weights"]) == 400
    stored = shown("show", str(run))
    assert (stored["config"]["task"]["dim"], stored["finished"], len(stored["metrics"])) == (2, True, 2)
    assert shown("show", str(run / "theta.safetensors"))["task"]["dim"] == 2


@pytest.mark.parametrize("name", zoo.available(None))
def test_cards_fit_eighty_columns(capsys, name):
    cli.main(["show", name])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_unknown_names_are_met_with_the_nearest(capsys):
    assert "did you mean 'evaluate'" in fails(capsys, "evalute")
    assert "did you mean 'lstm-mnist'" in fails(capsys, "show", "lstm-mnst")
    assert "did you mean 'lstm-mnist'" in fails(capsys, "train", "lstm-minst")
    assert "did you mean 'mnist'" in fails(capsys, "prepare-data", "mnit")
    assert "did you mean 'boolean-16'" in fails(capsys, "train", "boolean-61")
    assert "did you mean 'pes'" in fails(capsys, "train", "lstm-quadratic", "--estimator", "pse")
    assert "Known: sequences" in fails(capsys, "train", "boolean-16", "--estimator", "pes")
    for command in ("evaluate", "inspect", "show"):
        assert "did you mean 'weight-memory'" in fails(capsys, command, "weight-memori")


def test_meta_train_stores_what_it_was_told(run):
    config = json.loads((run / "config.json").read_text())
    text = json.dumps(config)
    assert '"dim": 2' in text
    assert '"num_meta_steps": 4' in text
    assert len(runs.read_metrics(run / "metrics.jsonl")) == 2
    assert (run / "theta.safetensors").exists()


def test_ctrl_c_leaves_a_run_that_the_command_it_names_goes_on_with(capsys, run, tmp_path, monkeypatch):
    path, checks = tmp_path / "stopped run", []

    def stopped_at_the_second(*arguments):
        checks.append(arguments)
        if len(checks) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Monitor, "check", stopped_at_the_second)
        with pytest.raises(SystemExit) as ended:
            cli.main(["train", "lstm-quadratic", "--directory", str(path), *TINY])
    assert ended.value.code == 130
    assert not (path / "theta.safetensors").exists()
    _, command = capsys.readouterr().err.split("stopped; go on with: learned-opt ")
    cli.main(shlex.split(command))
    assert (path / "theta.safetensors").read_bytes() == (run / "theta.safetensors").read_bytes()


def test_ctrl_c_in_the_demo_names_the_command_too(capsys, tmp_path, monkeypatch):
    def stopped(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(meta, "meta_train", stopped)
    with pytest.raises(SystemExit):
        cli.main(["demo", "--quick", "--directory", str(tmp_path / "run")])
    assert f"go on with: learned-opt resume {tmp_path / 'run'}" in capsys.readouterr().err


def test_a_finished_run_is_not_overwritten(capsys, run):
    before = (run / "theta.safetensors").read_bytes()
    error = fails(capsys, "train", "lstm-quadratic", "--directory", str(run), *TINY)
    assert "learned-opt resume" in error
    assert (run / "theta.safetensors").read_bytes() == before


def test_resume_of_a_finished_run_reports_it(capsys, run):
    cli.main(["resume", str(run)])
    assert "validation loss" in capsys.readouterr().out


def test_bad_settings_name_the_fix(capsys, tmp_path):
    words = ["train", "lstm-quadratic", "--directory", str(tmp_path / "new"), *TINY]
    assert "does not divide horizon=10" in fails(capsys, *words, "--truncation", "3")
    assert "horizon=-5" in fails(capsys, *words, "--horizon", "-5")


def test_a_wrapped_task_and_imitation(capsys, tmp_path):
    words = ["meta-train", "lstm-quadratic", "--directory", str(tmp_path / "new"), *TINY]  # train's old name
    assert "did you mean 'random_scaling'" in fails(capsys, *words, "--wrap", "random_scalin")
    assert "--wrap mixture: that is a task of its own" in fails(capsys, *words, "--wrap", "mixture")
    cli.main([*words, "--estimator", "imitation", "--wrap", "random_scaling", "normalized_loss"])
    task = runs.RunDirectory.open(tmp_path / "new").config["task"]
    assert [task["name"], task["task"]["name"]] == ["normalized_loss", "random_scaling"]
    assert task["task"]["task"]["dim"] == 2
    assert "validation loss" in capsys.readouterr().out


def test_starting_from_an_earlier_run(capsys, run, tmp_path):
    words = ["train", "lstm-quadratic", *TINY, "--seed", "7", "--learning-rate", "1e-12"]
    assert "no such run or file" in fails(capsys, *words, "--start", "runs/missing")
    # At such a learning rate theta stays where it started.
    cli.main([*words, "--start", str(run), "--directory", str(tmp_path / "new")])
    capsys.readouterr()
    cli.main([*words, "--directory", str(tmp_path / "fresh"), "--log-floor", "1e-8"])
    out, progress = capsys.readouterr()
    assert ", of the mean of logarithms, swept Adam's " in out
    assert "final loss by logarithms" in progress
    assert runs.RunDirectory.open(tmp_path / "new").config["start"] == str(run)
    earlier, new, fresh = (zoo.load(path).theta for path in (run, tmp_path / "new", tmp_path / "fresh"))
    chex.assert_trees_all_close(new, earlier, atol=1e-9)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(fresh, earlier, atol=1e-3)


@pytest.fixture
def chain(monkeypatch, tmp_path):
    """Two recipes, of which the second goes on from the first, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    settings = meta.Settings(
        estimator=Bptt(horizon=4, truncation=2, num_problems=2, num_validation_problems=2),
        num_meta_steps=4,
        validate_every=2,
    )
    first = dataclasses.replace(
        meta.recipe("lstm-quadratic"),
        model=optimizers.lstm(hidden_sizes=(2,)).config,
        task=tasks.quadratic(dim=2).config,
        settings=settings,
    )
    monkeypatch.setitem(meta.RECIPES, "first", first)
    monkeypatch.setitem(meta.RECIPES, "second", dataclasses.replace(first, start="first"))
    return tmp_path / "runs"


def test_an_occupied_directory_is_noticed_before_an_earlier_recipe_runs(capsys, chain):
    (chain / "second").mkdir(parents=True)
    (chain / "second" / "notes.txt").write_text("mine")
    assert "is not empty" in fails(capsys, "train", "second")
    assert not (chain / "first").exists()


def test_a_recipe_that_goes_on_from_another_runs_it_first(capsys, chain):
    cli.main(["train", "second"])
    assert "first comes first, in runs/first" in capsys.readouterr().out
    config = json.loads((chain / "second" / "config.json").read_text())
    assert '"start": "runs/first"' in json.dumps(config)
    first = (chain / "first" / "theta.safetensors").read_bytes()

    # Once it is finished it is taken as it is.
    cli.main(["train", "second", "--directory", "runs/again"])
    assert "comes first" not in capsys.readouterr().out
    assert (chain / "first" / "theta.safetensors").read_bytes() == first
    second, again = (zoo.load(chain / name / "theta.safetensors").theta for name in ("second", "again"))
    chex.assert_trees_all_equal(second, again)


def test_an_earlier_run_that_was_stopped_is_continued(capsys, chain):
    cli.main(["train", "first"])
    theta = chain / "first" / "theta.safetensors"
    before = theta.read_bytes()
    theta.unlink()  # as if it had been stopped after its last checkpoint
    cli.main(["train", "second"])
    assert "first comes first" in capsys.readouterr().out
    assert theta.read_bytes() == before


def test_evaluate_a_run_and_write_a_report(capsys, run, tmp_path):
    report = tmp_path / "report.html"
    words = f"--num-problems 4 --out {report}".split()
    cli.main(["evaluate", str(run), *words])
    out = capsys.readouterr().out
    cli.main(["evaluate", str(run), "--num-problems", "4", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["task"]["dim"], found["num_steps"], found["num_problems"]) == (2, 10, 4)
    assert {"run", "adam"} < {row["optimizer"] for row in found["rows"]}
    for name in ("sgd", "momentum", "nag", "rmsprop", "adam"):
        assert name in out
    assert "x that of the best swept baseline" in out
    # The task and the horizon are those that it was trained on.
    assert "Loss at step 10, 4 fresh problems of quadratic(dim=2)" in out
    trained = "Trained on quadratic(dim=2), for 10 steps; measured on quadratic(dim=2), at step 10."
    assert trained in out
    assert "learned-opt evaluate" in report.read_text()


def test_a_file_without_a_task_is_measured_on_the_one_that_is_named(capsys, run, tmp_path):
    stored = zoo.load(run)
    path = tmp_path / "mine.safetensors"
    zoo.save(path, stored.model, stored.theta)
    assert "name a task to measure it on: --task NAME" in fails(capsys, "evaluate", str(path))
    words = ["evaluate", str(path), "--task"]
    assert "did you mean 'quadratic'" in fails(capsys, *words, "quadratc")
    assert "--task mixture: that wraps other tasks" in fails(capsys, *words, "mixture")
    assert "--wrap quadratic: that is a task of its own" in fails(
        capsys, *words, "quadratic", "--wrap", "quadratic"
    )
    noisy = ["--wrap", "gradient_noise", "--task.deviation", "0.5", "--task.task.dim", "3"]
    cli.main([*words, "quadratic", *noisy, "--num-steps", "5", "--num-problems", "4"])
    assert "measured on gradient_noise(task=quadratic(dim=3), deviation=0.5)" in capsys.readouterr().out
    cli.main([*words, "quadratic", "--task.dim", "3", "--num-steps", "5", "--num-problems", "4"])
    out, progress = capsys.readouterr()
    assert "Loss at step 5, 4 fresh problems of quadratic(dim=3)" in out
    assert "Trained on a task that the file does not name, for a number of steps that" in out
    assert "measured on quadratic(dim=3), at step 5." in out
    assert progress.startswith("comparing with swept baselines 0/6 (0%)  running mine\n")
    told = {"task": tasks.quadratic(dim=2), "settings": {"horizon": 7}}
    zoo.save(path, stored.model, stored.theta, overwrite=True, **told)
    cli.main(["evaluate", str(path), "--num-problems", "2"])
    assert "Loss at step 7, 2 fresh problems of quadratic(dim=2)" in capsys.readouterr().out


def test_an_unfinished_run_is_called_so_whichever_way_it_is_named(capsys, run, tmp_path):
    path = Path(shutil.copytree(run, tmp_path / "copy"))
    (path / "theta.safetensors").unlink()
    for what in (path, path / "theta.safetensors"):
        error = fails(capsys, "evaluate", str(what))
        assert f"{path} is not finished; go on with: learned-opt resume {path}" in error
    assert "no weight file" in fails(capsys, "show", str(path / "other.safetensors"))


def test_numbers_out_of_range_are_refused_at_once(capsys, run):
    for words, message in (
        ("--num-steps -5", "learned-opt: num_steps=-5: it must be at least 1\n"),
        ("--num-steps 0", "learned-opt: num_steps=0: it must be at least 1\n"),
        ("--learning-rate nan", "learning_rate=nan: it must be a finite number"),
    ):
        assert message in fails(capsys, "evaluate", str(run), *words.split())


def test_inspect_of_an_optimizer_says_what_there_is_instead(capsys):
    assert "learned-opt evaluate lstm-mnist" in fails(capsys, "inspect", "lstm-mnist")


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
