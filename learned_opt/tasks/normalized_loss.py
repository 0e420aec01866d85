"""Losses of any task in units of its own, so that tasks of different scales count alike."""

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core.types import Array, Batch, Data, Key, Params, Problem, Task
from learned_opt.tasks.registry import registry
from learned_opt.tasks.wrapping import wrap

NUM_STARTS = 64  # problems whose first losses a scale is the mean of


@registry.register
def normalized_loss(task: Task, scale: float | None = None) -> Task:
    r"""The same problems, measured by their losses divided by what the task's losses start at.

    .. math::

        \tilde f(x) = f(x) / s, \qquad s = \mathbb{E}\, f(x_0)

    In a mixture of tasks the meta-gradient and the validation loss are means over problems of all of them.
    A task whose losses are a hundred times as large as another's outweighs it a hundredfold, unless each is
    divided by a scale of its own.

    The optimizer sees the value and the gradient that it saw before: only what is measured and meta-trained
    on is divided. The loss is computed beside what the optimizer sees, which takes somewhat longer to
    differentiate. Put it outside of other wrappers.

    Args:
        task: any task.
        scale: s; by default the mean loss at the start of 64 problems, drawn with a fixed key when the task
            is made.

    Returns:
        The task; its data, problems, params and metrics are the given task's.

    Raises:
        ValueError: if the scale, given or measured, is not positive and finite.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> plain = quadratic(dim=3)
        >>> task = normalized_loss(plain, scale=4.0)
        >>> x, problem = jnp.ones(3), task.sample(jax.random.key(0))
        >>> bool(task.loss(x, problem, ()) == plain.loss(x, problem, ()) / 4)
        True
        >>> bool(task.smooth(x, problem, ()) == plain.loss(x, problem, ()))
        True

    Reference:
        Metz et al., Practical tradeoffs between memory, compute, and performance in learned optimizers,
        arXiv:2203.11860, 2022: in its library, learned_optimization, a task may have a fixed function that
        brings its losses to a common range. Deviations: the scale is measured and not set by hand, and large
        losses are not cut off; `problem_clip_norm` bounds what a diverged problem weighs.
    """
    if scale is None:
        divisor = _first_loss(task)
        origin = f"the measured mean loss at the start is {divisor!r}: give a scale"
    else:
        divisor, origin = scale, f"scale={scale!r}"
    if not 0 < divisor < np.inf:
        raise ValueError(f"{origin}; it must be positive and finite")

    def loss(params: Params, problem: Problem, batch: Batch) -> Array:
        return task.loss(params, problem, batch) / divisor

    return wrap(task, loss=loss, smooth=task.smooth or task.loss)


def _first_loss(task: Task) -> float:
    def one(key: Key, data: Data) -> Array:
        sample_key, init_key, batch_key = jax.random.split(key, 3)
        problem = task.sample(sample_key)
        return task.loss(task.init(init_key, problem), problem, task.batch(batch_key, problem, data))

    keys = jax.random.split(jax.random.key(0), NUM_STARTS)
    losses = jax.jit(lambda keys, data: jax.lax.map(lambda key: one(key, data), keys))(keys, task.data)
    return float(jnp.mean(losses))
