"""The families of learned optimizers by name."""

from learned_opt.core.registry import Registry

registry = Registry("optimizer")
