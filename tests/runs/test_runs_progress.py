"""Progress: a bar on a terminal, few lines in a log."""

import io
import re
import sys

import pytest

from learned_opt.runs import progress
from learned_opt.runs.progress import duration


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    # The package's attribute of this name is the function, not the module.
    monkeypatch.setattr(sys.modules["learned_opt.runs.progress"], "time", clock)
    return clock


def test_log_has_few_lines_with_rate_and_time_left(clock):
    log = io.StringIO()
    with progress(1000, "meta-training", stream=log) as bar:
        for done in range(0, 1001, 10):
            bar.update(done, meta_loss=done / 3, best=None, note="ok", count=2)
            clock.now += 0.25
    lines = log.getvalue().splitlines()
    assert lines[0] == "meta-training 0/1,000 (0%)  meta-loss 0  note ok  count 2"
    assert lines[1] == (
        "meta-training 400/1,000 (40%)  meta-loss 133.3  note ok  count 2  40 steps/s  15s left"
    )
    assert lines[-1].startswith("meta-training 1,000/1,000 (100%)  meta-loss 333.3")
    assert "left" not in lines[-1]
    assert len(lines) == 4


def test_time_before_the_first_update_does_not_count(clock):
    log = io.StringIO()
    with progress(100, "resumed", stream=log, interval=0.0) as bar:
        clock.now += 60.0  # compilation
        bar.update(90)
        clock.now += 1.0
        bar.update(95)
    assert log.getvalue() == "resumed 90/100 (90%)\nresumed 95/100 (95%)  5 steps/s  1s left\n"


def test_last_update_is_printed_once_even_after_an_error(clock):
    log = io.StringIO()

    def failing_job():
        with progress(10, "job", stream=log, unit="files") as bar:
            for done in (1, 2, 3):
                bar.update(done)
                clock.now += 1.0
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing_job()
    assert log.getvalue() == "job 1/10 (10%)\njob 3/10 (30%)  1 files/s  7s left\n"
    log = io.StringIO()
    with progress(10, "job", stream=log) as bar:
        bar.update(10)
    assert log.getvalue() == "job 10/10 (100%)\n"


def test_quiet_and_unused_print_nothing():
    for terminal in (io.StringIO(), Terminal()):
        with progress(10, "job", stream=terminal, quiet=True) as bar:
            bar.update(5, loss=1.0)
        with progress(10, "job", stream=terminal):
            pass
        assert terminal.getvalue() == ""


def test_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "110")
    terminal = Terminal()
    with progress(10, "meta [bold]training", stream=terminal) as bar:
        bar.update(5, meta_loss=0.12345)
        bar.update(10, meta_loss=0.5)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    last = text.rstrip().splitlines()[-1]
    assert last.startswith("meta [bold]training")
    assert "━" in last
    assert "100% meta-loss 0.5" in last
    assert len(last.rsplit("\r", 1)[-1]) <= 110


def test_dumb_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    with progress(4, "job", stream=terminal) as bar:
        bar.update(4)
    assert terminal.getvalue() == "job 4/4 (100%)\n"


def test_standard_error_is_the_default(capsys):
    with progress(4, "job") as bar:
        bar.update(4)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "job 4/4 (100%)\n")


def test_total_is_checked():
    with pytest.raises(ValueError, match="a total of at least 1, got 0"), progress(0, "job"):
        pass


def test_durations_have_their_two_largest_units():
    assert [duration(seconds) for seconds in (5.2, 192, 3600 * 26)] == ["5s", "3m 12s", "1d 2h"]
