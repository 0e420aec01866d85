"""The parts of a report on what the cells of a function learner hold together."""

from collections.abc import Sequence

import numpy as np

from learned_opt import reports
from learned_opt.in_context.functions.ablation import PAIRS
from learned_opt.in_context.functions.figures import short
from learned_opt.in_context.functions.probes import Probes

QUADRANTS = ("(-, -)", "(-, +)", "(+, -)", "(+, +)")
FEW = 12  # cells whose activations are drawn; of more than that, those that differ most between functions
DRAWN = 32  # examples
SOMEWHAT = 0.5  # correlation with 1 / step from which on the nearest cell is drawn


def probe_sections(probes: Probes, sentences: Sequence[str]) -> list[reports.Section]:
    """Draws what `probe_learner` found.

    Args:
        probes: of a learner.
        sentences: those of `describe_probes`.

    Returns:
        What all cells hold together; who writes and who reads, of networks with gates; activations over time.

    Raises:
        ImportError: if matplotlib is not installed.

    Example:
        >>> import jax
        >>> from learned_opt.in_context import describe_probes, families, learners, probe_learner
        >>> learner = learners.lstm(num_cells=(2,))
        >>> theta = learner.init(jax.random.key(0))
        >>> probes = probe_learner(learner, theta, families.boolean(), num_functions=32)
        >>> [section.heading for section in probe_sections(probes, describe_probes(probes))]
        ['All cells together', 'Who writes and who reads', 'Over time']
    """
    falls = [_falls(probes)] if np.abs(probes.falls).max() >= SOMEWHAT else []
    together = reports.Section(
        "All cells together",
        prose="\n\n".join(sentences),
        figures=[_readable(probes), _exchanged(probes), *falls],
        captions=[
            "Of functions that the readout was not fitted to.",
            "Each cell by itself, put from one run into another once both functions are known; 1 if all of "
            "the difference between the two functions comes along.",
        ]
        + ["The cell whose content is nearest to 1 / step, in runs on some functions."] * len(falls),
    )
    over_time = reports.Section(
        "Over time",
        prose=f"The first {DRAWN} examples of {len(probes.functions)} functions, one below the other"
        + (", of the cells that differ most between functions." if len(probes.cells) > FEW else "."),
        figures=_traces(probes),
    )
    return [together, *([_gates(probes)] if probes.opens else []), over_time]


def _parameters(probes: Probes) -> list[str]:
    return list(PAIRS) if probes.binary else [f"#{p + 1}" for p in range(probes.readable.shape[1])]


def _readable(probes: Probes) -> str:
    names = _parameters(probes)
    return reports.line_plot(
        {name: np.stack([probes.steps, probes.readable[:, p]]) for p, name in enumerate(names)},
        title="What a linear readout of all cells finds",
        x_label="examples seen",
        y_label="held-out R²",
        log="x",
        y_limits=(-0.05, 1.05),
        highlight=names,
    )


def _exchanged(probes: Probes) -> str:
    return reports.heat_map(
        {"share that comes along": probes.exchanged.T},
        title="What a cell brings along into another run",
        x_label="cell",
        y_label="answer to" if probes.binary else "number",
        names=(_parameters(probes), list(map(short, probes.cells))),
    )


def _falls(probes: Probes) -> str:
    k = int(np.argmax(np.abs(probes.falls)))
    runs = probes.traces["cell"][..., k]
    steps = np.arange(1, runs.shape[1] + 1)
    slope, offset = np.polyfit(np.tile(1 / steps, len(runs)), runs.ravel(), 1)
    lines = {f"function {n}": np.stack([steps, run]) for n, run in enumerate(runs, start=1)}
    fitted = "1 / step, fitted"
    return reports.line_plot(
        lines | {fitted: np.stack([steps, slope / steps + offset])},
        title=f"{probes.cells[k]}, r = {probes.falls[k]:+.2f}",
        x_label="step",
        y_label="what the cell holds",
        log="x",
        highlight=[fitted],
    )


def _gates(probes: Probes) -> reports.Section:
    quadrants = PAIRS if probes.binary else QUADRANTS
    signs = "" if probes.binary else ", by the signs of the inputs"
    figures = [
        reports.heat_map(
            {name: gate.T for name, gate in probes.opens.items()},
            title="How far gates are open",
            x_label="cell",
            y_label="pair",
            names=(quadrants, list(map(short, probes.cells))),
        ),
        reports.heat_map(
            {"holds the input": probes.holds_input[None]},
            title="Who holds the previous input",
            x_label="unit",
            y_label="",
            names=([""], list(map(short, probes.units))),
        ),
        reports.heat_map(
            {"share of variance": probes.selects},
            title="Whose outputs move which input gate",
            x_label="unit",
            y_label="cell",
            names=(list(map(short, probes.cells)), list(map(short, probes.units))),
        ),
    ]
    return reports.Section(
        "Who writes and who reads",
        prose="A cell is written where its input gate is open, when the target of the example before is "
        "shown, and read where its output gate is, for the pair that is asked for.",
        figures=figures,
        captions=[
            f"Input and forget gates by the pair before, output gates by the pair that is asked for{signs}.",
            "The share of a unit's variance that the input of the same step explains: in the next step it is "
            "the previous one.",
            "As if the units were independent of each other.",
        ],
    )


def _traces(probes: Probes) -> list[str]:
    held = probes.traces["cell"][:, :DRAWN]
    chosen = np.sort(np.argsort(-held[:, -1].std(0))[:FEW])
    names = [short(probes.cells[k]) for k in chosen]
    titles = {"cell": "What cells hold"} | {gate: gate.capitalize() for gate in probes.opens}
    functions = [
        "".join(str(int(bit)) for bit in function) if probes.binary else f"function {n}"
        for n, function in enumerate(probes.functions, start=1)
    ]
    return [
        reports.heat_map(
            {name: signal.T for name, signal in zip(functions, signals[:, :DRAWN, chosen], strict=True)},
            title=titles[kind],
            x_label="example",
            y_label="cell",
            names=(names, [str(n) for n in range(1, held.shape[1] + 1)]),
        )
        for kind, signals in probes.traces.items()
    ]
