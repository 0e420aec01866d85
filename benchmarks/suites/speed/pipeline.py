"""Samples a second that the pipeline of images gives, beside those that a training step takes."""

import functools
import importlib.util
import os
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks.harness.results import Cell
from benchmarks.harness.suite import Job, Key, Load
from learned_opt import datasets, tasks, training
from learned_opt.reports import Column, Section

PIPELINE = "pipeline"
BATCH, NUM_IMAGES = 16, 64
PICTURE = (500, 375)  # the usual size in ImageNet
NETWORKS = {"quick": (("resnet18", 64),), "default": (("resnet18", 64), ("resnet18", 224), ("resnet50", 224))}
WORKERS = {"0": "threads", "1": "1 process"}
SECONDS = {"quick": 1.0, "default": 5.0, "full": 5.0}  # that batches are taken for


def jobs(suite: str, size: str) -> list[Job]:
    """A cell for each network and size of image; none where grain is not installed."""
    if importlib.util.find_spec("grain") is None:
        return []
    return [
        Job(
            Key(suite, f"imagenet-{side}", network, 0, None, PIPELINE),
            {"batch": BATCH, "picture": PICTURE},
            functools.partial(_measure, network, side, SECONDS[size]),
        )
        for network, side in NETWORKS.get(size, NETWORKS["default"])
    ]


def _measure(network: str, side: int, seconds: float, load: Load) -> dict[str, Any]:
    """Samples a second by threads, by processes, and of the step."""
    del load
    with tempfile.TemporaryDirectory() as directory:
        datasets.write_sample("imagenet2012", directory, number=NUM_IMAGES, size=PICTURE)
        source = datasets.LabelledImages("imagenet2012", "train", image_size=side, data_dir=directory)
        workers = {0, 1, min(2, os.cpu_count() or 1)}
        given = {str(n): _given(source, n, seconds) for n in sorted(workers)}
    return {"given": given, "taken": _taken(network, side)}


def _given(source: datasets.LabelledImages, num_workers: int, seconds: float) -> float:
    with datasets.batches(source, batch_size=BATCH, num_workers=num_workers) as found:
        for _ in range(4):  # until processes are there, and what they read ahead is used up
            next(found)
        start, count = time.monotonic(), 0
        while time.monotonic() - start < seconds:
            next(found)
            count += 1
        return BATCH * count / (time.monotonic() - start)


def _taken(network: str, side: int) -> float:
    """By Adam on one batch that lies in memory."""
    task = tasks.image_classifier(network, 1000)  # pyright: ignore[reportArgumentType]
    batch = {
        "image": jnp.zeros((BATCH, side, side, 3), jnp.uint8),
        "label": jnp.zeros(BATCH, jnp.int32),
        "valid": jnp.ones(BATCH, bool),
    }
    tx = optax.with_extra_args_support(optax.adam(1e-3))
    params, net_state = jax.jit(task.init)(jax.random.key(0), batch)
    state = params, net_state, tx.init(params)
    update = training.batch_update(task, tx)
    best = 0.0
    for _ in range(3):
        start = time.monotonic()
        *state, loss, _ = update(*state, batch)
        jax.block_until_ready(loss)
        best = max(best, BATCH / (time.monotonic() - start))
    return best


def sections(cells: Sequence[Cell]) -> list[Section]:
    """The table, where there are cells."""
    own = [c for c in cells if c.key.part == PIPELINE]
    if not own:
        return []
    rows = []
    for c in own:
        best = max(c.result["given"].values())
        row = {"images": c.key.task, "network": c.key.optimizer, "taken": c.result["taken"]}
        row |= {f"workers_{n}": rate for n, rate in c.result["given"].items()}
        rows.append(row | {"ratio": best / c.result["taken"]})
    counts = sorted({n for c in own for n in c.result["given"]}, key=int)
    return [
        Section(
            "a pipeline of images",
            prose=f"Samples a second of ImageNet's format, JPEGs of {PICTURE[0]} x {PICTURE[1]} pixels of "
            "made-up content, decoded, cropped and mirrored, by threads of the process itself and by "
            f"processes beside it; and those that a step of Adam takes in batches of {BATCH}. Each is "
            "measured without the other.",
            rows=rows,
            columns={
                "images": Column("images"),
                "network": Column("network"),
                **{f"workers_{n}": Column(WORKERS.get(n, f"{n} processes")) for n in counts},
                "taken": Column("the step"),
                "ratio": Column("best pipeline / step", digits=3),
            },
        )
    ]
