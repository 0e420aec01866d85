"""Random scaling of the coordinates of any task.

Reference:
    Lv, Jiang, Li, Learning gradient descent: better generalization and longer horizons, ICML 2017,
    section 4.1.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array, Batch, Key, Params, Problem, Task
from learned_opt.tasks.registry import registry


@registry.register
def random_scaling(
    task: Task, log_range: float = 3.0, level: Literal["coordinate", "tensor", "all"] = "coordinate"
) -> Task:
    r"""The same losses seen through randomly scaled coordinates.

    .. math::

        f_c(x) = f(c \odot x), \qquad x_0 \to x_0 / c, \qquad c_i = e^{r_i}, \quad r_i \sim U(-R, R)

    A rule meta-trained on `f_c` meets gradients of many sizes and step sizes that suit them badly, so
    it cannot rely on the scale of one architecture.

    Args:
        task: any task.
        log_range: R, in natural logarithms.
        level: what shares a scale: nothing, the coordinates of a tensor, or all coordinates. Where a rule
            normalises over tensors, only the last two change what it sees of a tensor as a whole.

    Returns:
        The scaled task; its data is the given task's, its problems carry the scales besides.

    Raises:
        ValueError: if `log_range` is negative, the level unknown, or the task has a proximal operator,
            which scaling the coordinates would change.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> task, plain = random_scaling(quadratic(dim=4)), quadratic(dim=4)
        >>> problem = task.sample(jax.random.key(0))
        >>> x = task.init(jax.random.key(1), problem)
        >>> same = plain.loss(plain.init(jax.random.key(1), problem[0]), problem[0], ())
        >>> bool(jnp.allclose(task.loss(x, problem, ()), same, rtol=1e-5))
        True

    Reference:
        Lv et al. 2017, section 4.1, scales coordinates. Scales that are shared are the reparameterisation of
        Metz et al., VeLO: training versatile learned optimizers by scaling up, arXiv:2211.09760, 2022.
    """
    if level not in ("coordinate", "tensor", "all"):
        raise ValueError(f"level={level!r}: choose 'coordinate', 'tensor' or 'all'")
    if not log_range >= 0:
        raise ValueError(f"log_range={log_range!r}: it must not be negative")
    if task.prox is not None:
        raise ValueError("a task with a proximal operator cannot have its coordinates scaled")

    def sample(key: Key) -> tuple[Problem, Params]:
        problem_key, init_key, scale_key = jax.random.split(key, 3)
        problem = task.sample(problem_key)
        shapes = jax.eval_shape(task.init, init_key, problem)
        leaves, treedef = jax.tree.flatten(shapes)
        keys = jax.random.split(scale_key, len(leaves))
        if level == "all":
            keys = [scale_key] * len(leaves)  # one draw, that all share
        scales = [
            jnp.exp(
                jax.random.uniform(
                    k, s.shape if level == "coordinate" else (), s.dtype, -log_range, log_range
                )
            )
            for k, s in zip(keys, leaves, strict=True)
        ]
        return problem, treedef.unflatten(scales)

    def init(key: Key, scaled: tuple[Problem, Params]) -> Params:
        problem, scales = scaled
        return jax.tree.map(jnp.divide, task.init(key, problem), scales)

    def batch(key: Key, scaled: tuple[Problem, Params], data) -> Batch:
        return task.batch(key, scaled[0], data)

    def loss(params: Params, scaled: tuple[Problem, Params], batch: Batch) -> Array:
        problem, scales = scaled
        return task.loss(jax.tree.map(jnp.multiply, params, scales), problem, batch)

    def smooth(params: Params, scaled: tuple[Problem, Params], batch: Batch) -> Array:
        problem, scales = scaled
        assert task.smooth is not None
        return task.smooth(jax.tree.map(jnp.multiply, params, scales), problem, batch)

    def metrics(params: Params, scaled: tuple[Problem, Params], data) -> dict[str, Array]:
        problem, scales = scaled
        assert task.metrics is not None
        return task.metrics(jax.tree.map(jnp.multiply, params, scales), problem, data)

    return Task(
        sample,
        init,
        batch,
        loss,
        task.data,
        metrics if task.metrics else None,
        smooth=smooth if task.smooth else None,
    )
