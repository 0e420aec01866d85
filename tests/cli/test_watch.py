"""A run's curves in the terminal and as a picture, and its events for TensorBoard."""

import struct
from typing import NamedTuple

import pytest

from learned_opt import cli, reports, runs

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


def test_terminal_curves_name_the_last_numbers():
    text = reports.terminal_curves(ROWS, title="mine", width=70)
    assert text.startswith("mine\n")
    assert "validation loss 0.03125" in text
    assert "tuned Adam 0.25" in text
    assert "meta-loss -5" in text
    assert "gradient norm" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_not_finite_is_left_out():
    rows = [*ROWS, {"step": 60, "validation_loss": None}, {"step": 70, "validation_loss": float("inf")}]
    assert "validation loss 0.03125" in reports.terminal_curves(rows, title="mine")
    with pytest.raises(ValueError, match="no metrics"):
        reports.terminal_curves([], title="mine")


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


def test_events_for_tensorboard(tmp_path):
    directory = runs.RunDirectory.create(tmp_path / "run", {})
    for first in (1, 3):  # the second time as a resumed run
        with runs.history(directory, State(0)) as h:
            for step in (first, first + 1):
                h.add(State(step), {"loss": 1.0 / step, "nothing": None})
    assert scalars(directory.tensorboard_path) == [
        (step, "loss", pytest.approx(1 / step)) for step in (1, 2, 3, 4)
    ]


class State(NamedTuple):
    step: int


def scalars(directory):
    """All scalars in the event files of a directory, the oldest file first."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(directory.iterdir()):
        data, place = path.read_bytes(), 0
        while place < len(data):  # length, checksum, event, checksum
            (length,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + length])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            place += length + 16
    return found
