"""The instrument from end to end on a tiny suite: cells are made once, whole, and again where damaged."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.comparison.aggregates import PART
from benchmarks.harness import discovery, results, runner
from benchmarks.harness.suite import Job, Key, Request, Suite


def stored(out: Path, optimizer: str, seed: int) -> Path:
    return results.path_of(out, Key("mine", "two", optimizer, 8, seed, PART))


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
    key = Key("mine", "two", "sgd", 8, 0, PART)
    expected = results.read(results.path_of(measured, key)).result
    for name in sources:
        found = results.read(results.path_of(out, key._replace(suite=name))).result
        np.testing.assert_allclose(found["final"], expected["final"], rtol=1e-4)


def again(users_file: Path, out: Path) -> int:
    return runner.run([discovery.find(str(users_file))], Request("quick"), out, command="c", quiet=True)


def test_cells_hold_what_was_measured(directory: Path):
    cell = results.read(stored(directory, "newton", 0))
    assert len(cell.result["final"]) == 4
    assert max(cell.result["final"]) < 1e-8
    assert np.shape(cell.result["curves"]) == (4, 9)
    # Newton is at zero first, where the loss is the squared norm of y.
    assert min(cell.result["initial"]) > 0
    assert len(cell.result["metrics"]["norm"]) == 4
    still = results.read(stored(directory, "still", 0)).result
    np.testing.assert_array_equal(still["final"], still["initial"])
    sweep = results.read(results.path_of(directory, Key("mine", "two", "sgd", 8, None, "sweep"))).result
    assert len(sweep["learning_rates"]) >= 13
    rate = results.read(stored(directory, "sgd", 1)).result["learning_rate"]
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
    # A pattern stands for all that it fits.
    request = Request("quick", tasks=("o*",))
    assert runner.run([suite], request, tmp_path / "new", command="c", quiet=True) == 2
    assert not results.path_of(tmp_path / "new", key("two")).exists()


INDEPENDENT = """
import os
import subprocess
import sys
import time

from benchmarks.harness.suite import Job, Key, Suite


def job(task, part):
    return Job(Key("alone", task, "x", 0, None, part), {}, lambda load: {"process": os.getpid()})


JOBS = [job(task, part) for task in ("one", "two") for part in ("first", "second")]
SUITE = Suite("alone", 1, "Tasks that need nothing of each other.", lambda request: JOBS, independent=True)
"""


def test_independent_tasks_of_a_suite_go_to_processes_of_their_own(tmp_path: Path):
    path = tmp_path / "alone.py"
    path.write_text(INDEPENDENT)
    suite, out = discovery.find(str(path)), tmp_path / "out"
    sources = {"alone": str(path)}
    made = runner.run([suite], Request("quick"), out, command="c", quiet=True, processes=2, sources=sources)
    assert made == 4
    cells, problems = results.read_all(out, out)
    assert len(cells) == 4
    assert not problems
    assert os.getpid() not in {cell.result["process"] for cell in cells}


def test_finished_cells_are_not_made_again(users_file: Path, directory: Path):
    before = {p: p.stat().st_mtime_ns for p in directory.rglob("*.json") if p.name != results.SUITE_FILE}
    assert again(users_file, directory) == 0
    assert before == {p: p.stat().st_mtime_ns for p in before}


@pytest.mark.parametrize("damage", ["cut", "edited", "foreign", "other"])
def test_damaged_cell_is_said_left_out_and_made_again(
    users_file: Path, directory: Path, damage: str, capsys: pytest.CaptureFixture[str]
):
    path = stored(directory, "still", 1)
    whole = path.read_text()
    broken = {
        "cut": whole[:-40],
        "edited": whole.replace('"final": [', '"final": [0.0, ', 1),
        "foreign": json.dumps({"loss": 1}),
        "other": stored(directory, "still", 0).read_text(),
    }[damage]
    path.write_text(broken)
    found, problems = results.read_all(directory, directory)
    assert len(problems) == 1
    assert path.name in problems[0]
    assert path_not_among(found, path, directory)
    assert again(users_file, directory) == 1
    assert path.name in capsys.readouterr().err
    assert results.read(path).result == results.numbers(json.loads(whole)["result"])


def path_not_among(found: list[results.Cell], path: Path, root: Path) -> bool:
    return path not in {results.path_of(root, cell.key) for cell in found}


def test_other_settings_make_a_cell_anew(directory: Path, capsys: pytest.CaptureFixture[str]):
    key = Key("mine", "two", "still", 8, 0, PART)
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
            Job(Key("s", "t", name, 1, 0, "number"), {}, lambda load, name=name: run(name, load))
            for name in "abcd"
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
        Job(Key("s", "t", "bad", 1, 0, "number"), {}, fail),
        Job(Key("s", "t", "no JSON", 1, 0, "number"), {}, lambda load: {"x": object()}),
        Job(Key("s", "t", "good", 1, 0, "number"), {}, lambda load: {"x": 1}),
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


def test_results_of_another_version_or_size_are_refused(users_file: Path, directory: Path):
    suite = discovery.find(str(users_file))
    newer = Suite(suite.name, suite.version + 1, suite.summary, suite.plan)
    with pytest.raises(ValueError, match=r"version 3 of mine, and this is version 4.*--out"):
        runner.run([newer], Request("quick"), directory, command="c", quiet=True)
    with pytest.raises(ValueError, match="holds the quick size of mine, not full"):
        runner.run([suite], Request("full"), directory, command="c", quiet=True)


PARENT = """\
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor

from benchmarks.harness import runner

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(1, context, runner._end_with_the_parent)
    print(executor.submit(os.getpid).result(), flush=True)
    executor.submit(time.sleep, 600)
    time.sleep(600)
"""


def test_a_killed_run_takes_its_workers_with_it(tmp_path: Path):
    (tmp_path / "parent.py").write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    parent = subprocess.Popen(
        [sys.executable, "parent.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        os.kill(worker, 0)  # it is there
        parent.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail(f"process {worker} is still there")
