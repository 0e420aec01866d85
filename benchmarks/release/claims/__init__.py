"""What is measured of each shipped weight, and what its card says beside the figures."""

from benchmarks.release.claims.claim import Claim, Claims
from benchmarks.release.claims.learners import LEARNERS, MEMORIES
from benchmarks.release.claims.optimizers import OPTIMIZERS

__all__ = ["CLAIMS", "Claim", "Claims"]

CLAIMS: dict[str, Claims] = {**OPTIMIZERS, **LEARNERS, **MEMORIES}
