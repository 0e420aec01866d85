"""The deep networks that the proposal names: the default optimizer beside hand-made ones with swept rates."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.comparison import report
from benchmarks.comparison.baselines import BASELINES, Optimizer, learned
from benchmarks.comparison.suite import Budget, Case, comparison
from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Suite
from benchmarks.suites.deep import held_out, levels
from learned_opt import datasets, tasks
from learned_opt.core.types import Task
from learned_opt.reports import Column, Section

SWEPT = ("adam", "adamw-cosine", "nag", "rmsprop")
LEARNED = ("general", "general:decay")
CHEAP = ("autoencoder", "physics")  # on which the quick size has all optimizers, to save compilation
STEPS = {"quick": 60, "default": 1000, "full": 5000}
WINDOW = 9  # steps that a loss of minibatches is averaged over
BUDGETS = {
    "quick": Budget(seeds=1, problems=1, tuning_problems=1, costs=False),
    "default": Budget(seeds=3, problems=1, tuning_problems=1, rates=9, chunk=1),
    "full": Budget(seeds=3, problems=1, tuning_problems=1, rates=9, chunk=1),
}
METRICS = {
    "test_loss": Column("test loss", best="low", digits=3),
    "test_accuracy": Column("test accuracy", best="high", digits=4),
    "bit_errors": Column("wrong bits", best="low", digits=3),
    "bit_errors_at_twice": Column("wrong bits at twice the length", best="low", digits=3),
    "bit_errors_at_twice_with_room": Column("the same with twice the slots", best="low", digits=3),
    "exact_answers": Column("exact answers", best="high", digits=3),
    "relative_error": Column("error of the solution", best="low", digits=3),
    "content_loss": Column("content", best="low", digits=3),
    "style_loss": Column("style", best="low", digits=3),
}
SMALL: dict[str, dict[str, Any]] = {  # what the quick size changes, so that it takes minutes
    "dnc-copy": {
        "num_bits": 2, "max_length": 2, "batch_size": 4, "hidden_size": 8, "num_slots": 4, "word_size": 4,
    },
    "neural-programmer": {"num_rows": 4, "width": 8, "batch_size": 8},
    "character-lstm": {"hidden_size": 16, "width": 8, "length": 8, "batch_size": 4},
    "transformer": {"hidden_size": 16, "width": 8, "num_layers": 1, "length": 8, "batch_size": 4},
    "conv": {"dataset": "digits", "conv_channels": (4, 8), "batch_size": 16},
    "resnet": {"dataset": "digits", "widths": (4, 8), "stride": 1, "batch_size": 16, "augment": False},
    "autoencoder": {"batch_size": 16},
    "vae": {"dataset": "digits", "hidden_sizes": (16,), "num_latents": 2, "batch_size": 16},
    "physics": {"hidden_sizes": (8,), "num_inside": 16, "num_frequencies": 1},
    "style": {"size": 16},
}  # fmt: skip


def deep(name: str = "deep", *, images: str | None = None, text: str | None = None) -> Suite:
    """The suite, on images and a text of one's own where they are given.

    Args:
        name: of the suite; another one than `"deep"` where the data is another.
        images: what the conv net, the residual network and the VAE are trained on: a data set by its name, or
            an .npz file as `datasets.load` takes it. CIFAR-10 by default, MNIST or digits where it is not
            prepared.
        text: a file for the character models; the documentation of Python's standard library by default.
    """
    suite = comparison(
        name,
        functools.partial(cases, images=images, text=text),
        version=1,
        summary="A network with an external memory, the Neural Programmer, character models, conv nets, "
        "autoencoders, a differential equation and style transfer: the default optimizer beside swept "
        "hand-made ones, in training and in test.",
        budgets=BUDGETS,
        optimizers=optimizers,
        metrics=METRICS,
        independent=True,
    )
    # Levels are those of the suite's own data and sizes.
    return dataclasses.replace(suite, sections=_sections) if name == "deep" else suite


def _sections(cells: Sequence[Cell]) -> list[Section]:
    default_size = [cell for cell in cells if cell.key.horizon != STEPS["quick"]]
    return [*levels.section(default_size, METRICS), *report.sections(cells, METRICS)]


def optimizers(size: str) -> tuple[Optimizer, ...]:
    names = LEARNED[:1] if size == "quick" else LEARNED
    return (*(BASELINES[name] for name in SWEPT), *map(learned, names))


def cases(size: str, *, images: str | None = None, text: str | None = None) -> list[Case]:
    """The same for the same arguments; tasks are made when they are planned."""
    dataset, shown = _images(images)
    if size == "quick":
        dataset, shown = "digits", "scikit-learn's digits"
    characters = functools.partial(held_out.characters, text=text, batch_size=16)
    described: dict[str, tuple[str, Callable[..., Task], dict[str, Any]]] = {
        "dnc-copy": ("A Differentiable Neural Computer copies symbols of bits.", tasks.copy, {}),
        "neural-programmer": ("Questions on tables with one column.", tasks.neural_programmer, {}),
        "character-lstm": (
            "The next character, by an LSTM.",
            functools.partial(characters, network="lstm"),
            {"width": 16, "hidden_size": 64, "length": 32},
        ),
        "transformer": (
            "The next character, by two blocks of causal attention.",
            functools.partial(characters, network="attention"),
            {"width": 32, "hidden_size": 64, "num_layers": 2, "length": 32},
        ),
        "conv": (
            f"A conv net on {shown}.",
            tasks.classification,
            {
                "dataset": dataset,
                "hidden_sizes": (),
                "conv_channels": (8, 16, 32),
                "activation": "relu",
                "batch_size": 64,
            },
        ),
        "resnet": (
            f"A residual network of eight layers on {shown}, moved and mirrored.",
            tasks.resnet,
            {"dataset": dataset, "widths": (8, 16, 32), "stride": 2, "augment": True},
        ),
        "autoencoder": ("Digits through six numbers.", held_out.autoencoder, {}),
        "vae": (
            f"The negative evidence lower bound of {shown}.",
            tasks.vae,
            {"dataset": dataset, "hidden_sizes": (64,), "num_latents": 8},
        ),
        "physics": ("Poisson's equation by a network.", tasks.physics_informed, {}),
        "style": ("The pixels of one photograph in the style of another.", tasks.style_transfer, {}),
    }
    return [
        Case(
            name,
            functools.partial(make, **(arguments | (SMALL[name] if size == "quick" else {}))),
            (STEPS[size],),
            window=1 if name == "style" else WINDOW,
            summary=summary,
            only=("adam", LEARNED[0]) if size == "quick" and name not in CHEAP else (),
        )
        for name, (summary, make, arguments) in described.items()
    ]


def _images(images: str | None) -> tuple[str, str]:
    """What the networks of images are trained on, and how the report calls it."""
    if images is not None:
        return images, f"the images of {images}"
    if datasets.is_prepared("cifar10"):
        return "cifar10", "CIFAR-10"
    if datasets.is_prepared("mnist"):
        return "mnist", "MNIST (CIFAR-10 is not prepared on this machine)"
    return "digits", "scikit-learn's digits (CIFAR-10 and MNIST are not prepared on this machine)"


SUITE = deep()
