"""Figures of function learners, with the Bayes-optimal predictor beside the network."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from learned_opt import reports
from learned_opt.in_context.functions.ablation import PAIRS, Ablation
from learned_opt.in_context.functions.evaluation import Evaluation
from learned_opt.in_context.functions.sequences import Sequences

BAYES = "Bayes-optimal"
MEAN = "running mean"
UNTOLD = "Bayes, not told when"


def error_curve(evaluations: Mapping[str, Evaluation], *, title: str, num_examples: int | None = None) -> str:
    """Draws absolute error against time, with a faint line before each first example of another function.

    Args:
        evaluations: by name, on the same sequences.
        title: of the figure.
        num_examples: to draw, from the first; all by default.

    Returns:
        An `<svg>` element.

    Raises:
        ValueError: if there are no evaluations.
        ImportError: if matplotlib is not installed.

    Example:
        >>> from learned_opt.in_context import evaluate_learner, families, learners
        >>> import jax
        >>> learner = learners.gru(num_units=2)
        >>> theta = learner.init(jax.random.key(0))
        >>> evaluation = evaluate_learner(
        ...     learner, theta, families.boolean(), length=16, num_functions=3, num_sequences=50
        ... )
        >>> error_curve({"gru": evaluation}, title="Three functions")[:5]
        '<svg '
    """
    if not evaluations:
        raise ValueError("there are no evaluations to draw; give at least one")
    first = next(iter(evaluations.values()))
    references = {BAYES: np.abs(first.bayes_errors), MEAN: np.abs(first.mean_errors)}
    if first.switching_errors is not None:
        references[UNTOLD] = np.abs(first.switching_errors)
    errors = {name: np.abs(e.errors) for name, e in evaluations.items()} | references
    shown = first.errors.shape[1] if num_examples is None else min(num_examples, first.errors.shape[1])
    length = first.errors.shape[1] // first.num_functions
    lines = {}
    for name, table in errors.items():
        mean = table[:, :shown].mean(0)
        lines[name] = np.stack([np.arange(1, len(mean) + 1), mean])
    return reports.line_plot(
        lines,
        title=title,
        x_label="example",
        y_label="mean absolute error",
        log="",
        marks=np.arange(length, shown, length) + 0.5,
        highlight=list(evaluations),
    )


def training_curve(
    rows: Sequence[Mapping[str, Any]], sequences: Sequences, bayes_mse: float, *, title: str
) -> str:
    """Draws the validation loss against epochs of 100 sequences.

    Args:
        rows: of a run's metrics.
        sequences: that it was trained on.
        bayes_mse: the Bayes-optimal predictor's mean squared error.
        title: of the figure.

    Returns:
        An `<svg>` element.

    Raises:
        ValueError: if there are no rows.
        ImportError: if matplotlib is not installed.

    Example:
        >>> rows = [{"step": 4 * i, "validation_loss": 0.2 / i} for i in range(1, 9)]
        >>> training_curve(rows, Sequences(), 0.004, title="Training")[:5]
        '<svg '
    """
    if not rows:
        raise ValueError("there are no metrics to draw yet; the first come with the first validation")
    epochs = np.array([row["step"] for row in rows]) * sequences.epochs_per_step
    losses = np.array([np.nan if row["validation_loss"] is None else row["validation_loss"] for row in rows])
    return reports.line_plot(
        {
            "network": np.stack([epochs, losses]),
            BAYES: np.stack([epochs, np.full(len(epochs), bayes_mse)]),
        },
        title=title,
        x_label="epoch",
        y_label="mean squared error",
        highlight=["network"],
    )


def ablation_sections(ablation: Ablation, sentences: Sequence[str]) -> list[reports.Section]:
    """The parts of a report on what is inside a learner.

    Args:
        ablation: of the learner.
        sentences: those of `describe`.

    Returns:
        The sentences; what cells hold; what fails without each; the weights.

    Raises:
        ImportError: if matplotlib is not installed.

    Example:
        >>> import jax
        >>> from learned_opt.in_context import describe, families, inspect_learner, learners
        >>> learner = learners.lstm(num_cells=(2,))
        >>> ablation = inspect_learner(learner, learner.init(jax.random.key(0)), families.boolean())
        >>> [section.heading for section in ablation_sections(ablation, describe(ablation))]
        ['The account', 'What cells hold', 'Without each unit', 'Weights']
    """
    functions = (
        [f"{n:2d} = {n:04b}" for n in range(len(ablation.activations))]
        if ablation.binary
        else list(map(str, range(1, len(ablation.activations) + 1)))
    )
    parameters = list(PAIRS) if ablation.binary else [f"#{p + 1}" for p in range(ablation.explained.shape[1])]
    cells = [short(name) for name in ablation.cells]
    held = [
        reports.heat_map(
            {"tanh of the cell's state": ablation.activations},
            title="What cells hold, by function",
            x_label="cell",
            y_label="function",
            names=(functions, cells),
        ),
        reports.heat_map(
            {"share of variance": ablation.explained.T},
            title="What of the function a cell stores",
            x_label="cell",
            y_label="answer to" if ablation.binary else "number",
            names=(parameters, cells),
        ),
    ]
    by_bits = " A function's name is its answers to (0, 0), (0, 1), (1, 0) and (1, 1)."
    return [
        reports.Section("The account", prose="\n\n".join(sentences)),
        reports.Section(
            "What cells hold",
            prose="Read once the function is known." + (by_bits if ablation.binary else ""),
            figures=held,
        ),
        reports.Section(
            "Without each unit",
            prose="Mean squared error once the function is known; "
            f"of the whole network {ablation.error:.3g}.",
            rows=_errors_without_each(ablation),
        ),
        reports.Section("Weights", figures=_weights(ablation)),
    ]


def short(unit: str) -> str:
    """A unit's name without what all have in common, and the layer behind a stroke."""
    return unit.removeprefix("cell ").replace(" of layer ", "/")


def _errors_without_each(ablation: Ablation) -> list[dict[str, Any]]:
    by_pair = ablation.ablated_by_pair if ablation.binary else [()] * len(ablation.units)
    return [
        {"unit": unit, "error without it": float(error), "times": float(error / ablation.error)}
        | {f"at {pair}": float(e) for pair, e in zip(PAIRS, errors, strict=False)}
        for unit, error, errors in zip(ablation.units, ablation.ablated, by_pair, strict=True)
    ]


def _weights(ablation: Ablation) -> list[str]:
    weights = [
        reports.heat_map(
            {name: matrix},
            title=name,
            x_label="what it sees",
            y_label="cell",
            names=([str(k) for k in range(1, len(matrix) + 1)], ablation.seen[name]),
        )
        for name, matrix in ablation.weights.items()
    ]
    if ablation.readout.size:
        last_layer = ablation.units[-(ablation.readout.size - 1) :]  # all that the output sees
        weights.append(
            reports.heat_map(
                {"output": ablation.readout[None, :]},
                title="output",
                x_label="unit, and the bias",
                y_label="",
                names=([""], [*map(short, last_layer), "b"]),
            )
        )
    return weights
