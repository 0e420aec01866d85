"""Layer 1: recurrent networks that haiku does not have, the Differentiable Neural Computer among them."""

from learned_opt.networks.dnc import DNC, DNCState
from learned_opt.networks.external_memory import (
    Interface,
    Memory,
    access,
    allocation_weighting,
    content_weighting,
    empty_memory,
    interface,
    interface_size,
    next_links,
    next_usage,
)
from learned_opt.networks.memory_cells import CellState, MemoryCells
from learned_opt.networks.rtrl import rtrl_output
from learned_opt.networks.simple import Elman, fully_recurrent, init_fully_recurrent

__all__ = [
    "DNC",
    "CellState",
    "DNCState",
    "Elman",
    "Interface",
    "Memory",
    "MemoryCells",
    "access",
    "allocation_weighting",
    "content_weighting",
    "empty_memory",
    "fully_recurrent",
    "init_fully_recurrent",
    "interface",
    "interface_size",
    "next_links",
    "next_usage",
    "rtrl_output",
]
