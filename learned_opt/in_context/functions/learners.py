"""Function learners: recurrent networks that learn a function in their state, with fixed weights.

Reference:
    Younger, Hochreiter and Conwell, Meta-learning with backpropagation, IJCNN 2001: the topologies.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from learned_opt import networks
from learned_opt.core.errors import unknown_name
from learned_opt.core.registry import Registry
from learned_opt.core.types import Array, Key, Theta

registry = Registry("function learner")

NUM_INPUTS = 3
SQUASH: dict[str, Callable[[Array], Array]] = {
    "sigmoid": jax.nn.sigmoid,
    # The linear output starts in the middle of the targets.
    "linear": lambda z: 0.5 + z,
}
Squash = Literal["sigmoid", "linear"]
Shown = Literal["target", "error"]  # of the example before


class FunctionLearner(NamedTuple):
    """A recurrent network that is shown examples of a function and predicts the next.

    Attributes:
        init: `init(key) -> theta`.
        predict: `predict(theta, inputs, keep=None, state=None) -> outputs`, f32[T, 3] -> f32[T]. `keep` has a
            vector f32[width] for each layer, factors on the outputs of its units: 0 removes a unit. `state`
            is where it starts, zeros by default.
        states: `states(theta, inputs) -> states`, that of each layer after every example, leaves f32[T, n].
            An entry of them is a state that `predict` can start from.
        widths: the number of units of each layer.
        config: the named arguments that made this learner, or `None`.
    """

    init: Callable[[Key], Theta]
    predict: Callable[..., Array]
    states: Callable[[Theta, Array], Any]
    widths: tuple[int, ...]
    config: Any = None


@registry.register
def lstm(
    num_cells: tuple[int, ...] = (6,),
    num_units: tuple[int, ...] = (0,),
    forget_gate: bool = True,
    forget_bias: float = 1.0,
    gate_bias: float = 0.0,
    truncated: bool = False,
    feedback: bool = False,
    output: Squash = "sigmoid",
    target_scale: float = 1.0,
    shown: Shown = "target",
) -> FunctionLearner:
    r"""LSTM, one layer or several, with standard units beside the cells.

    The output is a squashed linear function of the last layer. With a target scale s the network sees
    :math:`s (y_{t-1} - \frac12)` for the previous target and, with a linear output, says
    :math:`\frac12 + z / s`, so that targets of a narrow range look wide to it.

    In place of the previous target it can be shown its own previous error
    :math:`s (y_{t-1} - \hat y_{t-1})`; before the first example, that of what it says in a state of zeros,
    for a target of 0.

    Args:
        num_cells: memory cells of each layer.
        num_units: standard units of each layer.
        forget_gate: whether cells can forget; the LSTM of 1997 cannot.
        forget_bias: where the forget gate's bias starts.
        gate_bias: where the biases of the other gates start.
        truncated: whether the gradient flows along the cells alone, as in 1997.
        feedback: whether the first layer sees the last one's output of the step before.
        output: `"sigmoid"` for targets in [0, 1], or `"linear"`.
        target_scale: factor on the targets, as the network sees them.
        shown: what it sees of the example before beside the inputs: `"target"`, or its own `"error"`.

    Returns:
        The learner.

    Raises:
        ValueError: if the layers do not agree, or the output, what is shown or the scale is none.

    Example:
        >>> learner = lstm()
        >>> theta = learner.init(jax.random.key(0))
        >>> learner.predict(theta, jnp.zeros((5, 3))).shape
        (5,)

    Reference:
        Younger et al. 2001, section 2.3 and Table 1: `num_cells=(6,), num_units=(6,), forget_gate=False` and
        `num_cells=(12, 0), num_units=(6, 40), forget_gate=False`. How the second layer was wired is not told.
    """
    num_cells, num_units = tuple(num_cells), tuple(num_units)
    if len(num_cells) != len(num_units) or not num_cells:
        raise ValueError(
            f"num_cells={num_cells!r}, num_units={num_units!r}: give as many of each as there are layers"
        )
    for cells, units in zip(num_cells, num_units, strict=True):
        if cells < 0 or units < 0 or cells + units < 1:
            raise ValueError(f"a layer of {cells} cells and {units} units: give at least one of either")

    def cores() -> list[hk.RNNCore]:
        return [
            networks.MemoryCells(
                cells,
                units,
                forget_gate=forget_gate,
                forget_bias=forget_bias,
                gate_bias=gate_bias,
                truncated=truncated,
            )
            for cells, units in zip(num_cells, num_units, strict=True)
        ]

    widths = tuple(cells + units for cells, units in zip(num_cells, num_units, strict=True))
    return _recurrent(cores, widths, feedback, output, target_scale, shown)


@registry.register
def elman(num_units: int = 12, truncated: bool = False, output: Squash = "sigmoid") -> FunctionLearner:
    """Elman's network.

    Args:
        num_units: of its one layer.
        truncated: whether the gradient goes one step back, as in Elman's own training, or all the way.
        output: as in `lstm`.

    Returns:
        The learner.

    Example:
        >>> learner = elman()
        >>> learner.predict(learner.init(jax.random.key(0)), jnp.zeros((5, 3))).shape
        (5,)
    """
    return _recurrent(lambda: [networks.Elman(num_units, truncated=truncated)], (num_units,), output=output)


@registry.register
def gru(num_units: int = 8, output: Squash = "sigmoid") -> FunctionLearner:
    """A gated recurrent unit network, haiku's.

    Args:
        num_units: of its one layer.
        output: as in `lstm`.

    Returns:
        The learner.

    Example:
        >>> learner = gru()
        >>> learner.predict(learner.init(jax.random.key(0)), jnp.zeros((5, 3))).shape
        (5,)
    """
    return _recurrent(lambda: [hk.GRU(num_units)], (num_units,), output=output)


@registry.register
def fully_recurrent(num_units: int = 12, gradient: Literal["rtrl", "bptt"] = "rtrl") -> FunctionLearner:
    """A network of logistic units, each connected to all; the first of them is the output.

    Args:
        num_units: of the network.
        gradient: by real-time recurrent learning, or back through time: the same gradient.

    Returns:
        The learner.

    Raises:
        ValueError: if there are no units, or no such gradient.

    Example:
        >>> learner = fully_recurrent()
        >>> learner.predict(learner.init(jax.random.key(0)), jnp.zeros((5, 3))).shape
        (5,)

    Reference:
        Williams and Zipser 1989.
    """
    if num_units < 1:
        raise ValueError(f"num_units={num_units!r}: give at least one unit")
    if gradient not in ("rtrl", "bptt"):
        raise unknown_name("gradient", gradient, ("rtrl", "bptt"))

    def predict(theta: Theta, inputs: Array, keep: Any = None, state: Any = None) -> Array:
        w = theta["w"]
        if keep is not None:
            # What the others see of a unit; the output unit is still read.
            seen = jnp.concatenate([jnp.ones(NUM_INPUTS), keep[0], jnp.ones(1)])
            w = w * seen[None, :]
        if gradient == "rtrl" and state is None:
            return networks.rtrl_output(w, inputs)
        return networks.fully_recurrent(w, inputs, *state or ())[:, 0]

    return FunctionLearner(
        init=lambda key: {"w": networks.init_fully_recurrent(key, NUM_INPUTS, num_units)},
        predict=predict,
        states=lambda theta, inputs: (networks.fully_recurrent(theta["w"], inputs),),
        widths=(num_units,),
    )


def _recurrent(
    cores: Callable[[], Sequence[hk.RNNCore]],
    widths: tuple[int, ...],
    feedback: bool = False,
    output: str = "sigmoid",
    target_scale: float = 1.0,
    shown: str = "target",
) -> FunctionLearner:
    """Layers of cores, and a linear readout of the last."""
    if output not in SQUASH:
        raise unknown_name("output", output, SQUASH)
    if shown not in ("target", "error"):
        raise unknown_name("shown", shown, ("target", "error"))
    if not target_scale > 0:
        raise ValueError(f"target_scale={target_scale!r}: it must be positive")

    def answer(z: Array) -> Array:
        return SQUASH[output](z / target_scale if output == "linear" else z)

    def step(x: Array, states: Any, keep: Any) -> tuple[Array, Any]:
        readout, said = hk.Linear(1, name="readout"), said_in(states[-1])
        x = as_shown(x, target_scale, answer(readout(said))[0] if shown == "error" else None)
        z = jnp.concatenate([x, said]) if feedback else x
        new = []
        for core, state, factor in zip(cores(), states, keep or [None] * len(widths), strict=True):
            z, state = core(z, state)
            if factor is not None:
                z, state = _kept(z, state, factor)
            new.append(state)
        return answer(readout(z)[0]), tuple(new)

    transformed = hk.without_apply_rng(hk.transform(step))
    fresh = hk.without_apply_rng(hk.transform(lambda: tuple(core.initial_state(None) for core in cores())))

    def unroll(theta: Theta, inputs: Array, keep: Any, state: Any) -> tuple[Array, Any]:
        def body(state: Any, x: Array) -> tuple[Any, tuple[Array, Any]]:
            z, state = transformed.apply(theta, x, state, keep)
            return state, (z, state)

        return jax.lax.scan(body, fresh.apply({}) if state is None else state, inputs)[1]

    return FunctionLearner(
        init=lambda key: transformed.init(key, jnp.zeros(NUM_INPUTS, jnp.float32), fresh.apply({}), None),
        predict=lambda theta, inputs, keep=None, state=None: unroll(theta, inputs, keep, state)[0],
        states=lambda theta, inputs: unroll(theta, inputs, None, None)[1],
        widths=widths,
    )


def said_in(state: Any) -> Array:
    """What a layer said in a state, f32[..., width]."""
    is_cells = isinstance(state, networks.CellState)
    return jnp.concatenate([state.hidden, state.units], axis=-1) if is_cells else state


def as_shown(inputs: Array, target_scale: float, answered: Array | None) -> Array:
    """The inputs f32[..., 3] as a network sees them: the last target scaled, or the error of an answer."""
    if answered is None and target_scale == 1:
        return inputs
    previous = target_scale * (inputs[..., 2] - (0.5 if answered is None else answered))
    return jnp.concatenate([inputs[..., :2], previous[..., None]], axis=-1)


def _kept(z: Array, state: Any, factor: Array) -> tuple[Array, Any]:
    """What a layer says, and the state in which it will hear itself, each unit times its factor."""
    if not isinstance(state, networks.CellState):
        return z * factor, state * factor
    num_cells = state.hidden.shape[-1]
    hidden, units = state.hidden * factor[:num_cells], state.units * factor[num_cells:]
    return z * factor, state._replace(hidden=hidden, units=units)
