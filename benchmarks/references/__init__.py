"""What the field solves sparse coding with: solvers with guarantees, and the networks unrolled from them."""

from benchmarks.references.iterative import (
    approximate_message_passing,
    fista,
    iterative_hard_thresholding,
    lipschitz,
    proximal_gradient,
)

__all__ = [
    "approximate_message_passing",
    "fista",
    "iterative_hard_thresholding",
    "lipschitz",
    "proximal_gradient",
]
