"""The inner loop: one optimizer on one problem. Everything that unrolls calls it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.types import Array, Data, Key, Params, Problem, Task


class InnerState(NamedTuple):
    """Where a trajectory stands.

    Attributes:
        params: the optimizee's parameters.
        opt_state: the optimizer's state.
        step: i32[], inner steps made so far.
    """

    params: Params
    opt_state: Any
    step: Array


def start(tx: optax.GradientTransformation, task: Task, key: Key, problem: Problem) -> InnerState:
    """The first state of a trajectory.

    Args:
        tx: the optimizer.
        task: the task that the problem is from.
        key: makes the starting point.
        problem: one draw from the task.

    Returns:
        The state at step 0.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> task = quadratic(dim=2)
        >>> state = start(optax.sgd(0.1), task, jax.random.key(0), task.sample(jax.random.key(1)))
        >>> int(state.step), state.params.shape
        (0, (2,))
    """
    params = task.init(key, problem)
    return InnerState(params, tx.init(params), jnp.zeros([], jnp.int32))


def unroll(
    tx: optax.GradientTransformation,
    task: Task,
    key: Key,
    problem: Problem,
    data: Data,
    state: InnerState,
    num_steps: int,
    *,
    second_order: bool = False,
) -> tuple[InnerState, Array]:
    r"""Makes `num_steps` updates of one problem and records the losses.

    .. math::

        x_{t+1} = x_t + u_t, \qquad u_t, s_{t+1} = \mathrm{update}(\nabla f_t(x_t), s_t), \qquad
        f_t(x) = f(x; b_t)

    The batch `b_t` depends on `key` and t alone, so that a trajectory unrolled in parts is the trajectory
    unrolled at once. Vmap it over problems, keys, states or meta-parameters.

    Differentiated with respect to what made `tx`, the gradients of the optimizee count as constants by
    default. The derivative of each loss is then taken from the gradient that the forward pass computed
    anyway, and the optimizee is never differentiated twice.

    Where the task has a smooth part, the optimizer sees that part alone, and the losses are still the task's.

    Args:
        tx: the optimizer; it is given the loss as `value=`, the gradient as `grad=`, the loss function
            as `value_fn=` and the task's proximal operator, if it has one, as `prox=`, should it want them.
        task: the task that the problem is from; its own `data` is not used.
        key: makes the batches; the same key for all parts of a trajectory.
        problem: one draw from the task.
        data: the task's data, passed so that jit does not bake it in.
        state: where the trajectory stands.
        num_steps: updates to make; static.
        second_order: whether to differentiate through the optimizee's gradients too.

    Returns:
        The new state, and the losses f32[num_steps + 1] from the given state's to the new state's.

    Example:
        >>> from learned_opt.tasks import quadratic
        >>> task, key = quadratic(dim=2), jax.random.key(0)
        >>> problem, tx = task.sample(key), optax.sgd(0.05)
        >>> state, losses = unroll(tx, task, key, problem, (), start(tx, task, key, problem), 10)
        >>> losses.shape, bool(losses[-1] < losses[0])
        ((11,), True)

    Reference:
        Andrychowicz et al. 2016, section 2.1: the dropped edges of figure 2 are the default here.
    """
    state, losses, _ = recorded_unroll(
        tx, task, key, problem, data, state, num_steps, second_order=second_order
    )
    return state, losses


def recorded_unroll(
    tx: optax.GradientTransformation,
    task: Task,
    key: Key,
    problem: Problem,
    data: Data,
    state: InnerState,
    num_steps: int,
    *,
    second_order: bool = False,
) -> tuple[InnerState, Array, Params]:
    """`unroll`, with the gradients that the optimizer was given at each loss, leaves [num_steps + 1, ...]."""
    tx = optax.with_extra_args_support(tx)

    extra_args = {} if task.prox is None else {"prox": task.prox}

    def see(params: Params, step: Array) -> tuple[Array, Array, Params, Any]:
        """The loss, and what the optimizer sees: a value, its gradient, and the function of both."""
        batch = task.batch(jax.random.fold_in(key, step), problem, data)
        visible = task.loss if task.smooth is None else task.smooth

        def value_fn(p: Params) -> Array:
            return visible(p, problem, batch)

        if second_order:
            value, grad = jax.value_and_grad(value_fn)(params)
        else:
            value, grad = jax.value_and_grad(value_fn)(jax.lax.stop_gradient(params))
            value = _linearized(value, grad, params)
        loss = value if task.smooth is None else task.loss(params, problem, batch)
        return loss, value, grad, value_fn

    def body(state: InnerState, _) -> tuple[InnerState, tuple[Array, Params]]:
        loss, value, grad, value_fn = see(state.params, state.step)
        # optax's own optimizers count on int and float promoting, whatever the user has set.
        with jax.numpy_dtype_promotion("standard"):
            updates, opt_state = tx.update(
                grad,
                state.opt_state,
                state.params,
                value=value,
                grad=grad,
                value_fn=value_fn,
                **extra_args,
            )
        params = optax.apply_updates(state.params, updates)
        return InnerState(params, opt_state, state.step + 1), (loss, grad)

    # Of each step only the state is kept for the backward pass: to compute the gates twice costs less than
    # to store them and read them back. Without differentiation this changes nothing.
    step = jax.checkpoint(body, prevent_cse=False)
    state, (losses, grads) = jax.lax.scan(step, state, length=num_steps)
    last, _, last_grad, _ = see(state.params, state.step)
    grads = jax.tree.map(lambda g, end: jnp.concatenate([g, end[jnp.newaxis]]), grads, last_grad)
    return state, jnp.append(losses, last), grads


@jax.custom_jvp
def _linearized(value: Array, grad: Params, params: Params) -> Array:
    """`value`, with `grad` as its derivative with respect to `params` and nothing else's."""
    del grad, params
    return value


@_linearized.defjvp
def _linearized_jvp(primals, tangents):
    value, grad, _ = primals
    products = jax.tree.map(lambda g, t: jnp.sum(g * t).astype(value.dtype), grad, tangents[2])
    return value, sum(jax.tree.leaves(products), start=jnp.zeros_like(value))
