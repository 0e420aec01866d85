"""Variational autoencoders of images.

Reference:
    Kingma, Welling, Auto-encoding variational Bayes, ICLR 2014.
"""

from typing import Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from learned_opt import datasets
from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.tasks.classification import ACTIVATIONS
from learned_opt.tasks.registry import registry


class Pictures(NamedTuple):
    """The data of a variational autoencoder, resident on the device.

    Attributes:
        images: u8[N, height, width, channels], what minibatches are drawn from.
        test_images: u8[M, height, width, channels], for the metric only.
    """

    images: Array
    test_images: Array


@registry.register
def vae(
    dataset: str = "digits",
    hidden_sizes: tuple[int, ...] = (32,),
    num_latents: int = 4,
    activation: Literal["sigmoid", "relu", "tanh", "gelu"] = "tanh",
    batch_size: int = 32,
    split: str = "train",
) -> Task:
    r"""The negative evidence lower bound of a variational autoencoder, in nats an image.

    .. math::

        f(x) = \frac{1}{B} \sum_{i=1}^{B} \Bigl(-\log p_x(a_i \mid z_i)
            + \operatorname{KL}\bigl(q_x(z \mid a_i) \,\Vert\, \mathcal{N}(0, I)\bigr)\Bigr), \qquad
        z_i = \mu_x(a_i) + \sigma_x(a_i) \odot \epsilon_i

    Pixels, scaled to [0, 1], are probabilities of Bernoulli variables. Encoder and decoder are fully
    connected, the decoder's hidden layers in the reverse order. The noise :math:`\epsilon` of the
    reparametrisation is drawn with the minibatch. All problems share data and architecture.

    Args:
        dataset: what the images are from, as in `datasets.load`.
        hidden_sizes: units of each hidden layer of the encoder.
        num_latents: of z.
        activation: of the hidden layers.
        batch_size: B, images in a minibatch, drawn with replacement.
        split: what minibatches are drawn from, as tensorflow-datasets spells it.

    Returns:
        The task; params as haiku makes them; the metric `test_loss` is the same bound on the test images.

    Raises:
        ValueError: if an argument is out of its range or the data set is unknown.
        DataNotPreparedError: if the data set has not been prepared on this machine.

    Example:
        >>> task = vae()
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> x, batch = jax.jit(task.init)(keys[0], ()), jax.jit(task.batch)(keys[1], (), task.data)
        >>> bool(30 < jax.jit(task.loss)(x, (), batch) < 60)  # 64 log 2 = 44 without knowing anything
        True
    """
    hidden_sizes = tuple(hidden_sizes)
    check_at_least(
        1,
        num_latents=num_latents,
        batch_size=batch_size,
        **{f"hidden_sizes[{i}]": n for i, n in enumerate(hidden_sizes)},
    )
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r}: choose one of {', '.join(ACTIVATIONS)}")
    data = Pictures(*(jnp.asarray(datasets.load(dataset, part).images) for part in (split, "test")))
    num_pixels = data.images[0].size

    def bounds(pixels: Array, noise: Array) -> Array:
        """Pixels f32[B, P] and noise f32[B, num_latents] -> f32[B]."""
        act = ACTIVATIONS[activation]
        encoded = hk.nets.MLP((*hidden_sizes, 2 * num_latents), activation=act, name="encoder")(pixels)
        mean, log_variance = jnp.split(encoded, 2, axis=-1)
        z = mean + jnp.exp(log_variance / 2) * noise
        logits = hk.nets.MLP((*hidden_sizes[::-1], num_pixels), activation=act, name="decoder")(z)
        return reconstruction(logits, pixels) + divergence(mean, log_variance)

    network = hk.without_apply_rng(hk.transform(bounds))

    def negative_bound(params: Params, images: Array, noise: Array) -> Array:
        pixels = images.reshape(len(images), -1).astype(jnp.float32) / 255
        return jnp.mean(network.apply(params, pixels, noise))

    def init(key: Key, problem: tuple[()]) -> Params:
        del problem
        return network.init(key, jnp.zeros((1, num_pixels)), jnp.zeros((1, num_latents)))

    def batch(key: Key, problem: tuple[()], data: Pictures) -> tuple[Array, Array]:
        del problem
        image_key, noise_key = jax.random.split(key)
        chosen = jax.random.randint(image_key, (batch_size,), 0, data.images.shape[0])
        return data.images[chosen], jax.random.normal(noise_key, (batch_size, num_latents))

    def loss(params: Params, problem: tuple[()], batch: tuple[Array, Array]) -> Array:
        del problem
        return negative_bound(params, *batch)

    def metrics(params: Params, problem: tuple[()], data: Pictures) -> dict[str, Array]:
        del problem
        noise = jax.random.normal(jax.random.key(0), (len(data.test_images), num_latents))
        return {"test_loss": negative_bound(params, data.test_images, noise)}

    return Task(lambda key: (), init, batch, loss, data, metrics)


def reconstruction(logits: Array, pixels: Array) -> Array:
    """The negative log-likelihood of pixels under Bernoulli variables, both f32[B, P]; f32[B]."""
    return jnp.sum(optax.sigmoid_binary_cross_entropy(logits, pixels), axis=-1)


def divergence(mean: Array, log_variance: Array) -> Array:
    """Kullback-Leibler's of diagonal Gaussians f32[B, k] from the standard one; f32[B]."""
    return 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance, axis=-1)
