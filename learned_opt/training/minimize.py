"""A training loop for any loss and any optax optimizer, in one scan."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.types import Array


class Minimized(NamedTuple):
    """What `minimize` gives.

    Attributes:
        params: after the last step.
        opt_state: of the optimizer.
        losses: f[num_steps], each before its step.
        reports: what `report` gave after each step, stacked.
    """

    params: Any
    opt_state: optax.OptState
    losses: Array
    reports: Any


def minimize(
    loss: Callable[[Any, Array], Array],
    params: Any,
    tx: optax.GradientTransformation,
    *,
    num_steps: int,
    opt_state: Any = None,
    first_step: Array | int = 0,
    report: Callable[[Any], Any] | None = None,
) -> Minimized:
    """Takes steps of an optimizer on a loss; pure, so that it jits, and vmaps over params and whatever else.

    Args:
        loss: `loss(params, step) -> f[]`, with `step` i32[]; where it draws data it folds the step into its
            key, so that a run that goes on later repeats what an undisturbed one does.
        params: to start from.
        tx: the optimizer.
        num_steps: to take; static.
        opt_state: to go on from; that of `tx.init(params)` by default.
        first_step: the number of the first step.
        report: `report(params)`, whatever is to be seen of the params after each step.

    Returns:
        The params, the optimizer's state, losses and reports.

    Example:
        >>> found = minimize(lambda x, step: x**2 / 2, jnp.float32(4), optax.sgd(0.5), num_steps=2)
        >>> float(found.params), found.losses.tolist()
        (1.0, [8.0, 2.0])
    """

    def body(carry: tuple[Any, Any], step: Array) -> tuple[Any, tuple[Array, Any]]:
        params, opt_state = carry
        value, gradient = jax.value_and_grad(loss)(params, step)
        # optax's schedules count on int and float promoting, whatever the user has set.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = tx.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        return (params, opt_state), (value, () if report is None else report(params))

    start = params, tx.init(params) if opt_state is None else opt_state
    (params, opt_state), (losses, reports) = jax.lax.scan(body, start, first_step + jnp.arange(num_steps))
    return Minimized(params, opt_state, losses, reports)
