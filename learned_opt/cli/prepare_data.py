"""`learned-opt prepare-data`: builds a data set once."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from learned_opt import datasets
from learned_opt.cli.options import parse, target

USAGE = """\
usage: learned-opt prepare-data {mnist,fashion_mnist,cifar10} [--manual-dir DIR]

Builds a data set once, through tensorflow-datasets and without TensorFlow. It is stored where
tensorflow-datasets keeps its data: ~/tensorflow_datasets, or $TFDS_DATA_DIR.

  learned-opt prepare-data mnist"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of prepare-data.

    Attributes:
        manual_dir: a directory that holds the original .gz files; nothing is downloaded then.
    """

    manual_dir: Path | None = None


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt prepare-data`."""
    name, rest = target(words, USAGE)
    options = parse(Options, rest, f"learned-opt prepare-data {name}", "Builds a data set once.")
    path = datasets.prepare(name, manual_dir=options.manual_dir)
    print(f"{name} is prepared in {path}")
