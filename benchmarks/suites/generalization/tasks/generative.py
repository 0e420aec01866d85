"""Generative models: losses that are noisy by their nature."""

import jax
import jax.numpy as jnp

from benchmarks.suites.generalization.tasks import data
from benchmarks.suites.generalization.tasks.layers import Weights, mlp
from benchmarks.suites.generalization.tasks.supervised import FIXED, MEASURED, streamed
from benchmarks.suites.generalization.tasks.trial import Trial
from learned_opt.core.types import Array, Key, Task


def variational() -> Task:
    """A variational autoencoder of digits with four latent variables (Kingma and Welling, 2014)."""
    latent = 4
    encoder_init, encode = mlp((64, 32, 2 * latent), jnp.tanh, gain=1.0)
    decoder_init, decode = mlp((latent, 32, 64), jnp.tanh, gain=1.0)

    def init(key: Key, problem: tuple[()]) -> dict[str, Weights]:
        del problem
        keys = jax.random.split(key)
        return {"encoder": encoder_init(keys[0]), "decoder": decoder_init(keys[1])}

    def loss(weights: dict[str, Weights], problem: tuple[()], batch: tuple[Array, Array]) -> Array:
        del problem
        digits, noise = batch
        mean, log_scale = jnp.split(encode(weights["encoder"], digits), 2, axis=-1)
        logits = decode(weights["decoder"], mean + jnp.exp(log_scale) * noise)
        told = jnp.sum(jax.nn.softplus(logits) - logits * digits, axis=-1)
        apart = 0.5 * jnp.sum(jnp.exp(2 * log_scale) + jnp.square(mean) - 1 - 2 * log_scale, axis=-1)
        return jnp.mean(told + apart)

    def batch(key: Key, problem: tuple[()], rows: data.Rows) -> tuple[Array, Array]:
        del problem
        keys = jax.random.split(key)
        chosen = jax.random.randint(keys[0], (16,), 0, rows.inputs.shape[0])
        return rows.inputs[chosen], jax.random.normal(keys[1], (16, latent))

    def metrics(weights: dict[str, Weights], problem: tuple[()], rows: data.Rows) -> dict[str, Array]:
        noise = jax.random.normal(jax.random.key(FIXED), (MEASURED, latent))
        train, test = (x[:MEASURED] for x in (rows.inputs, rows.test_inputs))
        return {
            "train": loss(weights, problem, (train, noise)),
            "test": loss(weights, problem, (test, noise)),
        }

    return Task(lambda key: (), init, batch, loss, data.on_device(data.pixels("digits", 8)), metrics)


def diffusion() -> Task:
    """The noise on points of eight clusters in the plane, from the noisy points (Ho et al., 2020)."""
    init, apply = mlp((4, 48, 48, 2), jax.nn.silu)

    def sample(key: Key) -> Array:
        return 1.5 * jax.random.normal(key, (8, 2))

    def draw(key: Key, problem: Array, number: int) -> tuple[Array, Array]:
        keys = jax.random.split(key, 4)
        points = problem[jax.random.randint(keys[0], (number,), 0, len(problem))]
        points += 0.1 * jax.random.normal(keys[1], (number, 2))
        angle = jax.random.uniform(keys[2], (number, 1), maxval=0.5 * jnp.pi)
        noise = jax.random.normal(keys[3], (number, 2))
        seen = jnp.cos(angle) * points + jnp.sin(angle) * noise
        return jnp.concatenate([seen, jnp.cos(angle), jnp.sin(angle)], axis=-1), noise

    def loss(weights: Weights, problem: Array, batch: tuple[Array, Array]) -> Array:
        del problem
        return jnp.mean(jnp.square(apply(weights, batch[0]) - batch[1]))

    return streamed(sample, init, draw, loss, batch_size=32, measured=1024)


TRIALS = (
    Trial(
        "generative-variational",
        "noisy",
        1000,
        variational,
        "a variational autoencoder of digits, batches of 16",
    ),
    Trial(
        "generative-diffusion",
        "noisy",
        1000,
        diffusion,
        "the noise on points of eight clusters, batches of 32",
    ),
)
