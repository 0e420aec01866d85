"""Layer 4: networks that learn inside their own state, without an optimizer."""

from learned_opt.in_context.smorms3 import SMORMS3State, smorms3

__all__ = ["SMORMS3State", "smorms3"]
