"""Linear and logistic regression on random data."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.tasks.registry import registry


class Regression(NamedTuple):
    """One problem.

    Attributes:
        inputs: f32[num_samples, dim].
        targets: f32[num_samples]; 0 or 1 for logistic regression.
    """

    inputs: Array
    targets: Array


@registry.register
def regression(
    dim: int = 16,
    num_samples: int = 64,
    condition_number: float = 30.0,
    noise: float = 0.0,
    batch_size: int | None = None,
    kind: Literal["squared", "logistic"] = "squared",
) -> Task:
    r"""Linear models of random samples, by their squared error or their cross-entropy.

    .. math::

        f(w, b) = \frac{1}{B} \sum_{i=1}^{B} \ell(a_i^\top w + b, y_i), \qquad
        \ell(o, y) = \tfrac{1}{2} (o - y)^2 \;\text{ or }\; \log(1 + e^o) - o y

    Inputs are Gaussian, with deviations that fall geometrically over random directions. A random
    linear model has outputs of mean square 1, to which noise is added. These are the targets of the squared
    error; those of logistic regression are 1 with the probability that twice as large outputs stand for.

    Args:
        dim: of the inputs.
        num_samples: that a problem has.
        condition_number: of the inputs' covariance before they are drawn, at least 1.
        noise: deviation of what is added to the linear model's outputs.
        batch_size: samples in a minibatch, drawn with replacement; `None` for all samples each time.
        kind: `"squared"` or `"logistic"`.

    Returns:
        The task; its params are `{"b": f32[], "w": f32[dim]}`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> task = regression(dim=3, num_samples=8)
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> problem = task.sample(keys[0])
        >>> x, batch = task.init(keys[1], problem), task.batch(keys[2], problem, ())
        >>> bool(task.loss(x, problem, batch) > 0)
        True
    """
    check_at_least(1, dim=dim, num_samples=num_samples, condition_number=condition_number)
    check_at_least(0, noise=noise)
    if batch_size is not None:
        check_at_least(1, batch_size=batch_size)
    if kind not in ("squared", "logistic"):
        raise ValueError(f"kind={kind!r}: choose 'squared' or 'logistic'")

    def sample(key: Key) -> Regression:
        input_key, turn_key, model_key, noise_key, label_key = jax.random.split(key, 5)
        deviations = jnp.exp(-jnp.linspace(0.0, 0.5 * jnp.log(condition_number), dim))[None]
        turn = jax.random.orthogonal(turn_key, dim)
        inputs = (jax.random.normal(input_key, (num_samples, dim)) * deviations) @ turn
        outputs = inputs @ jax.random.normal(model_key, (dim,))
        outputs = outputs / jnp.sqrt(jnp.mean(jnp.square(outputs)))
        outputs = outputs + noise * jax.random.normal(noise_key, (num_samples,))
        if kind == "squared":
            return Regression(inputs, outputs)
        labels = jax.random.bernoulli(label_key, jax.nn.sigmoid(2 * outputs))
        return Regression(inputs, labels.astype(jnp.float32))

    def init(key: Key, problem: Regression) -> Params:
        del problem
        return {"b": jnp.zeros(()), "w": 0.01 * jax.random.normal(key, (dim,))}

    def loss(params: Params, problem: Regression, batch: Regression) -> Array:
        del problem
        outputs = batch.inputs @ params["w"] + params["b"]
        if kind == "logistic":
            return jnp.mean(jax.nn.softplus(outputs) - outputs * batch.targets)
        return 0.5 * jnp.mean(jnp.square(outputs - batch.targets))

    return Task(sample, init, batches(batch_size), loss)


def batches(batch_size: int | None) -> Callable[[Key, Regression, Any], Regression]:
    """A task's `batch`: rows of a problem, drawn with replacement; `None` for all of them."""

    def batch(key: Key, problem: Regression, data: Any) -> Regression:
        del data
        if batch_size is None:
            return problem
        chosen = jax.random.randint(key, (batch_size,), 0, len(problem.inputs))
        return Regression(problem.inputs[chosen], problem.targets[chosen])

    return batch
