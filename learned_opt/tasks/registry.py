"""The tasks by name."""

from learned_opt.core.config import Registry

registry = Registry("task")
