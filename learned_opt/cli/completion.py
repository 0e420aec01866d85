"""`learned-opt completion`: names and options that a shell completes."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from learned_opt import datasets, meta, tasks, zoo
from learned_opt.cli import (
    demo,
    doctor,
    fit,
    function_learners,
    optimizers,
    predict,
    prepare_data,
    show,
    style,
    train,
    watch,
    weight_memories,
)
from learned_opt.cli.options import target
from learned_opt.core.errors import unknown_name
from learned_opt.core.kinds import KINDS
from learned_opt.meta.fields import Fields

USAGE = """\
usage: learned-opt completion {bash,zsh}

Prints what makes a shell complete commands, options, and the names of what is shipped, of recipes and of
tasks. They are those of this version: write it anew after an update.

  learned-opt completion bash > ~/.local/share/bash-completion/completions/learned-opt
  learned-opt completion zsh > ~/.learned-opt.zsh     # and in ~/.zshrc: source ~/.learned-opt.zsh"""

# zsh runs what is written for bash.
FIRST = {
    "bash": "",
    "zsh": "autoload -Uz compinit bashcompinit\n(( $+functions[compdef] )) || compinit\nbashcompinit\n",
}

SCRIPT = """\
_learned_opt() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
    local begin="" names="" options=""
    # `--option=value` is three words to bash, and one to zsh.
    if [[ "$word" == "=" ]]; then
        word=""
    elif [[ "$before" == "=" ]]; then
        before="${{COMP_WORDS[COMP_CWORD-2]}}"
    elif [[ "$word" == --*=* ]]; then
        before="${{word%%=*}}" begin="${{word%%=*}}=" word="${{word#*=}}"
    fi
    case "${{COMP_WORDS[1]}}" in
{commands}
    esac
    case "$before" in
{values}
        *)
            if [[ "$COMP_CWORD" -eq 1 ]]; then
                names="{names}"
            elif [[ "$word" == -* ]]; then
                names="--help --import --debug $options"
            elif [[ "$COMP_CWORD" -ne 2 ]]; then
                names=""
            fi ;;
    esac
    COMPREPLY=($(compgen -P "$begin" -W "$names" -- "$word"))
}}
complete -o default -F _learned_opt learned-opt
"""


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt completion`."""
    shell, _ = target(words, USAGE)
    if shell not in FIRST:
        raise unknown_name("shell", shell, FIRST)
    print(FIRST[shell] + script(), end="")


def script() -> str:
    """The function for bash that completes a word of the command line."""
    commands = _commands()
    cases = [
        f'        {name}) names="{" ".join(names)}" options="{" ".join(options)}" ;;'
        for name, (names, options) in commands.items()
    ]
    values = [f'        {option}) names="{" ".join(names)}" ;;' for option, names in _values().items()]
    return SCRIPT.format(commands="\n".join(cases), values="\n".join(values), names=" ".join(commands))


def _commands() -> dict[str, tuple[Iterable[str], Iterable[str]]]:
    """What may come after each command: names, where files are not all that it takes, and options."""
    shipped = zoo.available(None)
    in_context = [name for name, card in shipped.items() if card.config.kind != "optimizer"]
    prepared = [name for name in datasets.names() if name not in ("digits", "photographs")]
    settings = _flags(Fields.__annotations__)
    kinds = (function_learners, weight_memories)
    return {
        "demo": (["style"], _options(demo.Options, style.Options)),
        "list": ([], _options(show.Options)),
        "show": (shipped, _options(show.Options)),
        "train": (meta.RECIPES, [*_options(train.Options), *settings]),
        "resume": ([], _options(train.ResumeOptions)),
        "doctor": (meta.RECIPES, [*_options(doctor.Options), *settings]),
        "watch": ([], _options(watch.Options)),
        "evaluate": (shipped, _options(optimizers.Options, *(kind.EvaluateOptions for kind in kinds))),
        "inspect": (in_context, _options(*(kind.InspectOptions for kind in kinds))),
        "predict": ([], _options(predict.Options)),
        "fit": (("imagenet2012", "imagenet_resized/64x64", fit.VISUAL7W), _options(fit.Options)),
        "prepare-data": (prepared, _options(prepare_data.Options)),
        "completion": (FIRST, []),
    }


def _values() -> dict[str, Iterable[str]]:
    """The values of options that are names."""
    parts = {name: [f.name for f in dataclasses.fields(c)] for name, c in tasks.registry.configs.items()}
    return {
        "--task": [name for name, fields in parts.items() if not {"task", "tasks"} & {*fields}],
        "--wrap": [name for name, fields in parts.items() if "task" in fields],
        "--estimator": dict.fromkeys(name for kind in KINDS.values() for name in kind.estimators),
        "--start": zoo.available(None),
    }


def _options(*classes: Any) -> list[str]:
    fields = dict.fromkeys(field.name for one in classes for field in dataclasses.fields(one))
    return _flags("task" if name == "task_name" else name for name in fields)


def _flags(names: Iterable[str]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in names]
