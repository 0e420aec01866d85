"""Shell completion, as bash and zsh do it."""

import re
import shutil
import subprocess

import pytest

from learned_opt import cli, meta, tasks, zoo
from learned_opt.cli import completion
from learned_opt.cli.main import COMMANDS

ASK = """
while read -ra words; do
    COMP_WORDS=(learned-opt "${words[@]//_/}") COMP_CWORD=${#words[@]}
    _learned_opt
    echo "${COMPREPLY[*]}"
done"""

# A terminal with zsh in it: keys go in, a tab completes, and ^X shows the line and takes it away.
ZSHRC = """
PS1=
show() { print -r -- "<$BUFFER>"; BUFFER=; zle -R }
zle -N show
bindkey '^X' show
"""
TERMINAL = """
zmodload zsh/zpty
zpty shell "TERM=dumb ZDOTDIR=$PWD zsh -d -i"
while read -r words; do
    zpty -n -w shell "learned-opt $words"$'\t\x18'
    zpty -r shell seen '*<*>'
    print -r -- "$seen"
done"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_names_and_options(capsys):
    cli.main(["completion", "bash"])
    script = capsys.readouterr().out
    asked = {  # an underscore is an empty word
        "_": list(COMMANDS),
        "ev": ["evaluate"],
        "show _": list(zoo.available(None)),
        "train _": list(meta.RECIPES),
        "evaluate lstm-m": ["lstm-mnist"],
        "evaluate general --task vae": ["vae"],
        "evaluate general --task = va": ["vae"],  # as bash has --task=va
        "train general --estimator =": list(completion._values()["--estimator"]),
        "train general --seed = 3": [],
        "evaluate general --jso": ["--json"],
        "train general --num-meta": ["--num-meta-steps"],
        "train general --wrap c": ["convex_term"],
        "train general --estimator p": ["pes"],
        "resume runs/": [],  # files
        "completion z": ["zsh"],
    }
    asking = "\n".join(asked) + "\n"
    done = subprocess.run(
        ["bash", "-c", script + ASK], input=asking, capture_output=True, text=True, check=True
    )
    assert [line.split() for line in done.stdout.splitlines()] == list(asked.values())


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh_completes_commands_names_options_and_files(tmp_path, capsys):
    cli.main(["completion", "zsh"])
    (tmp_path / ".zshrc").write_text(capsys.readouterr().out + ZSHRC)
    (tmp_path / "theta.safetensors").touch()
    asked = {
        "ev": "evaluate ",
        "evaluate lstm-m": "evaluate lstm-mnist ",
        "evaluate general --task va": "evaluate general --task vae ",
        "evaluate general --task=va": "evaluate general --task=vae ",
        "evaluate general --jso": "evaluate general --json ",
        "evaluate the": "evaluate theta.safetensors ",
        "train general --estimator p": "train general --estimator pes ",
        "show dnc-q": "show dnc-quadratic ",
        "show no-such": "show no-such",
    }
    done = subprocess.run(
        ["zsh", "-f", "-c", TERMINAL],
        input="\n".join(asked) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert re.findall("<learned-opt (.*)>", done.stdout) == list(asked.values())


def test_the_script_knows_every_command_and_task(capsys):
    assert list(completion._commands()) == list(COMMANDS)
    cli.main(["completion", "zsh"])
    script = capsys.readouterr().out
    assert script.startswith("autoload -Uz compinit bashcompinit")
    (names,) = (line for line in script.splitlines() if line.strip().startswith("--task)"))
    whole = {name for name in tasks.registry.names() if f"{name} " in names.replace('"', " ")}
    assert set(tasks.registry.names()) - whole == {
        "convex_term",
        "gradient_noise",
        "mixture",
        "normalized_loss",
        "random_scaling",
    }


def test_an_unknown_shell(capsys):
    with pytest.raises(SystemExit):
        cli.main(["completion", "bsh"])
    assert "unknown shell 'bsh'; did you mean 'bash'" in capsys.readouterr().err
