"""Reports are drawn from files alone; two result directories tell what became worse."""

import dataclasses
import types
from pathlib import Path

import pytest

from benchmarks.commands import main
from benchmarks.comparison import changes, statistics
from benchmarks.comparison import report as report_sections
from benchmarks.comparison.aggregates import PART
from benchmarks.comparison.report import sections
from benchmarks.harness import discovery, report, results
from benchmarks.harness.suite import Job, Key
from learned_opt import training
from learned_opt.reports import Column


def stored(out: Path, optimizer: str, seed: int) -> Path:
    return results.path_of(out, Key("mine", "two", optimizer, 8, seed, PART))


def test_report_is_drawn_from_the_files_alone(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Other numbers in the files are other numbers in the report, and nothing is run."""
    monkeypatch.setattr(training, "trajectories", None)
    monkeypatch.setattr(training, "tune", None)
    still = stored(directory, "still", 0)
    for seed in (0, 1):
        path = stored(directory, "still", seed)
        cell = results.read(path)
        changed = cell.result | {"final": [0.125] * 4}
        results.write(directory, Job(cell.key, cell.settings, lambda load: {}), changed, 1.0)
    assert results.read(still).result["final"] == [0.125] * 4
    out, markdown = tmp_path / "r.html", tmp_path / "r.md"
    assert report.write(directory, out, markdown, sections) == []
    table = markdown.read_text()
    assert "| still | **0.125** | **0.125** |" in table
    assert "squared norm" in table
    page = out.read_text()
    assert page.count("<svg") >= 3
    assert "two: loss over time" in page
    assert "UNFINISHED" not in page
    assert "two, 8 steps" in page


def test_unfinished_results_are_called_so(directory: Path, tmp_path: Path):
    stored(directory, "still", 0).unlink()
    report.write(directory, tmp_path / "r.html", tmp_path / "r.md", sections)
    assert "UNFINISHED: 1 of 10" in (tmp_path / "r.html").read_text()


def test_a_suite_alone_is_reported_as_among_others(directory: Path, tmp_path: Path):
    for where, name in ((directory, "all.md"), (directory / "mine", "one.md")):
        assert report.write(where, tmp_path / "r.html", tmp_path / name, sections) == []
    assert (tmp_path / "one.md").read_text() == (tmp_path / "all.md").read_text()


def test_columns_are_shown_and_explained_where_there_is_something_in_them():
    columns = report_sections.task_columns(
        [{"optimizer": "a", "loss": 1.0, "mean": 1.0, "diverged": 0.0, "errors": 0.0}],
        {"errors": Column("wrong bits"), "other": Column("of another task")},
    )
    assert [*columns] == ["optimizer", "loss", "mean", "errors"]  # no error at all is a result


def test_no_overview_of_optimizers_that_share_no_tasks(directory: Path):
    cells = results.load(directory)[1]
    apart = [c for c in cells if c.key.optimizer == "sgd"]
    other = [c for c in cells if c.key.optimizer == "still"]
    other = [dataclasses.replace(c, key=c.key._replace(task="another")) for c in other]
    made = sections([*apart, *other], {})
    assert made
    assert not any(section.heading == "Overview" for section in made)
    assert any(s.heading == "Overview" for s in sections(cells, {}))


def test_references_are_never_the_best(directory: Path, tmp_path: Path):
    report.write(directory, tmp_path / "r.html", tmp_path / "r.md", sections)
    lines = (tmp_path / "r.md").read_text().splitlines()
    newton, sgd = (next(line for line in lines if line.startswith(f"| {n} |")) for n in ("newton", "sgd"))
    assert "**" not in newton
    assert "**" in sgd
    # A solver's time is measured too, and it has no state of its own.
    cost = results.read(results.path_of(directory, Key("mine", "two", "newton", 0, None, "cost"))).result
    assert cost["seconds"] > 0
    assert "state_bytes" not in cost


def test_the_overview_has_one_denominator():
    """The best swept baseline of a task is the measure of all, of itself and of the other baselines too."""

    def measured(kind: str, loss: float):
        interval = statistics.Interval(loss, 0.9 * loss, 1.1 * loss)
        return types.SimpleNamespace(kind=kind, loss=interval, diverged=0.0, speed_up=lambda other: None)

    losses = {"adam": ("swept", 1.0), "sgd": ("swept", 4.0), "mine": ("learned", 0.5)}
    groups = {("task", 10): {name: measured(*each) for name, each in losses.items()}}
    rows = report_sections._overview_rows(groups)  # type: ignore[arg-type]
    assert [(row["optimizer"], row["wins"]) for row in rows] == [("mine", 1), ("adam", 0), ("sgd", 0)]
    assert [row["ratio"] for row in rows] == pytest.approx([0.5, 1.0, 4.0])


def test_compare_finds_what_became_worse(directory: Path, measured: Path, capsys: pytest.CaptureFixture[str]):
    assert all(row["ratio"] == 1 and not row["verdict"] for row in changes.rows(measured, directory))
    main(["compare", str(measured), str(directory)])
    assert "0 worse" in capsys.readouterr().out
    for seed in (0, 1):
        cell = results.read(stored(directory, "still", seed))
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


def test_report_of_another_version_is_refused(tmp_path: Path):
    speed = discovery.find("speed")
    record = {"suite": "speed", "suite_version": 1, "summary": "", "size": "quick", "cells": []}
    results.write_suite(tmp_path, record | {"commands": ["c"], "metrics": {}})
    with pytest.raises(ValueError, match=rf"version 1 of speed, and this is version {speed.version}.*--out"):
        report.write(tmp_path, tmp_path / "report.html", tmp_path / "results.md", sections)
