"""`learned-opt doctor`, as a user types it."""

import pytest

from learned_opt import cli

TINY = (
    "--optimizer.inputs log_sign --optimizer.hidden-sizes 3 --optimizer.output-scale 1e-9 --task.hidden-sizes 2 "
    "--horizon 4 --truncation 2 --num-problems 2 --num-seeds 2 --num-trajectories 2"
).split()


def test_findings_are_printed_and_exit_with_status_1(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as e:
        cli.main(["doctor", "demo-digits", *TINY])
    assert e.value.code == 1
    out = capsys.readouterr().out
    assert "steps-too-small" in out
    assert "output_scale=" in out


def test_help_and_bad_names(capsys):
    with pytest.raises(SystemExit) as e:
        cli.main(["doctor", "--help"])
    assert e.value.code == 0
    assert "usage: learned-opt doctor {RECIPE,RUN}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as e:
        cli.main(["doctor", "lstm-minst"])
    assert e.value.code == 2
    assert "did you mean 'lstm-mnist'" in capsys.readouterr().err


def test_a_sound_run_exits_with_status_0(capsys, tmp_path):
    tiny = (
        "--optimizer.hidden-sizes 4 --task.dim 2 --horizon 10 --truncation 5 --num-problems 8 "
        "--num-meta-steps 4 --validate-every 2 --num-validation-problems 8"
    ).split()
    run = str(tmp_path / "run")
    cli.main(["meta-train", "lstm-quadratic", "--directory", run, *tiny])
    cli.main(["doctor", run, "--num-seeds", "2", "--num-trajectories", "4"])
    assert "nothing found" in capsys.readouterr().out
