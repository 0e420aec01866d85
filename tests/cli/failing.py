"""What a bad command prints."""

import pytest

from learned_opt import cli


def fails(capsys, *words: str) -> str:
    """The errors of a command that exits with status 2; it shows no traceback."""
    with pytest.raises(SystemExit) as e:
        cli.main(words)
    assert e.value.code == 2
    return capsys.readouterr().err
