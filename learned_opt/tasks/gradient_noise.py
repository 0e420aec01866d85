"""Noise in the gradient of any task."""

import jax
import optax

from learned_opt.core.types import Array, Batch, Key, Params, Problem, Task
from learned_opt.tasks.registry import registry
from learned_opt.tasks.wrapping import wrap


@registry.register
def gradient_noise(task: Task, deviation: float = 1.0) -> Task:
    r"""The same losses, with Gaussian noise in what the optimizer is given as their gradient.

    .. math::

        g_t = \nabla f(x_t; b_t) + \sigma n_t, \qquad n_t \sim N(0, I)

    The noise is new at every step and belongs to the batch. The losses are those of the given task, so that
    curves show how far the optimizer came and not what it was told.

    Args:
        task: any task.
        deviation: sigma, in units of the gradient, the same for all coordinates.

    Returns:
        The noisy task; its data, problems, params and metrics are the given task's.

    Raises:
        ValueError: if `deviation` is negative.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> plain = quadratic(dim=4)
        >>> task = gradient_noise(plain, deviation=0.5)
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> problem = task.sample(keys[0])
        >>> x, batch = task.init(keys[1], problem), task.batch(keys[2], problem, ())
        >>> bool(task.loss(x, problem, batch) == plain.loss(x, problem, ()))
        True
        >>> noise = jax.grad(task.loss)(x, problem, batch) - jax.grad(plain.loss)(x, problem, ())
        >>> bool((noise != 0).all())
        True
    """
    if not deviation >= 0:
        raise ValueError(f"deviation={deviation!r}: it must not be negative")

    def batch(key: Key, problem: Problem, data) -> tuple[Batch, Params]:
        batch_key, noise_key = jax.random.split(key)
        shapes = jax.eval_shape(task.init, noise_key, problem)
        noise = optax.tree.random_like(noise_key, shapes, jax.random.normal)
        return task.batch(batch_key, problem, data), optax.tree.scale(deviation, noise)

    def with_noise(function):
        def noisy(params: Params, problem: Problem, noisy_batch: tuple[Batch, Params]) -> Array:
            given, noise = noisy_batch
            # Zero in value, the noise in derivative.
            moved = jax.tree.map(lambda x: x - jax.lax.stop_gradient(x), params)
            return function(params, problem, given) + optax.tree.vdot(noise, moved)

        return noisy

    return wrap(
        task,
        batch=batch,
        loss=with_noise(task.loss),
        smooth=None if task.smooth is None else with_noise(task.smooth),
    )
