"""What the cells of a function learner hold together, and how they come to hold it.

`ablation` asks each cell by itself. A code that is spread over the cells says nothing there: here it is read
by a linear probe, and cells are exchanged between two runs to see what comes along.

References:
    Younger, Hochreiter and Conwell, Meta-learning with backpropagation, IJCNN 2001, section 5: continuous
    values in the cells, and a signal in inverse proportion to the step.
    Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016.
    Geiger, Lu, Icard and Potts, Causal abstractions of neural networks, 2021: interchange interventions.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt import networks
from learned_opt.core.types import Array, Theta
from learned_opt.in_context.functions.ablation import HOLDS_INPUT, PAIRS, all_cells, unit_names
from learned_opt.in_context.functions.families import TABLES, Family, examples
from learned_opt.in_context.functions.learners import SQUASH, FunctionLearner, as_shown, said_in

GATES = ("input gate", "output gate", "forget gate")
FOLDS = 8
RIDGE = 1e-4  # of the number of functions, on standardised cells
QUERIES = 4  # inputs that a network is asked after an exchange
SHOWN = 4  # functions whose run is kept
FALLS = 0.8  # correlation with 1 / step from which on a cell is such a signal
SELECTED = 0.3  # by which an input gate is wider open after one pair of bits than after all others


class Probes(NamedTuple):
    """What `probe_learner` finds; cells are those of all layers, in order.

    Attributes:
        cells: their names.
        units: the names of all units, cells and standard ones.
        steps: i32[S], after how many examples of a function the probes read.
        readable: f32[S, num_parameters], the share of the variance of each number of the function that a
            linear readout of all cells explains, on functions that it was not fitted to: R^2.
        falls: f32[num_cells], the correlation of what a cell holds with 1 / step.
        exchanged: f32[num_cells, num_parameters], how much of the difference between two functions in a
            number comes along when a cell of one run is put into the other: 1 for all of it.
        holds_input: f32[num_units], the share of a unit's variance that the last input explains.
        opens: by gate, f32[num_cells, 4], how far it is open by quadrant of the inputs: the input and forget
            gates by those of the example before, whose target is shown now, and the output gate by those that
            are asked for. Empty for networks without gates, like `selects`.
        selects: f32[num_cells, num_units], each unit's share in the variance of a cell's input gate.
        functions: f32[4, num_parameters], those of `traces`.
        traces: by signal, f32[4, length, num_cells], over the examples of these: cells and gates.
        binary: whether functions are truth tables.
    """

    cells: list[str]
    units: list[str]
    steps: np.ndarray
    readable: np.ndarray
    falls: np.ndarray
    exchanged: np.ndarray
    holds_input: np.ndarray
    opens: dict[str, np.ndarray]
    selects: np.ndarray
    functions: np.ndarray
    traces: dict[str, np.ndarray]
    binary: bool


def probe_learner(
    learner: FunctionLearner,
    theta: Theta,
    family: Family,
    *,
    length: int = 96,
    settled: int = 32,
    num_functions: int = 1024,
    seed: int = 0,
) -> Probes:
    """Reads what the cells of a trained function learner hold together.

    Args:
        learner: the network.
        theta: its parameters.
        family: that it was meta-trained on.
        length: examples of each function.
        settled: examples before cells are exchanged.
        num_functions: functions drawn, or sequences of the 16 Boolean ones together.
        seed: of the sequences.

    Returns:
        What was found.

    Raises:
        ValueError: if `settled` is not in 1 to `length` - 4, or there are fewer than 16 functions.

    Example:
        >>> from learned_opt.in_context.functions import families, learners
        >>> learner = learners.lstm(num_cells=(2,))
        >>> theta = learner.init(jax.random.key(0))
        >>> probes = probe_learner(learner, theta, families.boolean(), num_functions=32)
        >>> probes.readable.shape, probes.exchanged.shape, sorted(probes.opens)
        ((11, 4), (2, 4), ['forget gate', 'input gate', 'output gate'])
    """
    if not 1 <= settled <= length - QUERIES:
        raise ValueError(f"settled={settled!r}: give one from 1 to length={length} - {QUERIES}")
    if num_functions < 2 * FOLDS:
        raise ValueError(f"num_functions={num_functions!r}: give at least {2 * FOLDS}")
    if family.binary:
        functions = jnp.asarray(np.tile(TABLES, (num_functions // 16, 1)))
    else:
        functions = jax.vmap(family.sample)(jax.random.split(jax.random.key(seed + 1), num_functions))
    keys = jax.random.split(jax.random.key(seed), functions.shape[0])

    def run(theta: Theta, function: Array, key: Array) -> tuple[Array, Any]:
        drawn = examples(family._replace(sample=lambda _: function), key, length)
        return drawn.inputs, learner.states(theta, drawn.inputs)

    inputs, states = jax.jit(jax.vmap(run, (None, 0, 0)))(theta, functions, keys)
    held, gates = np.asarray(jax.vmap(all_cells)(states)), gates_in(learner, theta, inputs, states)
    cells, units = unit_names(learner)
    said = np.concatenate([np.asarray(said_in(state)) for state in states], axis=-1)
    quadrants, numbers = _quadrants(inputs, family.binary), np.asarray(functions)
    steps = np.unique(np.geomspace(1, length, 12).round().astype(int))
    groups = np.arange(len(numbers)) % (16 if family.binary else FOLDS) % FOLDS
    shown = [1, 6, 7, 9] if family.binary else range(SHOWN)
    traces = {"cell": held} | gates
    return Probes(
        cells=cells,
        units=units,
        steps=steps,
        readable=np.stack([_readable(held[:, step - 1], numbers, groups) for step in steps]),
        falls=_correlations(held, 1 / np.arange(1, length + 1)),
        exchanged=_exchanged(learner, theta, family, functions, inputs, states, settled),
        holds_input=_holds_input(said[:, settled:], np.asarray(inputs)[:, settled:]),
        opens=_opens(gates, quadrants),
        selects=_selects(learner, theta, states),
        functions=numbers[list(shown)],
        traces={name: signal[list(shown)] for name, signal in traces.items()},
        binary=family.binary,
    )


def describe_probes(probes: Probes) -> list[str]:
    """What the probes say, in sentences.

    Args:
        probes: of a learner.

    Returns:
        What a linear readout finds, whether a cell falls as 1 / step, which cells bring what along, who holds
        the previous input, and after which pair of bits a cell is written, by whose selection.

    Example:
        >>> from learned_opt.in_context.functions import families, learners
        >>> learner = learners.lstm(num_cells=(2,))
        >>> theta = learner.init(jax.random.key(0))
        >>> probes = probe_learner(learner, theta, families.boolean(), num_functions=32)
        >>> describe_probes(probes)[0].startswith("a linear readout of all cells")
        True
    """
    shares = ", ".join(f"{share:.3f}" for share in probes.readable[-1])
    what = "answers to the four pairs" if probes.binary else "numbers of the function"
    sentences = [
        f"a linear readout of all cells finds the {what} with a held-out R^2 of {shares} "
        f"after {probes.steps[-1]} examples"
    ]
    k = int(np.argmax(np.abs(probes.falls)))
    name, r = probes.cells[k], f"r = {probes.falls[k]:+.2f}"
    found = abs(probes.falls[k]) >= FALLS
    sentences.append(f"{name} {'follows' if found else 'is nearest to'} 1 / step, {r}")
    for p, shares in enumerate(probes.exchanged.T):
        parts = ", ".join(f"{probes.cells[k]} ({shares[k]:+.0%})" for k in np.argsort(-np.abs(shares))[:3])
        number = f"the answer to {PAIRS[p]}" if probes.binary else f"number {p + 1}"
        sentences.append(f"{number} comes along into another run most with {parts}")
    holders = [u for u, share in zip(probes.units, probes.holds_input, strict=True) if share >= HOLDS_INPUT]
    sentences.append(f"the previous input is held by {', '.join(holders) or 'no unit by itself'}")
    for k, gate in enumerate(probes.opens.get("input gate", ())):
        *_, second, first = np.sort(gate)
        if probes.binary and first - second >= SELECTED:
            best = np.argsort(-probes.selects[k])[:2]
            by = " and ".join(f"{probes.units[j]} ({probes.selects[k, j]:.0%})" for j in best)
            sentences.append(
                f"{probes.cells[k]} is written after {PAIRS[int(np.argmax(gate))]}, selected by {by}: its "
                f"input gate is at {first:.2f} there, at {second:.2f} or less elsewhere"
            )
    return sentences


def _readable(held: np.ndarray, numbers: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Ridge regression of the numbers on the cells, cross-validated over groups of functions: R^2."""
    features = (held - held.mean(0)) / (held.std(0) + 1e-6)
    predicted = np.zeros_like(numbers, np.float64)
    for fold in np.unique(groups):
        rest = groups != fold
        x, mean = features[rest].astype(np.float64), numbers[rest].mean(0)
        gram = x.T @ x + RIDGE * len(x) * np.eye(x.shape[1])
        weights = np.linalg.solve(gram, x.T @ (numbers[rest] - mean))
        predicted[~rest] = features[~rest] @ weights + mean
    return 1 - np.square(numbers - predicted).mean(0) / numbers.var(0)


def _correlations(held: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """Over all functions and steps, f[num_functions, T, num_cells] with f[T]: f[num_cells]."""
    x, y = held - held.mean((0, 1)), signal - signal.mean()
    return np.einsum("ntk,t->k", x, y) / (len(x) * len(y) * x.std((0, 1)) * y.std() + 1e-12)


def _exchanged(
    learner: FunctionLearner,
    theta: Theta,
    family: Family,
    functions: Array,
    inputs: Array,
    states: Any,
    settled: int,
) -> np.ndarray:
    """Of the effect that a number of another function would have on an answer, the share of each cell."""
    reached = jax.tree.map(lambda s: s[:, settled - 1], states)
    others, other_states = (
        jax.tree.map(lambda s: jnp.roll(s, 5, axis=0), tree) for tree in (functions, reached)
    )
    num_cells = all_cells(jax.tree.map(lambda s: s[:1], reached)).shape[-1]

    def one(theta: Theta, own: Any, other: Any, f: Array, g: Array, xs: Array, last: Array):
        def answers(state: Any) -> Array:
            asked = jnp.concatenate([xs, jnp.broadcast_to(last, (QUERIES, 1))], axis=1)
            return jax.vmap(lambda x: learner.predict(theta, x[None], state=state)[0])(asked)

        swapped = jax.vmap(lambda k: answers(_with_cell(own, other, k)))(jnp.arange(num_cells))
        mixed = jax.vmap(lambda p: family.evaluate(f.at[p].set(g[p]), xs))(jnp.arange(f.shape[0]))
        return swapped - answers(own)[None], mixed - family.evaluate(f, xs)[None]

    xs = inputs[:, settled : settled + QUERIES, :2]
    last = inputs[:, settled, 2:]  # the target that is shown with the next example, whichever that is
    batch = (reached, other_states, functions, others, xs, last)
    run = jax.jit(lambda theta, batch: jax.lax.map(lambda args: one(theta, *args), batch, batch_size=64))
    moved, effects = (np.moveaxis(np.asarray(a, np.float64), 1, 0) for a in run(theta, batch))
    moved, effects = (a.reshape(a.shape[0], -1) for a in (moved, effects))
    return np.linalg.lstsq(effects.T, moved.T, rcond=None)[0].T


def _with_cell(own: Any, other: Any, number: Array) -> Any:
    """A state with what one cell holds in another; cells are counted over the layers."""
    new, before = [], 0
    for mine, theirs in zip(own, other, strict=True):
        is_cells = isinstance(mine, networks.CellState)
        held, exchanged = (mine.cell, theirs.cell) if is_cells else (mine, theirs)
        held = jnp.where(jnp.arange(held.shape[0]) + before == number, exchanged, held)
        before += held.shape[0]
        new.append(mine._replace(cell=held) if is_cells else held)
    return tuple(new)


def gates_in(learner: FunctionLearner, theta: Theta, inputs: Array, states: Any) -> dict[str, np.ndarray]:
    """How far the gates of all cells are open, f[num_functions, T, num_cells], by gate."""
    gates: dict[str, list[np.ndarray]] = {}
    for (w, b), (cells, _), seen in _layers(learner, theta, inputs, states):
        joint = np.asarray(seen) @ w + b
        for g, name in enumerate(GATES[: 3 if learner.config.forget_gate else 2], start=1):
            gates.setdefault(name, []).append(1 / (1 + np.exp(-joint[..., g * cells : (g + 1) * cells])))
    return {name: np.concatenate(parts, axis=-1) for name, parts in gates.items()}


def _selects(learner: FunctionLearner, theta: Theta, states: Any) -> np.ndarray:
    """Shares of all units in the variance of the input gates, as if the units were independent."""
    blocks = []
    widths, first = learner.widths, 0
    for layer, ((w, _), (cells, _), _) in enumerate(_layers(learner, theta, None, states)):
        variance = np.asarray(said_in(states[layer])).var((0, 1))
        own = w[len(w) - widths[layer] :, cells : 2 * cells].T ** 2 * variance
        block = np.zeros((cells, sum(widths)))
        block[:, first : first + widths[layer]] = own / (own.sum(1, keepdims=True) + 1e-12)
        blocks.append(block)
        first += widths[layer]
    return np.concatenate(blocks) if blocks else np.zeros((0, sum(widths)))


def _layers(learner: FunctionLearner, theta: Theta, inputs: Array | None, states: Any) -> list[Any]:
    """Of each layer of an LSTM: its weights and bias, its cells and units, and what it sees at every step."""
    config = learner.config
    if config is None or config.name != "lstm":
        return []
    layers, below = [], None
    if inputs is not None:
        last, answered = _before(said_in(states[-1])), None
        if config.shown == "error":
            z = (last @ theta["readout"]["w"])[..., 0] + theta["readout"]["b"][0]
            answered = SQUASH[config.output](z / config.target_scale if config.output == "linear" else z)
        below = as_shown(inputs, config.target_scale, answered)
        if config.feedback:
            below = jnp.concatenate([below, last], axis=-1)
    for number, size in enumerate(zip(config.num_cells, config.num_units, strict=True)):
        module = "memory_cells" + (f"_{number}" if number else "")
        weights = np.asarray(theta[f"{module}/linear"]["w"]), np.asarray(theta[module]["b"])
        said = said_in(states[number])
        seen = None if below is None else jnp.concatenate([below, _before(said)], axis=-1)
        layers.append((weights, size, seen))
        below = None if below is None else said
    return layers


def _before(said: Array) -> Array:
    """What was said the step before, f[num_functions, T, n]."""
    return jnp.pad(said, ((0, 0), (1, 0), (0, 0)))[:, :-1]


def _quadrants(inputs: Array, binary: bool) -> np.ndarray:
    high = np.asarray(inputs[..., :2]) > (0.5 if binary else 0.0)
    return 2 * high[..., 0] + high[..., 1]


def _opens(gates: dict[str, np.ndarray], quadrants: np.ndarray) -> dict[str, np.ndarray]:
    asked = {"output gate": slice(1, None)}
    found = {}
    for name, gate in gates.items():
        row = quadrants[:, asked.get(name, slice(None, -1))]
        found[name] = np.stack([gate[:, 1:][row == q].mean(0) for q in range(4)], axis=-1)
    return found


def _holds_input(said: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """The share of every unit's variance that the input of the same step explains."""
    x = inputs[..., :2].reshape(-1, 2)
    x = np.stack([x[:, 0], x[:, 1], x[:, 0] * x[:, 1]], axis=1)
    x = x - x.mean(0)
    y = said.reshape(len(x), -1)
    y = y - y.mean(0)
    return (x @ np.linalg.lstsq(x, y, rcond=None)[0]).var(0) / (y.var(0) + 1e-12)
