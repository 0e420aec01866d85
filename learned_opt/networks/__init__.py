"""Layer 1: networks that haiku does not have: those with memory, the Neural Programmer, VGG from a file."""

from learned_opt.networks.convolution import Convolution, convolve
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
from learned_opt.networks.neural_programmer import NeuralProgrammer
from learned_opt.networks.question_answering import QuestionAnswerer
from learned_opt.networks.rtrl import rtrl_output
from learned_opt.networks.simple import Elman, fully_recurrent, init_fully_recurrent
from learned_opt.networks.vgg import load_layers, save_layers

__all__ = [
    "DNC",
    "CellState",
    "Convolution",
    "DNCState",
    "Elman",
    "Interface",
    "Memory",
    "MemoryCells",
    "NeuralProgrammer",
    "QuestionAnswerer",
    "access",
    "allocation_weighting",
    "content_weighting",
    "convolve",
    "empty_memory",
    "fully_recurrent",
    "init_fully_recurrent",
    "interface",
    "interface_size",
    "load_layers",
    "next_links",
    "next_usage",
    "rtrl_output",
    "save_layers",
]
