"""Any optax optimizer as a learned optimizer whose theta are its hyperparameters."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt.core.errors import unknown_name
from learned_opt.core.safe_roots import with_safe_roots
from learned_opt.core.types import Array, Key, LearnedOptimizer, Theta
from learned_opt.optimizers.registry import registry

Scale = Literal["log", "logit", "linear"]

# What a hyperparameter's theta is, and back. One minus a decay rate is what matters, hence the logit.
_FORWARD: dict[str, Callable[[Any], Any]] = {
    "log": np.log,
    "logit": lambda x: np.log(x) - np.log1p(-x),
    "linear": lambda x: x,
}
_BACKWARD: dict[str, Callable[[Array], Array]] = {
    "log": jnp.exp,
    "logit": lambda x: 1 / (1 + jnp.exp(-x)),
    "linear": lambda x: x,
}
# Names that optax gives to hyperparameters.
_DECAY_RATE = re.compile(r"(adam_)?(b[1-3]|beta[1-3]?|rho|decay|decay_rate|momentum)")
_POSITIVE = re.compile(
    r".*learning_rate|.*step_size|(adam_)?weight_decay(_rate)?|(adam_)?eps(_root)?|trust_coefficient"
)
_DOMAIN = {"log": "above 0", "logit": "strictly between 0 and 1", "linear": "finite"}


@registry.register
def hyperparameters(
    factory: str | Callable[..., optax.GradientTransformation] = "adam",
    initial: Mapping[str, float] | None = None,
    scales: Mapping[str, Scale] | None = None,
) -> LearnedOptimizer:
    r"""A learned optimizer whose meta-parameters are another optimizer's hyperparameters.

    .. math::

        \mathrm{build}(\theta) = \mathrm{factory}(h_1 = \tau_1(\theta_1), h_2 = \tau_2(\theta_2), \dots),
        \qquad \tau = \exp,\ \operatorname{sigmoid} \text{ or the identity}

    Args:
        factory: an optax factory, or its name in optax (`"adam"`); only a named one can be saved.
        initial: the hyperparameters to learn and where they start, as keyword arguments of the factory.
            `{"learning_rate": 1e-3}` by default.
        scales: how each is transformed: `"log"` for a positive one, `"logit"` for one in (0, 1),
            `"linear"` for any. By default `"logit"` for decay rates (`b1`, `b2`, `b3`, `beta`, `rho`,
            `decay`, `decay_rate`, `momentum`, also as `adam_b1`) and `"log"` for learning rates, step
            sizes, weight decays, `eps` and `trust_coefficient`; other names need one.

    Returns:
        A learned optimizer; theta is a dictionary of f32[] by hyperparameter. The derivative of a square
        root at 0, such as that of the second moment of a coordinate without a gradient, is taken to be 0.

    Raises:
        ValueError: if the factory's name is unknown, a hyperparameter lies outside its scale's domain, has
            no scale, or a scale is given for a hyperparameter that is not learned.

    Example:
        >>> import jax
        >>> lopt = hyperparameters("adam", {"learning_rate": 0.1, "b1": 0.9})
        >>> theta = lopt.init(jax.random.key(0))
        >>> {name: round(float(x), 3) for name, x in sorted(theta.items())}
        {'b1': 2.197, 'learning_rate': -2.303}
        >>> tx = lopt.build(theta)
        >>> updates, _ = tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
        >>> [round(float(u), 4) for u in updates]
        [-0.1, -0.1]
    """
    initial = {"learning_rate": 1e-3} if initial is None else dict(initial)
    scales = {} if scales is None else dict(scales)
    function = _named(factory) if isinstance(factory, str) else factory
    if not initial:
        raise ValueError("initial={}: name at least one hyperparameter to learn")
    for name in scales:
        if name not in initial:
            raise unknown_name("learned hyperparameter", name, initial)
    chosen = {name: scales.get(name) or _default_scale(name) for name in initial}
    start: dict[str, float] = {}
    for name, value in initial.items():
        if chosen[name] not in _FORWARD:
            raise unknown_name("scale", chosen[name], _FORWARD)
        with np.errstate(all="ignore"):
            start[name] = float(_FORWARD[chosen[name]](np.float64(value)))
        if not np.isfinite(start[name]):
            raise ValueError(
                f"{name}={value!r} on scale {chosen[name]!r}: it must be {_DOMAIN[chosen[name]]}"
            )

    def init(key: Key) -> Theta:
        del key
        return {name: jnp.float32(value) for name, value in start.items()}

    def build(theta: Theta, *, num_steps: Any = None) -> optax.GradientTransformationExtraArgs:
        del num_steps
        if set(theta) != set(start):
            raise ValueError(f"theta has {sorted(theta)}, this optimizer learns {sorted(start)}")
        values = {name: _BACKWARD[chosen[name]](theta[name]) for name in start}
        inner = optax.with_extra_args_support(function(**values))

        def update_fn(updates, state, params=None, **extra_args):
            # A learned hyperparameter is a float32 array, where a number would take the gradients' dtype.
            with jax.numpy_dtype_promotion("standard"):
                new_updates, new_state = with_safe_roots(
                    lambda updates, state: inner.update(updates, state, params, **extra_args)
                )(updates, state)
            return _cast_like(new_updates, updates), _cast_like(new_state, state)

        return optax.GradientTransformationExtraArgs(inner.init, update_fn)

    return LearnedOptimizer(init, build)


def _cast_like(tree: Any, like: Any) -> Any:
    return jax.tree.map(lambda x, y: x if x.dtype == y.dtype else x.astype(y.dtype), tree, like)


def _named(name: str) -> Callable[..., optax.GradientTransformation]:
    function = getattr(optax, name, None)
    if function is None:
        alias = [n for n, f in vars(optax).items() if getattr(f, "__module__", "") == optax.adam.__module__]
        raise unknown_name("optax optimizer", name, alias)
    return function


def _default_scale(name: str) -> Scale:
    if _DECAY_RATE.fullmatch(name):
        return "logit"
    if _POSITIVE.fullmatch(name):
        return "log"
    raise ValueError(
        f"no scale is known for the hyperparameter {name!r}: give scales={{{name!r}: 'log'}} if it is "
        "positive, 'logit' if it lies between 0 and 1, or 'linear'"
    )
