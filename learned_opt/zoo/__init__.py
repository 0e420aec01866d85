"""Layer 3: the shipped optimizers, and theta in files."""

from learned_opt.zoo.pretrained import DEFAULT, WEIGHTS, available, pretrained, shipped
from learned_opt.zoo.store import Stored, load, save

__all__ = ["DEFAULT", "WEIGHTS", "Stored", "available", "load", "pretrained", "save", "shipped"]
