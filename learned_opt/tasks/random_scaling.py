"""Random scaling of the coordinates of any task, and of its loss.

Reference:
    Lv, Jiang, Li, Learning gradient descent: better generalization and longer horizons, ICML 2017,
    section 4.1.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from learned_opt.core.types import Array, Batch, Key, Params, Problem, Task
from learned_opt.tasks.registry import registry
from learned_opt.tasks.wrapping import wrap


class Scaled(NamedTuple):
    """One problem, and what it is scaled by.

    Attributes:
        problem: one draw from the given task.
        scales: c, a tree like the params; each leaf has its param's shape, or is f32[] where it is shared.
        loss_scale: a, f32[].
    """

    problem: Problem
    scales: Params
    loss_scale: Array


@registry.register
def random_scaling(
    task: Task,
    log_range: float = 3.0,
    level: Literal["coordinate", "tensor", "all"] = "coordinate",
    loss_log_range: float = 0.0,
) -> Task:
    r"""The same losses seen through randomly scaled coordinates, and by a random multiple.

    .. math::

        f_c(x) = f(c \odot x), \qquad x_0 \to x_0 / c, \qquad c_i = e^{r_i}, \quad r_i \sim U(-R, R)

    A rule meta-trained on `f_c` meets gradients of many sizes and step sizes that suit them badly, so
    it cannot rely on the scale of one architecture.

    With a range for the loss the optimizer sees the value and the gradient of

    .. math::

        a\, f_c(x), \qquad a = e^r, \quad r \sim U(-R_f, R_f),

    while the loss that is measured stays `f_c`, so that all problems count alike. Scaling coordinates changes
    sizes of gradients and good sizes of steps in opposite directions; scaling the loss changes the gradients
    alone.

    Args:
        task: any task.
        log_range: R, in natural logarithms; `log(1000)` = 6.9 for factors from 1e-3 to 1e3.
        level: what shares a scale: nothing, the coordinates of a tensor, or all coordinates. Where a rule
            normalises over tensors, only the last two change what it sees of a tensor as a whole.
        loss_log_range: R_f, in natural logarithms.

    Returns:
        The scaled task; its data is the given task's, its problems are `Scaled`.

    Raises:
        ValueError: if a range is negative, the level unknown, or the task has a proximal operator, which
            scaling would change.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> task, plain = random_scaling(quadratic(dim=4)), quadratic(dim=4)
        >>> problem = task.sample(jax.random.key(0))
        >>> x = task.init(jax.random.key(1), problem)
        >>> given = problem.problem
        >>> same = plain.loss(plain.init(jax.random.key(1), given), given, ())
        >>> bool(jnp.allclose(task.loss(x, problem, ()), same, rtol=1e-5))
        True

    Reference:
        Lv et al. 2017, section 4.1, scales coordinates. Scales that are shared are the reparameterisation of
        Metz et al., VeLO: training versatile learned optimizers by scaling up, arXiv:2211.09760, 2022, with
        factors from 1e-3 to 1e3, a range and a level drawn for each problem; here they are fixed, and
        `mixture` draws among several. Scaling the loss is an addition.
    """
    if level not in ("coordinate", "tensor", "all"):
        raise ValueError(f"level={level!r}: choose 'coordinate', 'tensor' or 'all'")
    for name, value in (("log_range", log_range), ("loss_log_range", loss_log_range)):
        if not value >= 0:
            raise ValueError(f"{name}={value!r}: it must not be negative")
    if task.prox is not None:
        raise ValueError("a task with a proximal operator cannot be scaled: leave out the scaling")

    def sample(key: Key) -> Scaled:
        problem_key, loss_key, scale_key = jax.random.split(key, 3)
        problem = task.sample(problem_key)
        shapes = jax.eval_shape(task.init, problem_key, problem)
        leaves, treedef = jax.tree.flatten(shapes)
        keys = jax.random.split(scale_key, len(leaves))
        if level == "all":
            keys = [scale_key] * len(leaves)  # one draw, that all share
        scales = [
            log_uniform(k, s.shape if level == "coordinate" else (), s.dtype, log_range)
            for k, s in zip(keys, leaves, strict=True)
        ]
        loss_scale = log_uniform(loss_key, (), jnp.float32, loss_log_range)
        return Scaled(problem, treedef.unflatten(scales), loss_scale)

    def log_uniform(key: Key, shape: tuple[int, ...], dtype: Any, log_range: float) -> Array:
        return jnp.exp(jax.random.uniform(key, shape, dtype, -log_range, log_range))

    def init(key: Key, scaled: Scaled) -> Params:
        return jax.tree.map(jnp.divide, task.init(key, scaled.problem), scaled.scales)

    scaled_task = wrap(
        task,
        params_of=lambda params, scaled: jax.tree.map(jnp.multiply, params, scaled.scales),
        problem_of=lambda scaled: scaled.problem,
        sample=sample,
        init=init,
    )
    visible = scaled_task.smooth or scaled_task.loss

    def smooth(params: Params, scaled: Scaled, batch: Batch) -> Array:
        return scaled.loss_scale * visible(params, scaled, batch)

    # Where the loss is not scaled it is what the optimizer sees, unless the given task says otherwise.
    return scaled_task._replace(smooth=smooth if task.smooth or loss_log_range else None)
