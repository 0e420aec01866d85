"""The instrument from end to end on a tiny suite, written as a user writes one: a single file."""

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.commands import main
from benchmarks.comparison import baselines, changes
from benchmarks.comparison.report import race_sections
from benchmarks.comparison.suite import Budget, Case, case_jobs, summary
from benchmarks.harness import discovery, report, results, runner
from benchmarks.harness.suite import Job, Key, Request, Suite
from learned_opt import tasks, training

USERS_SUITE = '''
import jax.numpy as jnp
import optax

from benchmarks.comparison.baselines import solver, swept, untuned
from benchmarks.comparison.suite import Budget, Case, race
from learned_opt import tasks
from learned_opt.runs import Column

TASK = tasks.quadratic(dim=2)._replace(
    metrics=lambda params, problem, data: {"norm": jnp.sum(jnp.square(params))}
)


def newton(task, problem, batch, num_steps):
    """Zero, then the solution."""
    solution = jnp.linalg.solve(problem.w, problem.y)
    return jnp.concatenate([jnp.zeros((1, 2)), jnp.tile(solution, (num_steps, 1))])


SUITE = race(
    "mine",
    lambda size: [Case("two", lambda: TASK, horizons=(8,), summary="Two dimensions.")],
    version=3,
    summary="A user's suite.",
    budgets={size: Budget(seeds=2, problems=4, tuning_problems=4) for size in ("quick", "default", "full")},
    contenders=lambda size: (
        swept("sgd", optax.sgd),
        untuned("still", optax.set_to_zero),
        solver("newton", newton),
    ),
    metrics={"norm": Column("squared norm", best="low")},
)
'''


@pytest.fixture(scope="module")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("user") / "mine.py"
    path.write_text(USERS_SUITE)
    return path


def test_suites_side_by_side_make_the_same_cells(users_file: Path, measured: Path, tmp_path: Path):
    other = tmp_path / "other.py"
    other.write_text(users_file.read_text().replace('"mine"', '"other"'))
    sources = {"mine": str(users_file), "other": str(other)}
    chosen = [discovery.find(source) for source in sources.values()]
    out = tmp_path / "out"
    request = Request("quick", ("sgd",))
    made = runner.run(chosen, request, out, command="c", quiet=True, processes=2, sources=sources)
    assert made == 2 * 4
    assert runner.run(chosen, request, out, command="c", quiet=True, processes=2, sources=sources) == 0
    key = Key("mine", "two", "sgd", 8, 0)
    expected = results.read(results.path_of(measured, key)).result
    for name in sources:
        found = results.read(results.path_of(out, key._replace(suite=name))).result
        np.testing.assert_allclose(found["final"], expected["final"], rtol=1e-4)


@pytest.fixture(scope="module")
def measured(users_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the user's suite, to be copied by whoever changes them."""
    out = tmp_path_factory.mktemp("results")
    assert runner.run([discovery.find(str(users_file))], Request("quick"), out, command="c", quiet=True) == 10
    return out


@pytest.fixture
def directory(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "results"))


def again(users_file: Path, out: Path) -> int:
    return runner.run([discovery.find(str(users_file))], Request("quick"), out, command="c", quiet=True)


def race_file(out: Path, optimizer: str, seed: int) -> Path:
    return results.path_of(out, Key("mine", "two", optimizer, 8, seed))


def test_cells_hold_what_was_measured(directory: Path):
    cell = results.read(race_file(directory, "newton", 0))
    assert len(cell.result["final"]) == 4
    assert max(cell.result["final"]) < 1e-8
    assert np.shape(cell.result["curves"]) == (4, 9)
    # Newton is at zero first, where the loss is the squared norm of y.
    assert min(cell.result["initial"]) > 0
    assert len(cell.result["metrics"]["norm"]) == 4
    still = results.read(race_file(directory, "still", 0)).result
    np.testing.assert_array_equal(still["final"], still["initial"])
    sweep = results.read(results.path_of(directory, Key("mine", "two", "sgd", 8, None, "sweep"))).result
    assert len(sweep["learning_rates"]) >= 13
    rate = results.read(race_file(directory, "sgd", 1)).result["learning_rate"]
    assert rate == sweep["learning_rate"]
    assert {"commit", "versions", "device"} <= cell.provenance.keys()


def test_chosen_tasks_come_with_the_cells_that_they_need(tmp_path: Path):
    def key(task: str) -> Key:
        return Key("numbers", task, "x", 0, None, "number")

    jobs = [
        Job(key("one"), {}, lambda load: {"value": 1}),
        Job(key("other"), {}, lambda load: {"value": 5}),
        Job(key("two"), {}, lambda load: {"value": 2 * load(key("one"))["value"]}, needs=key("one")),
    ]
    suite = Suite("numbers", 1, "Numbers.", lambda request: jobs)
    request = Request("quick", tasks=("two",))
    assert runner.run([suite], request, tmp_path, command="c", quiet=True) == 2
    assert results.read(results.path_of(tmp_path, key("two"))).result == {"value": 2}
    assert not results.path_of(tmp_path, key("other")).exists()
    with pytest.raises(ValueError, match=r"unknown task 'tow'.*did you mean 'two'"):
        runner.run([suite], Request("quick", tasks=("tow",)), tmp_path, command="c", quiet=True)
    # The rest is made by the command without --tasks.
    assert runner.run([suite], Request("quick"), tmp_path, command="c", quiet=True) == 1


def test_finished_cells_are_not_made_again(users_file: Path, directory: Path):
    before = {p: p.stat().st_mtime_ns for p in directory.rglob("*.json") if p.name != results.SUITE_FILE}
    assert again(users_file, directory) == 0
    assert before == {p: p.stat().st_mtime_ns for p in before}


@pytest.mark.parametrize("damage", ["cut", "edited", "foreign", "other"])
def test_damaged_cell_is_said_left_out_and_made_again(
    users_file: Path, directory: Path, damage: str, capsys: pytest.CaptureFixture[str]
):
    path = race_file(directory, "still", 1)
    whole = path.read_text()
    broken = {
        "cut": whole[:-40],
        "edited": whole.replace('"final": [', '"final": [0.0, ', 1),
        "foreign": json.dumps({"loss": 1}),
        "other": race_file(directory, "still", 0).read_text(),
    }[damage]
    path.write_text(broken)
    found, problems = results.read_all(directory)
    assert len(problems) == 1
    assert path.name in problems[0]
    assert path_not_among(found, path, directory)
    assert again(users_file, directory) == 1
    assert path.name in capsys.readouterr().err
    assert results.read(path).result == results.numbers(json.loads(whole)["result"])


def path_not_among(found: list[results.Cell], path: Path, root: Path) -> bool:
    return path not in {results.path_of(root, cell.key) for cell in found}


def test_other_settings_make_a_cell_anew(directory: Path, capsys: pytest.CaptureFixture[str]):
    key = Key("mine", "two", "still", 8, 0)
    stored = results.read(results.path_of(directory, key))
    job = Job(key, {**stored.settings, "optimizer": "new weights"}, lambda load: {})
    with pytest.raises(results.CellError, match=r"other settings \(optimizer\)"):
        results.finished(directory, job)


def test_interrupted_run_goes_on_where_it_stopped(tmp_path: Path):
    made, stop = [], True

    def run(name: str, load) -> dict:
        if stop and len(made) == 2:
            raise KeyboardInterrupt
        made.append(name)
        return {"final": [1.0]}

    def plan(request: Request) -> list[Job]:
        return [
            Job(Key("s", "t", name, 1, 0), {}, lambda load, name=name: run(name, load)) for name in "abcd"
        ]

    suite = Suite("s", 1, "", plan)
    with pytest.raises(KeyboardInterrupt):
        runner.run([suite], Request(), tmp_path, command="c", quiet=True)
    stop = False
    assert runner.run([suite], Request(), tmp_path, command="c", quiet=True) == 2
    assert made == ["a", "b", "c", "d"]


def test_failed_cell_is_named_and_the_others_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def fail(load):
        raise ValueError("no memory")

    jobs = [
        Job(Key("s", "t", "bad", 1, 0), {}, fail),
        Job(Key("s", "t", "no JSON", 1, 0), {}, lambda load: {"x": object()}),
        Job(Key("s", "t", "good", 1, 0), {}, lambda load: {"x": 1}),
    ]
    suite = Suite("s", 1, "", lambda request: jobs)
    with pytest.raises(runner.Failed, match=r"2 of 3 cells.*\n.*bad.*no memory\n.*no JSON.*cannot be stored"):
        runner.run([suite], Request(), tmp_path, command="c", quiet=True)
    assert results.finished(tmp_path, jobs[2]) is not None
    assert "no memory" in capsys.readouterr().err


def test_numbers_that_are_not_finite_survive():
    values = {"a": [1.5, float("inf"), -float("inf")], "b": jnp.array([0.1, jnp.nan])}
    text = json.dumps(results.plain(values), allow_nan=False)
    back = results.numbers(json.loads(text))
    assert back["a"] == values["a"]
    assert back["b"][0] == 0.1  # the shortest decimal of the float32
    assert np.isnan(back["b"][1])


def test_report_is_drawn_from_the_files_alone(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Other numbers in the files are other numbers in the report, and nothing is run."""
    monkeypatch.setattr(training, "trajectories", None)
    monkeypatch.setattr(training, "tune", None)
    still = race_file(directory, "still", 0)
    for seed in (0, 1):
        path = race_file(directory, "still", seed)
        cell = results.read(path)
        changed = cell.result | {"final": [0.125] * 4}
        results.write(directory, Job(cell.key, cell.settings, lambda load: {}), changed, 1.0)
    assert results.read(still).result["final"] == [0.125] * 4
    out, markdown = tmp_path / "r.html", tmp_path / "r.md"
    assert report.write(directory, out, markdown, race_sections) == []
    table = markdown.read_text()
    assert "| still | **0.125** | **0.125** |" in table
    assert "squared norm" in table
    page = out.read_text()
    assert page.count("<svg") >= 3
    assert "two: loss over time" in page
    assert "UNFINISHED" not in page
    assert "two, 8 steps" in page


def test_unfinished_results_are_called_so(directory: Path, tmp_path: Path):
    race_file(directory, "still", 0).unlink()
    report.write(directory, tmp_path / "r.html", tmp_path / "r.md", race_sections)
    assert "UNFINISHED: 1 of 10" in (tmp_path / "r.html").read_text()


def test_references_are_never_the_best(directory: Path, tmp_path: Path):
    report.write(directory, tmp_path / "r.html", tmp_path / "r.md", race_sections)
    lines = (tmp_path / "r.md").read_text().splitlines()
    newton, sgd = (next(line for line in lines if line.startswith(f"| {n} |")) for n in ("newton", "sgd"))
    assert "**" not in newton
    assert "**" in sgd
    # A solver's time is measured too, and it has no state of its own.
    cost = results.read(results.path_of(directory, Key("mine", "two", "newton", 0, None, "cost"))).result
    assert cost["seconds"] > 0
    assert "state_bytes" not in cost


def test_compare_finds_what_became_worse(directory: Path, measured: Path, capsys: pytest.CaptureFixture[str]):
    assert all(row["ratio"] == 1 and not row["verdict"] for row in changes.rows(measured, directory))
    main(["compare", str(measured), str(directory)])
    assert "0 worse" in capsys.readouterr().out
    for seed in (0, 1):
        cell = results.read(race_file(directory, "still", seed))
        worse = cell.result | {"final": [1e3 + x for x in cell.result["final"]]}
        results.write(directory, Job(cell.key, cell.settings, lambda load: {}), worse, 1.0)
    verdicts = {row["optimizer"]: row["verdict"] for row in changes.rows(measured, directory)}
    assert verdicts == {"still": "worse", "sgd": "", "newton": ""}
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(measured), str(directory)])
    assert ended.value.code == 1
    assert "1 worse" in capsys.readouterr().out
    # The other way round it became better, and nothing fails.
    main(["compare", str(directory), str(measured)])


def test_results_of_another_version_or_size_are_refused(users_file: Path, directory: Path):
    suite = discovery.find(str(users_file))
    newer = Suite(suite.name, suite.version + 1, suite.summary, suite.plan)
    with pytest.raises(ValueError, match=r"version 3 of mine, and this is version 4.*--out"):
        runner.run([newer], Request("quick"), directory, command="c", quiet=True)
    with pytest.raises(ValueError, match="holds the quick size of mine, not full"):
        runner.run([suite], Request("full"), directory, command="c", quiet=True)


def test_report_of_another_version_is_refused(tmp_path: Path):
    speed = discovery.find("speed")
    record = {"suite": "speed", "suite_version": 1, "summary": "", "size": "quick", "cells": []}
    results.write_suite(tmp_path, record | {"commands": ["c"], "metrics": {}})
    with pytest.raises(ValueError, match=rf"version 1 of speed, and this is version {speed.version}.*--out"):
        report.write(tmp_path, tmp_path / "report.html", tmp_path / "results.md", race_sections)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "quadratcs"], "did you mean 'quadratics'"),
        (["run", "quadratics", "--optimizers", "adm", "--quick"], "did you mean 'adam'"),
        (["run", "quadratics", "--quick", "--full"], "one of them"),
        (["run", "quadratics", "--quick", "--seeds", "0"], "seeds=0"),
        (["run"], "which suite"),
        (["rum"], "did you mean 'run'"),
        (["run", "nowhere.py"], "no such file"),
        (["report", "nowhere"], "no such directory"),
        (["run", "objective", "--optimizers", "adam"], "meta-trains its own"),
        (["run", "estimators", "--optimizers", "adam"], "has its own optimizer"),
    ],
)
def test_errors_say_what_to_mend(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_list_names_suites_and_optimizers(capsys: pytest.CaptureFixture[str]):
    main(["list"])
    shown = capsys.readouterr().out
    for name in (*discovery.names(), *baselines.FIELD, "lstm-quadratic"):
        assert name in shown


@pytest.mark.parametrize("size", ["quick", "default", "full"])
@pytest.mark.parametrize("name", discovery.names())
def test_every_suite_plans_distinct_cells(name: str, size: str, tmp_path: Path):
    jobs = discovery.find(name).plan(Request(size))
    paths = [results.path_of(tmp_path, job.key) for job in jobs]
    assert len(set(paths)) == len(paths) > 0
    json.dumps(results.plain([dict(job.settings) for job in jobs]), allow_nan=False)
    swept = {job.key for job in jobs if job.key.part == "sweep"}
    for job in jobs:
        assert job.key.suite == name
        if job.settings.get("kind") == "swept" and job.key.part == "race":
            assert job.key._replace(seed=None, part="sweep") in swept


def test_contenders_run_where_they_suit():
    budget = Budget(seeds=1)

    def names(case: Case) -> set[str]:
        chosen = list(baselines.FIELD.values())
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


def test_summary_keeps_the_first_the_final_and_the_mean_loss():
    curves = np.float32([[8, 4, 2, 1, 0], [9, 5, 3, 2, np.inf]])
    kept = summary(curves, horizon=3, window=3)
    np.testing.assert_array_equal(kept["initial"], [8, 9])
    np.testing.assert_allclose(kept["final"], [1, np.inf])
    assert kept["finite"] == [True, False]
    np.testing.assert_array_equal(kept["steps"], [0, 1, 2, 3])
    np.testing.assert_allclose(kept["curves"][0], [8, 14 / 3, 7 / 3, 1], rtol=1e-6)
    np.testing.assert_allclose(kept["mean_curve"][:2], [8.5, (14 + 17) / 6], rtol=1e-6)
