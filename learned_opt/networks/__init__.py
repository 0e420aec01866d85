"""Layer 1: recurrent networks that haiku does not have."""

from learned_opt.networks.memory_cells import CellState, MemoryCells
from learned_opt.networks.rtrl import rtrl_output, sensitivities
from learned_opt.networks.simple import (
    Elman,
    fully_recurrent,
    fully_recurrent_step,
    init_fully_recurrent,
)

__all__ = [
    "CellState",
    "Elman",
    "MemoryCells",
    "fully_recurrent",
    "fully_recurrent_step",
    "init_fully_recurrent",
    "rtrl_output",
    "sensitivities",
]
