"""`learned-opt watch`: a run's curves in the terminal and as a picture."""

import struct

import pytest

from learned_opt import cli, runs

ROWS = [
    {"step": 10 * i, "validation_loss": 2.0**-i, "adam_loss": 0.25, "meta_loss": -float(i), "seconds": 1.0}
    for i in range(1, 6)
]


@pytest.fixture
def run(tmp_path):
    directory = runs.RunDirectory.create(tmp_path / "run", {})
    with runs.MetricsWriter(directory.metrics_path) as metrics:
        for row in ROWS:
            metrics.write(**row)
    return directory


def test_a_finished_run_is_drawn_once(run, capsys):
    run.theta_path.touch()
    cli.main(["watch", str(run.path)])
    out = capsys.readouterr().out
    assert out.startswith(f"{run.path}, step 50\n")
    assert "\033" not in out  # no terminal, no colours


def test_a_running_one_until_it_is_finished(run, capsys, monkeypatch):
    later = iter([lambda: None, lambda: _append(run, 60), run.theta_path.touch])
    monkeypatch.setattr("learned_opt.cli.watch.time.sleep", lambda seconds: next(later)())
    cli.main(["watch", str(run.path)])
    out = capsys.readouterr().out
    assert [line.split()[-1] for line in out.splitlines() if ", step " in line] == ["50", "60"]


def test_before_the_first_validation_it_says_so(tmp_path, capsys, monkeypatch):
    directory = runs.RunDirectory.create(tmp_path / "run", {"settings": {"validate_every": 1000}})
    later = iter([lambda: None, lambda: _append(directory, 1000), directory.theta_path.touch])
    monkeypatch.setattr("learned_opt.cli.watch.time.sleep", lambda seconds: next(later)())
    cli.main(["watch", str(directory.path)])
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == f"{directory.path}: no validation yet; the first is at meta-step 1,000"
    assert second == f"{directory.path}, step 1,000"


def test_colours_on_a_terminal_and_none_under_no_color(run, capsys, monkeypatch):
    run.theta_path.touch()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    colours = []
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        cli.main(["watch", str(run.path)])
        colours.append("\033[3" in capsys.readouterr().out)
    assert colours == [True, False]


def _append(run, step):
    with runs.MetricsWriter(run.metrics_path) as metrics:
        metrics.write(step, validation_loss=0.5)


def test_png(run, tmp_path, capsys):
    cli.main(["watch", str(run.path), "--png", str(tmp_path / "curve.png")])
    data = (tmp_path / "curve.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data[1:4] == b"PNG"
    assert (width, height) == (1120, 780)
    assert capsys.readouterr().out.strip().endswith("curve.png")


@pytest.mark.parametrize("words", [["absent"], ["RUN", "--every", "0"]])
def test_bad_input(words, run, capsys):
    with pytest.raises(SystemExit) as e:
        cli.main(["watch", *(str(run.path) if w == "RUN" else w for w in words)])
    assert e.value.code == 2
    assert capsys.readouterr().err
