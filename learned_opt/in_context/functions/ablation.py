"""What is inside a trained function learner: weights, what cells hold, and what fails without each.

Reference:
    Siripurapu's replication of Hochreiter, Younger and Conwell, Learning to learn using gradient descent,
    ICANN 2001: heat maps, read by eye. Here the states are analysed instead.
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt import networks
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context.functions.families import TABLES, Family, among, examples
from learned_opt.in_context.functions.learners import NUM_INPUTS, FunctionLearner

PAIRS = ("(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)")
INPUTS = ("x1", "x2", "y-")
STORES = 0.5  # of a cell's variance that one number of the function has to explain for the cell to store it
HOLDS_INPUT = 0.5  # likewise for the last input
NOTHING = 1e-3  # an error of bits that is as good as none
MATTERS = 1.5  # times the error of the whole network from which on a cell that is cut out was needed


class Ablation(NamedTuple):
    """What `inspect_learner` finds; cells are those of all layers, in order.

    Attributes:
        cells: their names.
        units: the names of all units, cells and standard ones.
        weights: matrices by name, [cells, what they see]: a gate of a layer each.
        seen: the columns' names of each matrix.
        readout: f32[width + 1], the output's weights, the bias last.
        activations: f32[num_functions, num_cells], what each cell holds for a function, once it is learned.
        explained: f32[num_cells, num_parameters], the share of a cell's variance that a number of the
            function explains by itself: the answer to an input pair, a weight or a coefficient.
        sign_code: f32[num_cells, num_parameters, 2], what the cell holds where that number is in the lower
            and in the upper half of its range.
        explained_by_input: f32[num_cells], the share that the last input explains.
        error: the mean squared error of the whole network on settled examples.
        error_by_pair: f32[4], likewise, by the input pair that is asked for; empty unless inputs are bits.
        ablated: f32[num_units], the error without each unit.
        ablated_by_pair: f32[num_units, 4], likewise.
        binary: whether functions are truth tables.
    """

    cells: list[str]
    units: list[str]
    weights: dict[str, np.ndarray]
    seen: dict[str, list[str]]
    readout: np.ndarray
    activations: np.ndarray
    explained: np.ndarray
    sign_code: np.ndarray
    explained_by_input: np.ndarray
    error: float
    error_by_pair: np.ndarray
    ablated: np.ndarray
    ablated_by_pair: np.ndarray
    binary: bool


def inspect_learner(
    learner: FunctionLearner,
    theta: Theta,
    family: Family,
    *,
    length: int = 96,
    settled: int = 32,
    num_functions: int = 64,
    seed: int = 0,
) -> Ablation:
    """Takes a trained function learner apart.

    Boolean learners are shown all 16 functions, so that the answers to the four input pairs are independent
    of each other; others functions of their family. Cells are read after `settled` examples, when the
    function is known, as tanh of what they hold.

    Args:
        learner: the network.
        theta: its parameters.
        family: that it was meta-trained on.
        length: examples of each function.
        settled: examples before anything is read.
        num_functions: functions drawn from a family that is not Boolean, and sequences of each Boolean one
            divided by 16.
        seed: of the sequences.

    Returns:
        What was found; `describe` puts it into words.

    Raises:
        ValueError: if `settled` is not below `length`.

    Example:
        >>> from learned_opt.in_context.functions import families, learners
        >>> learner = learners.lstm(num_cells=(2,))
        >>> theta = learner.init(jax.random.key(0))
        >>> ablation = inspect_learner(learner, theta, families.boolean())
        >>> ablation.activations.shape, ablation.explained.shape
        ((16, 2), (2, 4))
    """
    if not 0 <= settled < length:
        raise ValueError(f"settled={settled!r}: it must be at least 0 and below length={length}")
    if family.binary:
        functions = jnp.asarray(np.repeat(TABLES, max(1, num_functions // 16), axis=0))
        family = among(TABLES, TABLES)
    else:
        functions = jax.vmap(family.sample)(jax.random.split(jax.random.key(seed + 1), num_functions))
    keys = jax.random.split(jax.random.key(seed), functions.shape[0])

    def one(theta: Theta, function: Array, key: Key):
        drawn = examples(family._replace(sample=lambda _: function), key, length)
        held = all_cells(learner.states(theta, drawn.inputs))[settled:]

        def squared(keep: Any) -> Array:
            return jnp.square(learner.predict(theta, drawn.inputs, keep) - drawn.targets)[settled:]

        return drawn.inputs[settled:], held, squared(None), jax.lax.map(squared, _each_cut(learner.widths))

    run = jax.jit(lambda theta, *batch: jax.lax.map(lambda args: one(theta, *args), batch, batch_size=16))
    inputs, held, squared, cut = map(np.asarray, run(theta, functions, keys))
    cells, units = unit_names(learner)
    shown = TABLES if family.binary else np.asarray(functions)
    weights, seen = _weights(learner, theta)
    return Ablation(
        cells=cells,
        units=units,
        weights=weights,
        seen=seen,
        readout=_readout(theta),
        activations=held.mean(1).reshape(len(shown), -1, held.shape[-1]).mean(1),
        **_explained(np.asarray(functions), held, inputs, family.binary),
        error=float(squared.mean()),
        error_by_pair=_by_pair(inputs, squared[:, None])[0] if family.binary else np.zeros(0),
        ablated=cut.mean((0, 2)),
        ablated_by_pair=_by_pair(inputs, cut) if family.binary else np.zeros((0, 4)),
        binary=family.binary,
    )


def describe(ablation: Ablation) -> list[str]:
    """One sentence for each cell: what it stores, in which code, and what the network loses without it.

    Args:
        ablation: of a learner.

    Returns:
        The sentences.

    Example:
        >>> from learned_opt.in_context.functions import families, learners
        >>> learner = learners.lstm(num_cells=(2,))
        >>> ablation = inspect_learner(learner, learner.init(jax.random.key(0)), families.boolean())
        >>> describe(ablation)[0].startswith("cell 1")
        True
    """
    sentences = []
    for k, name in enumerate(ablation.cells):
        parts = []
        shares = ablation.explained[k]
        for p in np.argsort(-shares):
            if shares[p] < STORES:
                break
            low, high = ablation.sign_code[k, p]
            if ablation.binary:
                parts.append(
                    f"stores the answer to {PAIRS[p]}, {low:+.2f} for 0 and {high:+.2f} for 1 "
                    f"({shares[p]:.0%} of its variance)"
                )
            else:
                direction = "rises" if high > low else "falls"
                parts.append(f"{direction} with number {p + 1} of the function ({shares[p]:.0%})")
        if ablation.explained_by_input[k] >= HOLDS_INPUT:
            parts.append(f"holds the last input ({ablation.explained_by_input[k]:.0%})")
        if not parts:
            best = int(np.argmax(shares))
            what = f"the answer to {PAIRS[best]}" if ablation.binary else f"number {best + 1} of the function"
            parts.append(f"stores no single number; closest is {what} ({shares[best]:.0%})")
        sentences.append(f"{name} {'; '.join(parts)}; {_loss_without(ablation, name)}")
    return sentences


def _loss_without(ablation: Ablation, name: str) -> str:
    if name not in ablation.units:
        return "it has no say of its own"
    unit = ablation.units.index(name)
    ablated = float(ablation.ablated[unit])
    needed = ablated > MATTERS * ablation.error
    if ablation.binary:
        needed |= bool((ablation.ablated_by_pair[unit] > MATTERS * ablation.error_by_pair + NOTHING).any())
    if not needed:
        return "the network does without it"
    text = f"without it the error is {ablated:.2g} instead of {ablation.error:.2g}"
    if ablation.binary:
        by_pair = ablation.ablated_by_pair[unit]
        worst = int(np.argmax(by_pair - ablation.error_by_pair))
        text += f", most at {PAIRS[worst]} ({by_pair[worst]:.2g})"
    return text


def all_cells(states: Any) -> Array:
    """What every cell holds, squashed as the cell itself does it: f32[T, num_cells]."""
    held = []
    for state in states:
        is_cells = isinstance(state, networks.CellState)
        if not is_cells or state.cell.shape[-1]:
            held.append(jnp.tanh(state.cell) if is_cells else state)
    return jnp.concatenate(held or [states[-1].units], axis=-1)


def _each_cut(widths: tuple[int, ...]) -> tuple[Array, ...]:
    """For every unit of every layer, factors that cut out that one: a matrix [num_units, width] a layer."""
    everything = 1 - jnp.eye(sum(widths), dtype=jnp.float32)
    ends = list(itertools.accumulate(widths))
    return tuple(everything[:, end - width : end] for end, width in zip(ends, widths, strict=True))


def _explained(functions: np.ndarray, held: np.ndarray, inputs: np.ndarray, binary: bool) -> dict[str, Any]:
    """Shares of variance and sign codes; held f[num_sequences, T, num_cells]."""
    total = held.var((0, 1)) + 1e-12
    center = 0.5 if binary else 0.0
    high = functions > center
    code = np.stack(
        [
            np.stack([held[~high[:, p]].mean((0, 1)), held[high[:, p]].mean((0, 1))], axis=-1)
            for p in range(functions.shape[1])
        ],
        axis=1,
    )  # [num_cells, num_parameters, 2]
    means = held.mean(1) - held.mean((0, 1))  # [num_sequences, num_cells]
    numbers = functions - functions.mean(0)
    covariance = means.T @ numbers / len(functions)
    explained = covariance**2 / (total[:, None] * numbers.var(0))
    # The last input explains what its mean over all functions differs by; bits make four groups, other
    # inputs enter linearly.
    x = inputs[..., :2].reshape(-1, 2)
    x = np.stack([x[:, 0], x[:, 1], x[:, 0] * x[:, 1]], axis=1)
    x = x - x.mean(0)
    flat = held.reshape(-1, held.shape[-1])
    flat = flat - flat.mean(0)
    fitted = x @ np.linalg.lstsq(x, flat, rcond=None)[0]
    return {
        "explained": explained,
        "sign_code": code,
        "explained_by_input": fitted.var(0) / total,
    }


def _by_pair(inputs: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Errors f[num_sequences, num_units, T] by the pair that is asked for: f[num_units, 4]."""
    row = (2 * inputs[..., 0] + inputs[..., 1]).astype(int)
    errors = np.moveaxis(cut, 1, -1)  # [num_sequences, T, num_units]
    return np.stack([errors[row == p].mean(0) for p in range(4)], axis=1)


def _readout(theta: Theta) -> np.ndarray:
    if "readout" not in theta:
        return np.zeros(0)  # the output is a unit like the others
    return np.append(np.asarray(theta["readout"]["w"])[:, 0], np.asarray(theta["readout"]["b"]))


def _cell_layers(learner: FunctionLearner) -> list[tuple[int, int]] | None:
    """(cells, units) of each layer of an LSTM; `None` for other networks."""
    config = learner.config
    if config is None or config.name != "lstm":
        return None
    return list(zip(config.num_cells, config.num_units, strict=True))


def unit_names(learner: FunctionLearner) -> tuple[list[str], list[str]]:
    """The names of the cells of all layers, and of all units."""
    layers = _cell_layers(learner) or [(width, 0) for width in learner.widths]
    cells, units = [], []
    for number, (num_cells, num_units) in enumerate(layers, start=1):
        layer = f" of layer {number}" if len(layers) > 1 else ""
        own = [f"cell {k}{layer}" for k in range(1, num_cells + 1)]
        cells += own
        units += own + [f"unit {k}{layer}" for k in range(1, num_units + 1)]
    return cells or units, units


def _weights(learner: FunctionLearner, theta: Theta) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Matrices [cells, what they see and the bias], by gate and layer."""
    layers = _cell_layers(learner)
    if layers is None:
        return _plain_weights(theta)
    gates = ("cell input", "input gate", "output gate", "forget gate")
    weights, seen = {}, {}
    below = list(INPUTS)
    if learner.config.feedback:
        below += [f"f{k}" for k in range(1, learner.widths[-1] + 1)]
    for number, (num_cells, num_units) in enumerate(layers):
        module = "memory_cells" + (f"_{number}" if number else "")
        w = np.asarray(theta[f"{module}/linear"]["w"])
        joint = np.concatenate([w, np.asarray(theta[module]["b"])[None]]).T  # [outputs, inputs + 1]
        own = [f"h{k}" for k in range(1, num_cells + 1)] + [f"u{k}" for k in range(1, num_units + 1)]
        columns = [*below, *own, "b"]
        suffix = f", layer {number + 1}" if len(layers) > 1 else ""
        count = (len(joint) - num_units) // num_cells if num_cells else 0
        for g in range(count):
            weights[gates[g] + suffix] = joint[g * num_cells : (g + 1) * num_cells]
            seen[gates[g] + suffix] = columns
        if num_units:
            weights["standard units" + suffix] = joint[len(joint) - num_units :]
            seen["standard units" + suffix] = columns
        below = own
    return weights, seen


def _plain_weights(theta: Theta) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """The matrices of another network as they are, but for the readout."""
    weights, seen = {}, {}
    for path, leaf in jax.tree.leaves_with_path(theta):
        name = jax.tree_util.keystr(path, simple=True, separator=" ")
        if leaf.ndim == 2 and not name.startswith("readout"):
            matrix = np.asarray(leaf) if name == "w" else np.asarray(leaf).T
            weights[name] = matrix
            columns = matrix.shape[1]
            seen[name] = [*INPUTS, *(str(k) for k in range(1, columns + 1))][:columns]
            if columns < NUM_INPUTS:
                seen[name] = list(map(str, range(1, columns + 1)))
    return weights, seen
