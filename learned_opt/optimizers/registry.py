"""The families of learned optimizers by name."""

from learned_opt.core.config import Registry

registry = Registry("optimizer")
