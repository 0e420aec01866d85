"""Statistics of an optimizer's updates along a trajectory, taken from outside."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.extend import core

from learned_opt.core.types import Array, Data, Key, LearnedOptimizer, Params, Task, Theta
from learned_opt.training.unroll import start, unroll

# A sigmoid beyond these bounds passes on less than a twelfth of the derivative that it has in the middle.
SIGMOID_BOUND, TANH_BOUND = 0.02, 0.98
ACTIVATIONS = {"logistic": "sigmoid", "sigmoid": "sigmoid", "tanh": "tanh"}


class UpdateStats(NamedTuple):
    """What one update looks like from outside; arrays [problems, steps, ...] for whole trajectories."""

    gradient_norm: Array  # f32, of the optimizee's gradient
    update_norm: Array  # f32
    param_norm: Array  # f32, of the params before the update
    gain: Array  # f32, size of the first-order change of the loss
    finite: Array  # bool[leaves], in the order of `leaf_names`
    saturated: dict[str, Array]  # f32, the share at the bounds, by group of activations


class Watched(NamedTuple):
    """State of a watched optimizer: its own, and the statistics of the last update."""

    inner: Any
    stats: UpdateStats


def watched_trajectories(
    lopt: LearnedOptimizer, task: Task, theta: Theta, data: Data, keys: Key, num_steps: int
) -> tuple[Array, UpdateStats]:
    """The losses f32[problems, num_steps + 1] of a problem a key, and the statistics of the updates."""
    extra_args = {} if task.prox is None else {"prox": task.prox}
    tx = _watched(lopt, theta, extra_args)

    def one_problem(key: Key) -> tuple[Array, UpdateStats]:
        sample_key, start_key, batch_key = jax.random.split(key, 3)
        problem = task.sample(sample_key)

        def step(state: Any, _):
            state, losses = unroll(tx, task, batch_key, problem, data, state, 1)
            return state, (losses, state.opt_state.stats)

        first = start(tx, task, start_key, problem)
        _, (losses, statss) = jax.lax.scan(step, first, length=num_steps)
        return jnp.append(losses[:, 0], losses[-1, 1]), statss

    return jax.vmap(one_problem)(keys)


def leaf_names(lopt: LearnedOptimizer, task: Task, theta: Theta) -> list[str]:
    """The names of the leaves in `UpdateStats.finite`, in the order in which they are computed."""
    key = jax.random.key(0)
    params, state = jax.eval_shape(
        lambda theta: start(lopt.build(theta), task, key, task.sample(key))[:2], theta
    )
    trees = {"params": params, "gradient": params, "state": state, "update": params}
    return [
        f"{what}{jax.tree_util.keystr(path)}"
        for what, tree in trees.items()
        for path, _ in jax.tree.leaves_with_path(tree)
    ]


def _watched(
    lopt: LearnedOptimizer, theta: Theta, known_args: dict[str, Any]
) -> optax.GradientTransformationExtraArgs:
    plain = optax.with_extra_args_support(lopt.build(theta))

    def init_fn(params: Params) -> Watched:
        # The stats of an update that is never made, for its shapes.
        zero = jnp.zeros([], jnp.float32)
        made_up = {"value": zero, "grad": params, "value_fn": lambda p: zero, **known_args}
        state = plain.init(params)
        stats = jax.eval_shape(lambda p, s: look(p, s, p, made_up)[2], params, state)
        return Watched(state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), stats))

    def look(grads: Params, state: Any, params: Params, extra_args: dict[str, Any]):
        def update(theta: Theta, grads: Params, state: Any):
            tx = optax.with_extra_args_support(lopt.build(theta))
            return tx.update(grads, state, params, **extra_args)

        (updates, new_state), saturated = with_saturation(update, theta, grads, state)
        leaves = jax.tree.leaves((params, grads, new_state, updates))
        stats = UpdateStats(
            _norm(grads),
            _norm(updates),
            _norm(params),
            jnp.abs(sum(map(_dot, *map(jax.tree.leaves, (grads, updates))), start=jnp.float32(0))),
            jnp.stack([_finite(leaf) for leaf in leaves]),
            saturated,
        )
        return updates, new_state, stats

    def update_fn(updates, state, params=None, **extra_args):
        updates, inner, stats = look(updates, state.inner, params, extra_args)
        return updates, Watched(inner, stats)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def with_saturation(function: Any, theta: Theta, *args: Any) -> tuple[Any, dict[str, Array]]:
    """What a function of theta gives, and which shares of its sigmoids and tanhs are at their bounds.

    They are read off the traced program, so that every rule can be looked at, and only those that depend on
    theta count: a step counter that passes through a tanh saturates by design.
    """
    traced, shape = jax.make_jaxpr(function, return_shape=True)(theta, *args)
    program = traced.jaxpr
    of_theta = set(program.invars[: len(jax.tree.leaves(theta))])
    found: list[tuple[str, Any]] = []
    for equation in program.eqns:
        if any(isinstance(v, core.Var) and v in of_theta for v in equation.invars):
            of_theta.update(equation.outvars)
            kind = ACTIVATIONS.get(equation.params.get("name", equation.primitive.name))
            if kind is not None:
                modules = re.findall(r"\w+(?!\w*\()", str(equation.source_info.name_stack))
                found.append((f"{modules[-1] if modules else 'output'} {kind}", equation.outvars[0]))
    outvars = [*program.outvars, *(variable for _, variable in found)]
    # Names of the results are for error messages alone, and would have to be as many.
    info = program.debug_info._replace(result_paths=None)
    extended = core.jaxpr_as_fun(traced.replace(jaxpr=program.replace(outvars=outvars, debug_info=info)))
    results = extended(*jax.tree.leaves((theta, *args)))
    value = jax.tree.unflatten(jax.tree.structure(shape), results[: len(program.outvars)])
    counts: dict[str, list[Array]] = {}
    sizes: dict[str, int] = {}
    for (name, _), activation in zip(found, results[len(program.outvars) :], strict=True):
        activation = activation.astype(jnp.float32)
        if name.endswith("sigmoid"):
            bound = (activation < SIGMOID_BOUND) | (activation > 1 - SIGMOID_BOUND)
        else:
            bound = jnp.abs(activation) > TANH_BOUND
        counts.setdefault(name, []).append(jnp.sum(bound.astype(jnp.float32)))
        sizes[name] = sizes.get(name, 0) + activation.size
    return value, {name: sum(c, start=jnp.float32(0)) / max(sizes[name], 1) for name, c in counts.items()}


def _norm(tree: Params) -> Array:
    squares = [jnp.sum(jnp.square(x.astype(jnp.float32))) for x in jax.tree.leaves(tree)]
    return jnp.sqrt(sum(squares, start=jnp.float32(0)))


def _dot(a: Array, b: Array) -> Array:
    return jnp.sum(a.astype(jnp.float32) * b.astype(jnp.float32))


def _finite(leaf: Array) -> Array:
    if not jnp.issubdtype(jnp.result_type(leaf), np.inexact):
        return jnp.array(True)
    return jnp.all(jnp.isfinite(leaf))
