"""The unrolled networks whose trained weights lie in `weights/`, one file a network and kind of problem.

They are trained by `train.py` and named as `path_of` says; LISTA's matrices are rounded to half precision.
What all reached is in `trained.json`: settings, and the error of each layer in decibels on 2,048 fresh
problems.
"""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.suites.sparse_coding.train import Settings, make_network
from benchmarks.suites.sparse_coding.tuned import kind
from learned_opt.core.types import Array
from learned_opt.runs import load_weights
from learned_opt.tasks import SparseCoding

WEIGHTS = Path(__file__).with_name("weights")


def path_of(network: str, config: Any) -> Path:
    """Where the weights of a network for a task's kind of problems lie, if they do."""
    return WEIGHTS / f"{network}-{kind(config)}.safetensors"


def trained_codes(network: str, config: Any, problem: SparseCoding, num_layers: int) -> Array:
    """Zero and each layer's code for one problem, f32[num_layers + 1, n]."""
    codes, theta, fixed, most = _load(path_of(network, config))
    if num_layers > most:
        raise ValueError(f"num_steps={num_layers}: {network} was trained with {most} layers")
    layers = codes(theta, fixed, problem.measurement[None], num_layers)[:, 0]
    return jnp.concatenate([jnp.zeros_like(layers[:1]), layers])


@functools.cache
def _load(path: Path) -> tuple[Any, Any, Any, int]:
    theta, metadata = load_weights(path)
    settings = Settings(**metadata["settings"])
    with jax.ensure_compile_time_eval():  # what is kept must not be of the trace that first asked for it
        network = make_network(settings)
        theta = jax.tree.map(jnp.float32, theta)
    return network.codes, theta, network.fixed, settings.num_layers
