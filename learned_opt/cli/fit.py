"""`learned-opt fit`: one network on data that is read from the disk, by any optimizer."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from learned_opt import datasets, reports, runs, tasks, training, zoo
from learned_opt.cli.named_optimizers import named_optimizer
from learned_opt.cli.options import parse, target
from learned_opt.core.paths import quoted
from learned_opt.datasets.streams.source import Source

VISUAL7W = "visual7w"
USAGE = """\
usage: learned-opt fit DATASET --data-dir DIR [OPTIONS]

Trains one network on data that does not fit into memory, by any optimizer, and measures it in test. DATASET
is visual7w, in the layout in which it is published, or the name of images that tensorflow-datasets keeps in
array_record files, such as imagenet2012 and imagenet_resized/64x64. With --directory the same command goes
on from the newest checkpoint, on the very batches that would have come next. Needs the extra `large`.

  learned-opt fit imagenet_resized/64x64 --data-dir DIR --network resnet18 --image-size 64
  learned-opt fit imagenet2012 --data-dir DIR --network resnet50 --num-steps 100000 --directory runs/imagenet
  learned-opt fit visual7w --data-dir DIR --kind pointing --optimizer adam --learning-rate 1e-4

`learned-opt fit DATASET --help` lists the options."""


@dataclasses.dataclass(frozen=True)
class Options(training.FitSettings):
    """Options of fit.

    Attributes:
        data_dir: of all TFDS data sets, by default TFDS_DATA_DIR or else ~/tensorflow_datasets; of visual7w
            the directory with its files.
        network: of images.
        kind: of visual7w: whether answers are told, or pointed at.
        hidden_size: of visual7w: units of the LSTM.
        image_size: pixels of a side.
        train_split: what is trained on.
        test_split: what is tested on; of images validation by default, of visual7w val.
        optimizer: one that is shipped (learned-opt list), a run or a file; or sgd, momentum, nag, rmsprop,
            adam.
        learning_rate: of a hand-made optimizer, which needs one; a factor on the updates of a learned one.
        directory: where metrics and checkpoints are stored; nowhere by default.
    """

    data_dir: Path | None = None
    network: Literal["resnet18", "resnet50"] = "resnet18"
    kind: Literal["telling", "pointing"] = "telling"
    hidden_size: int = 512
    image_size: int = 224
    train_split: str = "train"
    test_split: str | None = None
    optimizer: str = zoo.DEFAULT
    learning_rate: float | None = None
    directory: Path | None = None


FREE = ("data_dir", "directory", "num_workers")  # what may be another when a run goes on


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt fit`."""
    name, rest = target(words, USAGE)
    options = parse(Options, rest, f"learned-opt fit {name}", "Trains one network on data from the disk.")
    source, test, task = _problem(name, options)
    tx = named_optimizer(options.optimizer, options.learning_rate, options.num_steps)
    directory = None if options.directory is None else _directory(options.directory, name, options)
    print(f"{len(source):,} samples of {options.train_split}, {len(test):,} of {test.split}")
    with runs.progress(options.num_steps, f"fit {name}") as bar:
        fitted = training.fit(
            task, source, tx, options, test=test, directory=directory, on_step=lambda n, f: bar.update(n, **f)
        )
    reports.print_table(fitted.rows, title=f"{name}, {options.optimizer}")
    seen = options.num_steps * options.batch_size
    print(f"{int(fitted.state.skipped)} of {seen:,} samples could not be read and were left out")


def _problem(name: str, options: Options) -> tuple[Source, Any, tasks.StreamedTask]:
    """What is trained on, what is tested on, and the network."""
    if name == VISUAL7W:
        if options.data_dir is None:
            raise ValueError("--data-dir is missing: give the directory with dataset_v7w_telling.json")
        splits = options.train_split, options.test_split or "val"
        source, test = (
            datasets.Visual7W(options.data_dir, split, kind=options.kind, image_size=options.image_size)
            for split in splits
        )
        return source, test, tasks.question_answerer(source.num_words, hidden_size=options.hidden_size)
    splits = options.train_split, options.test_split or "validation"
    source, test = (
        datasets.LabelledImages(name, split, image_size=options.image_size, data_dir=options.data_dir)
        for split in splits
    )
    return source, test, tasks.image_classifier(options.network, source.num_classes)


def _directory(path: Path, name: str, options: Options) -> runs.RunDirectory:
    """A new run, or the one that the same command began."""
    given = {field: value for field, value in dataclasses.asdict(options).items() if field not in FREE}
    config = {"fit": name, **given}
    if not (path / "config.json").exists():
        return runs.RunDirectory.create(path, config)
    found = runs.RunDirectory.open(path)
    if other := [key for key in config if found.config.get(key) != config[key]]:
        was = ", ".join(f"{key}={found.config.get(key)!r}" for key in other)
        raise ValueError(
            f"{quoted(path)} holds another run, with {was}: give the same options, or another path"
        )
    return found
