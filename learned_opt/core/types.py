"""The types that every layer shares.

A learned optimizer is a function from meta-parameters `theta` to an optax transformation, a task is a
distribution over optimizees, and an estimator turns the two into a meta-gradient. All three are tuples
of pure functions, in the manner of `optax.GradientTransformation` and `haiku.Transformed`.
"""

from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import optax

Array = jax.Array
Key = jax.Array  # a typed key, as made by jax.random.key
Theta = Any  # meta-parameters: a pytree of floating-point arrays
Params = Any  # the optimizee's parameters: a pytree of arrays
Problem = Any  # one draw from a task: a pytree of arrays, so that problems vmap
Batch = Any  # what one evaluation of the loss sees besides the problem
Data = Any  # device-resident arrays that all problems of a task share


class _HashedByIdentity:
    """A tuple whose callable objects without a hash, such as equinox modules, are hashed as functions are.

    jit compiles once for each function that it is given, which it has to know again.
    """

    __slots__ = ()

    if not TYPE_CHECKING:

        def __new__(cls, *args, **kwargs):
            return cls._make(super().__new__(cls, *args, **kwargs))

        @classmethod
        def _make(cls, iterable):
            fields = zip(cls._fields, iterable, strict=True)
            return tuple.__new__(cls, [v if name == "data" else _hashable(v) for name, v in fields])


def _hashable(value: Any) -> Any:
    """A callable object without a hash as the method that it is called by; all else as it is."""
    if not callable(value):
        return value
    try:
        hash(value)
    except TypeError:
        return MethodType(type(value).__call__, value)
    return value


class _LearnedOptimizerFields(NamedTuple):
    init: Callable[[Key], Theta]
    build: Callable[..., optax.GradientTransformationExtraArgs]
    config: Any = None
    coordinatewise: bool = False


class LearnedOptimizer(_HashedByIdentity, _LearnedOptimizerFields):
    """A pair of pure functions: meta-parameters, and the optimizer that they make.

    Attributes:
        init: `init(key) -> theta`, fresh meta-parameters.
        build: `build(theta, *, num_steps=None) -> optax.GradientTransformationExtraArgs`. `num_steps` is
            the length of the run where it is known, for optimizers that can use it.
        config: the named arguments that made this optimizer, so that it can be stored and made again;
            `None` where it was made from something that has no name.
        coordinatewise: whether what becomes of a coordinate, its update and its state, depends on theta and
            on that coordinate's gradients alone: not on other coordinates, the params or the loss.
    """

    __slots__ = ()


class _TaskFields(NamedTuple):
    sample: Callable[[Key], Problem]
    init: Callable[[Key, Problem], Params]
    batch: Callable[[Key, Problem, Data], Batch]
    loss: Callable[[Params, Problem, Batch], Array]
    data: Data = ()
    metrics: Callable[[Params, Problem, Data], dict[str, Array]] | None = None
    config: Any = None
    smooth: Callable[[Params, Problem, Batch], Array] | None = None
    prox: Callable[[Params, Any], Params] | None = None
    parts: tuple[Any, ...] = ()


class Task(_HashedByIdentity, _TaskFields):
    """A distribution over optimizees.

    Its functions may be callable objects. What is compiled for one knows it by its identity, and does not
    see that it was changed in place.

    Attributes:
        sample: `sample(key) -> problem`.
        init: `init(key, problem) -> params`, where a trajectory starts.
        batch: `batch(key, problem, data) -> batch`; `()` where the loss is deterministic.
        loss: `loss(params, problem, batch) -> f32[]`.
        data: arrays that all problems share. They are passed to jitted functions, never closed over.
        metrics: `metrics(params, problem, data) -> {name: f32[]}`, what is reported beside the loss, such
            as the accuracy on held-out data. It is never differentiated or selected on.
        config: the named arguments that made this task, or `None`.
        smooth: `smooth(params, problem, batch) -> f32[]`, what the optimizer sees the value and the gradient
            of, where that is not the loss: the differentiable part of a composite objective, the observable
            objective where the loss is the distance to a solution that only the task knows, or the loss with
            a bonus that helps training. `None` where it is the loss.
        prox: `prox(params, step_size) -> params`, the proximal operator of the nonsmooth part, the same for
            all problems, for optimizers that use it; `None` where there is none.
        parts: the tasks that a mixture draws from, for an estimator that unrolls each by itself; `data` is
            then a tuple of theirs.
    """

    __slots__ = ()


class MetaGradient(NamedTuple):
    """What an estimator returns.

    Attributes:
        grad: the gradient of the meta-loss with respect to theta; same structure as theta.
        loss: f32[], the meta-loss of the truncation, averaged over problems.
        last_loss: f32[], the mean optimizee loss where the truncation ended.
        ends_trajectory: bool[], whether the truncation was the last of its trajectory.
    """

    grad: Theta
    loss: Array
    last_loss: Array
    ends_trajectory: Array


class Estimator(NamedTuple):
    """How the meta-gradient is computed.

    Attributes:
        init: `init(key, theta, data) -> state`, the inner problems at their first step. On several devices
            the `training.estimators.UnrollState` in it is split by problem; all else is whole on each.
        estimate: `estimate(key, theta, state, data) -> (MetaGradient, state)`.
    """

    init: Callable[[Key, Theta, Data], Any]
    estimate: Callable[[Key, Theta, Any, Data], tuple[MetaGradient, Any]]
