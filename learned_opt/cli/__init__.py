"""Layer 6: the `learned-opt` command."""

from learned_opt.cli.main import main

__all__ = ["main"]
