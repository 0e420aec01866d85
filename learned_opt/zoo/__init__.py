"""Layer 2: one store of meta-parameters, shipped or not, and a card for each that is shipped."""

from learned_opt.zoo.card import Card
from learned_opt.zoo.config import Config
from learned_opt.zoo.pretrained import DEFAULT, available, pretrained
from learned_opt.zoo.store import Stored, folder, load, save, shipped, weight_files

__all__ = [
    "DEFAULT",
    "Card",
    "Config",
    "Stored",
    "available",
    "folder",
    "load",
    "pretrained",
    "save",
    "shipped",
    "weight_files",
]
