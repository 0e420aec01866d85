"""The sets of functions of the suite, the networks that are trained on them, and what that may cost."""

import dataclasses
from collections.abc import Callable, Mapping

from learned_opt.in_context.functions import families, learners
from learned_opt.in_context.functions.families import Family
from learned_opt.in_context.functions.learners import FunctionLearner
from learned_opt.in_context.functions.sequences import EPOCH

RTRL = "fully recurrent, 12 units, RTRL"

NETWORKS: dict[str, Callable[[], FunctionLearner]] = {
    "LSTM, 6 cells": lambda: learners.lstm(),
    "LSTM of 1997, 6 cells + 6 units": lambda: learners.lstm(num_units=(6,), forget_gate=False),
    "LSTM of 1997, truncated gradient": lambda: learners.lstm(
        num_units=(6,), forget_gate=False, truncated=True
    ),
    "GRU, 8 units": lambda: learners.gru(num_units=8),
    "Elman, 12 units": lambda: learners.elman(num_units=12),
    RTRL: lambda: learners.fully_recurrent(num_units=12),
}
# For quadratics the paper has networks of two layers.
TWO_LAYERS: dict[str, Callable[[], FunctionLearner]] = {
    "LSTM of 1997, 12 cells + 6 units, 40 units": lambda: learners.lstm(
        num_cells=(12, 0), num_units=(6, 40), forget_gate=False, feedback=True
    ),
    "LSTM, 6 cells, 40 cells": lambda: learners.lstm(num_cells=(6, 40), num_units=(0, 0)),
}
# The names of results, as a reader sees them.
LABELS = {
    "LSTM of 1997, 12 cells + 6 units, 40 units": "LSTM of 1997 of two layers, 12 cells + 6 units, 40 units",
    "LSTM, 6 cells, 40 cells": "LSTM of two layers, 6 and 40 cells",
}


@dataclasses.dataclass(frozen=True)
class Set:
    """A set of functions, the examples of one that networks are trained and judged on, and the networks.

    With several functions one follows another without reset, as in figure 3 of Younger et al. With several
    starts that many networks are trained, whatever the budget's seeds, and that of the best validation taken.
    With epochs of its own a set is trained for as many as the paper has, at the learning rate that was the
    best of shorter trainings.
    """

    make: Callable[[], Family]
    length: int
    shipped: tuple[str, ...]
    training_length: int = 0  # of the networks
    networks: Mapping[str, Callable[[], FunctionLearner]] = dataclasses.field(default_factory=dict)
    times: int = 1  # as many steps of training as on the others; the papers' networks needed 3,000 epochs
    num_functions: int = 1
    starts: int = 0
    epochs: int = 0  # in place of the size's number of steps
    batch_size: int = 0  # sequences; the size's where it is 0
    rate: float = 0.0  # in place of the size's sweep


def _of_1997(
    networks: Mapping[str, Callable[[], FunctionLearner]],
) -> dict[str, Callable[[], FunctionLearner]]:
    return {name: make for name, make in networks.items() if name.startswith("LSTM of 1997")}


IN_A_ROW = ", five in a row"
EIGHT_STARTS = ", best of 8 starts"
QUADRATIC_NETWORKS = TWO_LAYERS | dict(list(NETWORKS.items())[3:])
SETS: dict[str, Set] = {
    "boolean-16": Set(families.boolean, 256, ("boolean-16",), 64, NETWORKS),
    "semilinear": Set(families.semilinear, 64, ("semilinear",), 64, NETWORKS),
    "quadratic": Set(families.quadratic, 100, ("quadratic",), 100, QUADRATIC_NETWORKS, times=4),
    "quadratic, each scaled": Set(lambda: families.quadratic("each"), 100, ("quadratic-each-scaled",)),
    f"boolean-16{IN_A_ROW}": Set(
        families.boolean,
        256,
        ("boolean-16-switching", "boolean-16-held-out", "boolean-16"),
        num_functions=5,
    ),
    f"semilinear{IN_A_ROW}": Set(
        families.semilinear, 64, ("semilinear-switching", "semilinear"), num_functions=5
    ),
    f"quadratic{IN_A_ROW}": Set(
        families.quadratic, 100, ("quadratic-switching", "quadratic"), num_functions=5
    ),
    f"boolean-16{EIGHT_STARTS}": Set(families.boolean, 256, (), 64, NETWORKS, times=2, starts=8),
    f"semilinear{EIGHT_STARTS}": Set(families.semilinear, 64, (), 64, NETWORKS, times=2, starts=8),
    f"quadratic{EIGHT_STARTS}": Set(families.quadratic, 100, (), 100, QUADRATIC_NETWORKS, times=2, starts=8),
    "semilinear, 10,000 epochs": Set(
        families.semilinear, 64, (), 64, _of_1997(NETWORKS), starts=8, epochs=10_000, rate=0.06
    ),
    "quadratic, 25,000 epochs": Set(
        families.quadratic,
        100,
        (),
        100,
        _of_1997(TWO_LAYERS),
        starts=1,
        epochs=25_000,
        batch_size=EPOCH,  # a step an epoch
        rate=0.006,
    ),
}


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a size spends: on meta-training, and on judging what came out."""

    seeds: int
    num_steps: int
    num_sequences: int = 500
    batch_size: int = 25  # sequences
    rates: tuple[float, ...] = (2e-3, 6e-3, 2e-2, 6e-2, 2e-1)
    sets: tuple[str, ...] = tuple(SETS)
    networks: tuple[str, ...] = (*NETWORKS, *TWO_LAYERS)
    descent: bool = True

    def on(self, what: Set) -> "Budget":
        """What is spent on a set."""
        batch_size = what.batch_size or self.batch_size
        num_steps = what.epochs * EPOCH // batch_size or what.times * self.num_steps
        rates = (what.rate,) if what.rate else self.rates
        return dataclasses.replace(self, num_steps=num_steps, batch_size=batch_size, rates=rates)


BUDGETS = {
    "quick": Budget(
        1,
        100,
        100,
        rates=(2e-2,),
        sets=("boolean-16",),
        networks=("LSTM, 6 cells", "Elman, 12 units"),
        descent=False,
    ),
    "default": Budget(3, 3000),
    "full": Budget(10, 40_000),
}
