"""Terminals that encode little, pipes whose readers leave, and output that stays short."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from learned_opt import cli, meta, optimizers, tasks
from learned_opt.cli.terminal import ascii_text

ASCII = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "120"}


def command(words, *, module="learned_opt.cli.main", **options):
    code = f"from {module} import main; import sys; main(sys.argv[1:])"
    return subprocess.run([sys.executable, "-c", code, *words], timeout=300, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("läuft") / "Größe"
    settings = {"horizon": 4, "truncation": 2, "num_problems": 2, "num_validation_problems": 2, "quiet": True}
    settings |= {"num_meta_steps": 4, "validate_every": 2}
    lopt = optimizers.hyperparameters("sgd", {"learning_rate": 0.01})
    meta.meta_train(lopt, tasks.quadratic(dim=2), directory=path, weights=(1.0,) * 4, **settings)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "d.csv"
    rng = np.random.default_rng(0)
    rows = [
        f"{a},{b},{'' if i > 20 else 'größer' if a > 0 else 'kleiner'}"
        for i, (a, b) in enumerate(rng.normal(size=(30, 2)))
    ]
    path.write_text("\n".join(["ä,b,c", *rows]), encoding="utf-8")
    return path


def commands(run, table):
    return {
        "evaluate": ["evaluate", str(run), "--num-problems", "2"],
        "list": ["list"],
        "watch": ["watch", str(run)],
        "predict": ["predict", str(table), "--num-orders", "2"],
        "error": ["show", "lstm-größer"],
    }


@pytest.mark.parametrize("name", ["evaluate", "list", "watch", "predict", "error"])
def test_what_ascii_lacks_is_replaced(name, run, table):
    done = command(commands(run, table)[name], env=ASCII, capture_output=True)
    text = (done.stdout + done.stderr).decode("ascii")  # all of it is
    assert done.returncode == (2 if name == "error" else 0), text
    assert "Traceback" not in text
    assert "\\x" not in text
    expected = {"evaluate": "+- s.e.", "predict": "grosser", "error": "lstm-gro"}
    assert expected.get(name, "").replace("ss", "?")[:4] in text


def test_the_users_own_choice_for_other_characters_is_kept(run):
    done = command(
        ["evaluate", str(run), "--num-problems", "2"],
        capture_output=True,
        env=ASCII | {"PYTHONIOENCODING": "ascii:xmlcharrefreplace"},
    )
    assert b"&#177; s.e." in done.stdout


def test_benchmarks_print_in_ascii():
    done = command(["list"], module="benchmarks.commands", env=ASCII, capture_output=True)
    assert done.returncode == 0
    assert done.stdout.decode("ascii")


@pytest.mark.parametrize("words", [["list"], ["train"], ["evaluate", "RUN"]])
def test_a_reader_that_leaves_ends_a_command_quietly(words, run, table):
    places = {"RUN": [str(run), "--num-problems", "2"], "TABLE": [str(table), "--num-orders", "2"]}
    words = [each for word in words for each in places.get(word, [word])]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = command(words, stdout=pipe, stderr=subprocess.PIPE)
    assert b"roken pipe" not in done.stderr
    assert b"BrokenPipe" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_report_is_written_though_nobody_reads_the_table(run, tmp_path):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        command(["evaluate", str(run), "--num-problems", "2", "--out", str(tmp_path / "r.html")], stdout=pipe)
    assert (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1 ± 0.2", "0.1 +- 0.2"),
        ("3\N{MULTIPLICATION SIGN} ∞ ⚠", "3x inf !"),
        ("┏━┳┃│└", "+-+||+"),
        ("▁⣿▖", "###"),
        ("µ—…ﬁ", "u-...fi"),
        ("日\udcff", "??"),
        ("plain", "plain"),
    ],
)
def test_replacements(text, expected):
    assert ascii_text(text) == expected


def test_many_equal_weights_are_told_in_a_line(capsys, tmp_path):
    lopt = optimizers.hyperparameters("sgd", {"learning_rate": 0.01})
    path = tmp_path / "mine.safetensors"
    from learned_opt import zoo

    settings = zoo.load("lstm-sparse-coding").config.settings
    zoo.save(path, lopt, lopt.init(None), task=tasks.quadratic(dim=2), settings=settings)
    cli.main(["show", str(path)])
    shown = json.loads(capsys.readouterr().out)
    assert shown["settings"]["estimator"]["weights"] == "[1000000.0] * 400"
    for name in ("lstm-sparse-coding", "lstm-sparse-recovery", "boolean-16"):
        cli.main(["show", name])
        text = capsys.readouterr().out
        assert len(text.splitlines()) < 70
        assert "{'name'" not in text
