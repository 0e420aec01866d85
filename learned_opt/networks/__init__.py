"""Layer 1: recurrent networks that haiku does not have."""

from learned_opt.networks.memory_cells import CellState, MemoryCells
from learned_opt.networks.rtrl import rtrl_output
from learned_opt.networks.simple import Elman, fully_recurrent, init_fully_recurrent

__all__ = ["CellState", "Elman", "MemoryCells", "fully_recurrent", "init_fully_recurrent", "rtrl_output"]
