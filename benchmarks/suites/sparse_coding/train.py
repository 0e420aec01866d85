"""Trains an unrolled network on one dictionary, layer by layer.

    python -m benchmarks.suites.sparse_coding.train --network alista --directory runs/alista

It can be stopped at any moment and goes on from its last checkpoint. The result is `theta.safetensors`, with
the settings and the errors of all layers on fresh problems in its metadata.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from benchmarks.suites.sparse_coding.unrolled import NETWORKS, Network, Theta
from learned_opt import training
from learned_opt.core.types import Array, Key, Task
from learned_opt.runs import Checkpoints, load_weights, progress, save_weights
from learned_opt.tasks import sparse_coding

CHUNK = 25  # steps in one jitted call
DRIFT = -0.3  # of the logarithm of the threshold, from the last trained layer to a new one
TEST_STREAM = 0x7E57
NUM_TEST_PROBLEMS = 2048


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to train, and for how long.

    Attributes:
        network: `lista` or `alista`.
        num_measurements: rows of the dictionary.
        num_atoms: columns of the dictionary.
        dictionary: the kind of dictionary.
        snr_db: noise; none by default.
        sparsity: the probability of a nonzero.
        dictionary_seed: makes the dictionary.
        num_layers: layers of the network.
        batch_size: problems a step.
        steps_a_layer: steps after each new layer, by which all so far are trained.
        final_steps: steps with all layers.
        learning_rate: of Adam, for steps and thresholds; it decays to 0 in each stage.
        matrix_learning_rate: the same for matrices.
        seed: of the problems to train on.
    """

    network: Literal["lista", "alista"] = "alista"
    num_measurements: int = 256
    num_atoms: int = 512
    dictionary: Literal["gaussian", "ill_conditioned", "natural_images"] = "gaussian"
    snr_db: float | None = None
    sparsity: float = 0.1
    dictionary_seed: int = 0
    num_layers: int = 16
    batch_size: int = 128
    steps_a_layer: int = 75
    final_steps: int = 500
    learning_rate: float = 0.02
    matrix_learning_rate: float = 5e-4
    seed: int = 0

    def task(self) -> Task:
        """The task whose one dictionary the network is for."""
        return sparse_coding(
            self.num_measurements,
            self.num_atoms,
            self.dictionary,
            sparsity=self.sparsity,
            snr_db=self.snr_db,
            dictionary_seed=self.dictionary_seed,
        )

    def stages(self) -> list[tuple[int, int]]:
        """(layers, steps) one after the other."""
        return [(k, self.steps_a_layer) for k in range(1, self.num_layers)] + [
            (self.num_layers, self.final_steps)
        ]


def make_network(settings: Settings) -> Network:
    """The network of the settings' dictionary."""
    task, key = settings.task(), jax.random.key(0)
    dictionary = task.batch(key, task.sample(key), task.data).dictionary
    return NETWORKS[settings.network](dictionary, settings.num_layers)


def nmse_db(x: Array, code: Array) -> Array:
    """The mean squared error over the mean square of the codes, in decibels, as the field reports it."""
    return 10 * jnp.log10(jnp.sum(jnp.square(x - code)) / jnp.sum(jnp.square(code)))


def train(settings: Settings, directory: Path) -> tuple[Theta, np.ndarray]:
    """Trains, or goes on: theta, and f32[num_layers], the error of each layer in dB on fresh problems."""
    result = directory / "theta.safetensors"
    if result.exists():
        theta, metadata = load_weights(result)
        if metadata["settings"] != dataclasses.asdict(settings):
            raise ValueError(f"{result} was trained with other settings: {metadata['settings']}")
        return jax.tree.map(jnp.asarray, theta), np.array(metadata["nmse_db"])

    network, task = make_network(settings), settings.task()
    what = task._replace(data=(), config=None), network.codes, settings
    checkpoints = Checkpoints(directory / "checkpoints", keep=1)
    theta = network.init()
    state, done = (theta, optimizer(settings, 1).init(theta)), 0
    if checkpoints.steps():
        done, state = checkpoints.restore(like=state)
    first, total = 0, sum(steps for _, steps in settings.stages())
    with progress(total, "steps") as bar:
        for layers, steps in settings.stages():
            while first <= done < first + steps:
                if done == first:
                    theta = _with_layer(state[0], layers)
                    state = theta, optimizer(settings, steps).init(theta)
                *state, errors, _ = _run_chunk(
                    what, (layers, steps), jnp.int32(done), *state, network.fixed, task.data
                )
                done = min(done + CHUNK, first + steps)
                checkpoints.save(done, tuple(state))
                bar.update(done, layers=layers, nmse_db=float(errors.mean()))
            first += steps
    errors = np.asarray(final_errors(settings, network, state[0], NUM_TEST_PROBLEMS))
    metadata = {"settings": dataclasses.asdict(settings), "nmse_db": [round(float(e), 3) for e in errors]}
    save_weights(result, jax.tree.map(np.asarray, state[0]), metadata)
    return state[0], errors


def final_errors(settings: Settings, network: Network, theta: Theta, num_problems: int) -> Array:
    """The error of each layer on fresh problems, f32[num_layers] in decibels."""
    task = settings.task()
    key = jax.random.fold_in(jax.random.key(settings.seed), TEST_STREAM)

    @jax.jit
    def errors(theta: Theta, fixed: Any, data: Any) -> Array:
        codes, y = _draw(task, key, num_problems, data)
        layers = network.codes(theta, fixed, y, settings.num_layers)
        return jax.vmap(nmse_db, in_axes=(0, None))(layers, codes)

    return errors(theta, network.fixed, task.data)


def _with_layer(theta: Theta, layers: int) -> Theta:
    """A new layer starts as a copy of the last one with a lower threshold."""
    if layers > 1:
        k = layers - 1
        drifts = {"log_threshold": DRIFT, "log_step": 0.0}
        theta = theta | {
            name: theta[name].at[k].set(theta[name][k - 1] + drift)
            for name, drift in drifts.items()
            if name in theta
        }
    return theta


def optimizer(settings: Settings, steps: int) -> optax.GradientTransformation:
    """Adam with a learning rate for vectors and one for matrices, decaying to 0 over the steps of a stage."""
    rates = settings.learning_rate, settings.matrix_learning_rate
    return optax.chain(
        optax.scale_by_adam(b2=0.99),
        optax.stateless(lambda updates, _: jax.tree.map(lambda u: rates[u.ndim - 1] * u, updates)),
        optax.scale_by_learning_rate(optax.cosine_decay_schedule(1.0, steps)),
    )


def _draw(task: Task, key: Key, number: int, data: Any) -> tuple[Array, Array]:
    """Codes f32[number, n] and signals f32[number, m] of the one dictionary."""

    def one(key: Key) -> tuple[Array, Array]:
        problem = task.batch(key, task.sample(key), data)
        return problem.code, problem.measurement

    return jax.vmap(one)(jax.random.split(key, number))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _run_chunk(what, stage, done, theta, opt_state, fixed, data) -> training.Minimized:
    task, network_codes, settings = what
    layers, steps = stage
    key = jax.random.key(settings.seed)

    def loss(theta: Theta, step: Array) -> Array:
        codes, y = _draw(task, jax.random.fold_in(key, step), settings.batch_size, data)
        # The logarithm, so that Adam sees gradients of one size while the error falls by six decades.
        return nmse_db(network_codes(theta, fixed, y, layers)[-1], codes)

    tx = optimizer(settings, steps)
    return training.minimize(loss, theta, tx, num_steps=CHUNK, opt_state=opt_state, first_step=done)


def main(settings: Settings, directory: Path) -> None:
    """Trains a network and prints the error of each layer."""
    _, errors = train(settings, directory)
    for layer, error in enumerate(errors, start=1):
        print(f"layer {layer:2}: {error:7.2f} dB")


if __name__ == "__main__":
    tyro.cli(main)
