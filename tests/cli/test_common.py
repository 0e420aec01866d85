"""What every command takes."""

import platform

import pytest

from learned_opt import __version__, cli
from learned_opt.cli.common import split_common
from tests.cli.failing import fails


def test_the_version(capsys):
    cli.main(["--version"])
    assert f"learned-opt {__version__}, jax " in (out := capsys.readouterr().out)
    assert platform.python_version() in out


def test_errors_are_a_paragraph_and_their_traceback_is_asked_for(capsys):
    error = fails(capsys, "show", "nosuch")
    assert error.startswith("learned-opt: unknown shipped weight 'nosuch'")
    assert error.count("\n") == 1
    error = fails(capsys, "show", "nosuch", "--debug")
    assert error.startswith("Traceback")
    assert error.splitlines()[-1].startswith("learned-opt: unknown shipped weight 'nosuch'")


def test_the_common_options_stand_anywhere():
    assert split_common("--debug show --import=a.py run --import b".split()) == (
        ["show", "run"],
        ["a.py", "b"],
    )
    with pytest.raises(ValueError, match="--import needs a module"):
        split_common(["list", "--import"])
