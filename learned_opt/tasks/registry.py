"""The tasks by name."""

from learned_opt.core.registry import Registry

registry = Registry("task")
