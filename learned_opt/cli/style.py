"""`learned-opt demo style`: a picture's content in another's style, by any optimizer."""

import base64
import dataclasses
import html
import math
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from rich.progress import track

from learned_opt import datasets, reports, runs, tasks, training, zoo
from learned_opt.cli.named_optimizers import named_optimizer
from learned_opt.cli.options import parse
from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Task
from learned_opt.networks.vgg import save_layers

DESCRIPTION = """\
Paints the picture CONTENT in the style of the picture STYLE: a conv net looks at both, and an optimizer
changes pixels until what the net sees of them has the content of one and the statistics of the other. With
`none` for CONTENT it makes a texture. `china` and `flower` are two photographs that are always there. Writes
the pictures, the loss curves and a report; L-BFGS is there for reference.

  learned-opt demo style china flower --optimizer general
  learned-opt demo style me.jpg starry_night.jpg --weights vgg19.safetensors --size 512"""

USAGE = f"""\
usage: learned-opt demo style CONTENT STYLE [OPTIONS]

{DESCRIPTION}

`learned-opt demo style --help` lists the options."""

REFERENCE = "lbfgs"
WIDTHS = (16, 32, 64)  # of the conv net that is trained here
STEPS_PER_CALL = 10


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of demo style.

    Attributes:
        optimizer: one that is shipped (learned-opt list), a run or a file; or sgd, momentum, nag, rmsprop,
            adam, lbfgs.
        learning_rate: of a hand-made optimizer, 0.03 by default; a factor on the updates of a learned one.
        weights: the conv net: a safetensors file of a VGG network, named as torchvision's; a small one is
            trained here by default.
        dataset: what that one is trained on, to tell which way up an image is: cifar10, or an .npz file.
        train_steps: that it is trained for.
        num_steps: of the optimizer on the pixels.
        size: pixels of the pictures' longer side.
        style_weight: of the style beside the content.
        reference: whether L-BFGS is run beside it.
        seed: of everything random.
        directory: where it is all written; runs/style-DATE by default.
    """

    optimizer: str = zoo.DEFAULT
    learning_rate: float | None = None
    weights: Path | None = None
    dataset: str = "photographs"
    train_steps: int = 1000
    num_steps: int = 200
    size: int = 128
    style_weight: float = 1.0
    reference: bool = True
    seed: int = 0
    directory: Path | None = None


def command(words: Sequence[str]) -> None:
    """Runs `learned-opt demo style`."""
    if words[:1] in (["-h"], ["--help"]):
        words = ["CONTENT", "STYLE", "--help"]
    if len(words) < 2 or any(word.startswith("-") for word in words[:2]):
        print(USAGE)
        raise SystemExit(2)
    content, style = words[:2]
    options = parse(Options, words[2:], f"learned-opt demo style {content} {style}", DESCRIPTION)
    check_at_least(1, num_steps=options.num_steps, train_steps=options.train_steps)
    runs.use_every_core()
    reports.require_plots()
    optimizers = {}
    if options.optimizer != REFERENCE:
        optimizers[options.optimizer] = named_optimizer(
            options.optimizer, options.learning_rate, options.num_steps, usual=0.03
        )
    if options.reference or not optimizers:
        optimizers[REFERENCE] = optax.lbfgs()
    directory = options.directory or Path("runs") / time.strftime("style-%Y%m%d-%H%M%S")
    given = {"style": style} | ({} if content == "none" else {"content": content})
    pictures = {name: datasets.load_picture(file, options.size) / 255 for name, file in given.items()}
    directory.mkdir(parents=True, exist_ok=True)
    weights = options.weights or _train(options, directory / "weights.safetensors")
    task = tasks.style_transfer(
        content=None if content == "none" else content,
        style=style,
        weights=str(weights),
        size=options.size,
        style_weight=options.style_weight,
    )
    curves, rows = {}, []
    for name, tx in optimizers.items():
        label = Path(name).stem
        pictures[label], curves[label], metrics = optimize(tx, task, options.num_steps, options.seed, label)
        rows.append({"optimizer": label, "loss": float(curves[label][-1]), **metrics})
    for name, pixels in pictures.items():
        datasets.save_picture(directory / f"{name}.png", pixels)
    reports.print_table(rows, title=f"After {options.num_steps} steps")
    _report(directory, words, curves, rows, pictures)
    print(
        f"\npicture:  {directory / Path(options.optimizer).stem}.png\nreport:   {directory / 'report.html'}"
    )
    print(f"conv net: {weights}")


def optimize(
    tx: optax.GradientTransformation, task: Task, num_steps: int, seed: int, name: str
) -> tuple[Any, np.ndarray, dict[str, float]]:
    """The params, the losses f32[num_steps + 1] and the metrics of one run; its progress bar is named."""
    sample_key, start_key, key = jax.random.split(jax.random.key(seed), 3)
    problem = task.sample(sample_key)
    state = training.start(tx, task, start_key, problem)
    at_once = math.gcd(num_steps, STEPS_PER_CALL)
    steps = jax.jit(lambda state, data: training.unroll(tx, task, key, problem, data, state, at_once))
    losses, last = [], []
    for _ in track(range(num_steps // at_once), description=name, transient=True):
        state, some = steps(state, task.data)
        losses.append(some[:-1])
        last = some[-1:]
    metrics = {} if task.metrics is None else task.metrics(state.params, problem, task.data)
    found = {name: float(value) for name, value in metrics.items()}
    return state.params, np.concatenate([*losses, np.asarray(last)]), found


def _train(options: Options, path: Path) -> Path:
    """Trains a small conv net to tell which way up images are, and stores it."""
    channels = datasets.load(options.dataset, "train[:1]").images.shape[-1]
    if channels != 3:
        raise ValueError(
            f"dataset={options.dataset!r}: its images have {channels} channel; pictures have colours"
        )
    task = tasks.rotations(dataset=options.dataset, widths=WIDTHS)
    tx = optax.adam(optax.cosine_decay_schedule(3e-3, options.train_steps))
    params, _, metrics = optimize(tx, task, options.train_steps, options.seed, "conv net")
    print(f"A conv net of {options.dataset} is right about {metrics['test_accuracy']:.0%} of turned images.")
    save_layers(path, params["layers"])
    return path


def _report(
    directory: Path,
    words: Sequence[str],
    curves: dict[str, np.ndarray],
    rows: list[dict],
    pictures: dict[str, np.ndarray],
) -> None:
    figure = reports.loss_curves(
        {name: losses[None] for name, losses in curves.items()}, title="Loss", highlight=list(curves)
    )
    reports.write_report(
        directory / "report.html",
        title="A picture in another's style",
        summary="The pixels of a picture, optimised until a conv net finds one picture's content in them and "
        "another's style.",
        sections=[
            reports.Section(
                "Pictures",
                figures=[
                    _svg(directory / f"{name}.png", *pixels.shape[:2]) for name, pixels in pictures.items()
                ],
                captions=list(pictures),
            ),
            reports.Section(
                "Losses",
                prose=f"After {len(next(iter(curves.values()))) - 1} steps.",
                rows=rows,
                figures=[figure],
                command=f"learned-opt demo style {shlex.join(words)}",
            ),
        ],
    )


def _svg(picture: Path, height: int, width: int) -> str:
    """A picture as a figure of a report, twice as large as it is."""
    content = base64.b64encode(picture.read_bytes()).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{2 * width}">'
        f"<title>{html.escape(picture.stem)}</title>"
        f'<image width="{width}" height="{height}" href="data:image/png;base64,{content}"/></svg>'
    )
