"""The commands of `python -m benchmarks`."""

from pathlib import Path

import pytest

from benchmarks.commands import main
from benchmarks.comparison import baselines
from benchmarks.harness import discovery


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
    for name in (*discovery.names(), *baselines.BASELINES, "lstm-quadratic"):
        assert name in shown
