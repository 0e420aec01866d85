"""The `learned-opt` command: which subcommand, and errors without tracebacks."""

import os
import platform
import sys
import traceback
from collections.abc import Callable, Sequence

# orbax and TFDS log each step of their work through absl, glog and TensorFlow's C++ switches.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jax

from learned_opt import __version__, datasets
from learned_opt.cli import completion, demo, doctor, fit, kinds, predict, prepare_data, show, train, watch
from learned_opt.cli.common import OPTIONS, import_modules, split_common
from learned_opt.cli.options import listing
from learned_opt.cli.terminal import any_terminal
from learned_opt.core.errors import unknown_name

COMMANDS: dict[str, tuple[Callable[[Sequence[str]], None], str]] = {
    "demo": (demo.command, "meta-train on handwritten digits, compare, report; or transfer a style"),
    "list": (show.list_command, "what is shipped, the recipes and the tasks"),
    "show": (show.show_command, "the card of what is shipped, or what a run or a file holds"),
    "train": (train.command, "meta-train by recipe, with overrides"),
    "resume": (train.resume_command, "continue a run that was stopped"),
    "doctor": (doctor.command, "why a recipe or a run does not learn: what was found, and what to change"),
    "watch": (watch.command, "the curves of a run, in the terminal or as a PNG"),
    "evaluate": (kinds.evaluate_command, "what was trained, on fresh problems, beside references"),
    "inspect": (kinds.inspect_command, "what the cells of a function learner or a weight memory store"),
    "predict": (predict.command, "a binary problem of your own, learned by a weight memory"),
    "fit": (fit.command, "one network on ImageNet or Visual7W, read from the disk"),
    "prepare-data": (prepare_data.command, "build MNIST, Fashion-MNIST or CIFAR-10 once"),
    "completion": (completion.command, "what makes bash or zsh complete commands and names"),
}
ALIASES = {"meta-train": "train"}
DATA_ERRORS = (datasets.DataNotPreparedError, datasets.DataSourceError)
EXPECTED_ERRORS = (ValueError, TypeError, OSError, ImportError, FloatingPointError, *DATA_ERRORS)

USAGE = """\
usage: learned-opt COMMAND [OPTIONS]

Learned optimizers for JAX: used like any optax optimizer, meta-trained, measured.

{commands}

A first quarter of an hour:
  learned-opt list                        what is there
  learned-opt evaluate lstm-quadratic     how good it is, beside swept baselines
  learned-opt demo                        train one yourself and read the report

{options}

`learned-opt COMMAND --help` explains each, `learned-opt --version` says which version this is."""


@any_terminal()
def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; the entry point of `learned-opt`.

    Args:
        arguments: the words after `learned-opt`; those of the process by default.

    Raises:
        SystemExit: with status 2 and one line on what to mend, if the input was bad.

    Example:
        >>> main(["show", "lstm-nothing"])
        Traceback (most recent call last):
        ...
        SystemExit: 2
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        commands = listing({name: text for name, (_, text) in COMMANDS.items()})
        print(USAGE.format(commands=commands, options=OPTIONS))
        return
    if words[0] == "--version":
        print(f"learned-opt {__version__}, jax {jax.__version__}, Python {platform.python_version()}")
        return
    try:
        _run(words)
    except BrokenPipeError:
        raise
    except EXPECTED_ERRORS as e:
        if "--debug" in words:
            traceback.print_exc()
        print(f"learned-opt: {e}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("\nlearned-opt: stopped", file=sys.stderr)
        raise SystemExit(130) from None


def _run(words: Sequence[str]) -> None:
    common = split_common(words)
    name, *rest = common.words or [""]
    command = ALIASES.get(name, name)
    if command not in COMMANDS:
        raise unknown_name("command", command, COMMANDS)
    import_modules(common.modules)
    COMMANDS[command][0](rest)
