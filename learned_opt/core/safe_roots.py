"""Square roots with a finite derivative everywhere, inside functions that others have written."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.extend import core as jax_core

from learned_opt.core.types import Array

F = TypeVar("F", bound=Callable[..., Any])


@jax.custom_jvp
def safe_sqrt(x: Array) -> Array:
    """The square root, with derivative 0 at 0, and 0 for negative numbers; NaN stays NaN.

    The true derivative at 0 is infinite, and times the 0 of what made x it is NaN: the second moment of a
    coordinate without a gradient is such an x. Negative numbers stand in branches that are not taken.
    """
    return jnp.sqrt(jnp.maximum(x, 0))


@safe_sqrt.defjvp
def _safe_sqrt_jvp(primals, tangents):
    root = safe_sqrt(primals[0])
    positive = root > 0
    half = jnp.asarray(0.5, root.dtype)
    return root, jnp.where(positive, half / jnp.where(positive, root, 1), 0) * tangents[0]


def with_safe_roots(function: F) -> F:
    """The same function of arrays, with `safe_sqrt` in the place of each square root.

    It is traced, and what it computes is computed again; roots inside of loops and
    branches, and inside functions with derivatives of their own, are left as they are.
    """

    def safe(*args: Any) -> Any:
        jaxpr, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        results = _evaluate(jaxpr.jaxpr, jaxpr.consts, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return safe  # type: ignore[return-value]


def _evaluate(jaxpr: Any, consts: list[Any], args: list[Any]) -> list[Any]:
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, jax_core.Literal) else values[variable]

    for equation in jaxpr.eqns:
        inputs = [read(v) for v in equation.invars]
        if equation.primitive.name == "sqrt":
            outputs = [safe_sqrt(*inputs)]
        elif equation.primitive.name in ("jit", "pjit"):
            inner = equation.params["jaxpr"]
            outputs = _evaluate(inner.jaxpr, inner.consts, inputs)
        else:
            params = equation.primitive.get_bind_params(equation.params)
            with equation.ctx.manager:
                outputs = equation.primitive.bind(*inputs, **params)
            outputs = outputs if equation.primitive.multiple_results else [outputs]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(v) for v in jaxpr.outvars]
