"""What the commands do for each kind of thing that is meta-trained, and those that ask no more than the kind.

A new kind is a row here and a module, with `evaluate(what, words)` and `inspect(what, words)` of something
stored, and `after_training(run)`, what there is to say of a finished run.
"""

from collections.abc import Sequence

from learned_opt import zoo
from learned_opt.cli import function_learners, optimizers, weight_memories
from learned_opt.cli.options import target

COMMANDS_OF = {
    "optimizer": optimizers,
    "function learner": function_learners,
    "weight memory": weight_memories,
}

EVALUATE_USAGE = """\
usage: learned-opt evaluate {NAME,RUN,FILE} [OPTIONS]

Measures what is shipped (see `learned-opt list`), the result of a run, or a .safetensors file on problems
that it has not seen: an optimizer beside SGD, momentum, NAG, RMSprop and Adam with swept learning rates, a
function learner beside the Bayes-optimal predictor, a weight memory on fresh data sets.

  learned-opt evaluate lstm-quadratic
  learned-opt evaluate lstm-mnist --num-steps 200 --task.hidden-sizes 40
  learned-opt evaluate lstm-mnist --task.dataset digits --out report.html
  learned-opt evaluate mine.safetensors --task quadratic --task.dim 30
  learned-opt evaluate boolean-16 --length 1000

`learned-opt evaluate NAME --help` lists the options with their values for NAME."""

INSPECT_USAGE = """\
usage: learned-opt inspect {NAME,RUN,FILE} [OPTIONS]

Takes a function learner or a weight memory apart: what its cells store, in the terminal and as a report.

  learned-opt inspect boolean-16
  learned-opt inspect weight-memory --num-train 50

`learned-opt inspect NAME --help` lists the options."""


def evaluate_command(words: Sequence[str]) -> None:
    """Runs `learned-opt evaluate`."""
    what, rest = target(words, EVALUATE_USAGE)
    COMMANDS_OF[zoo.load(what).kind].evaluate(what, rest)


def inspect_command(words: Sequence[str]) -> None:
    """Runs `learned-opt inspect`."""
    what, rest = target(words, INSPECT_USAGE)
    COMMANDS_OF[zoo.load(what).kind].inspect(what, rest)
