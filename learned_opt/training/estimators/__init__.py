"""Estimators of the meta-gradient: one file each, with its settings in the registry."""

from learned_opt.training.estimators.blend import Blend, blend
from learned_opt.training.estimators.bptt import Bptt, truncated_bptt
from learned_opt.training.estimators.es import Es, es
from learned_opt.training.estimators.families_es import FamiliesEs, families_es
from learned_opt.training.estimators.full_unroll import Full, full_unroll
from learned_opt.training.estimators.horizons import growing, log_uniform
from learned_opt.training.estimators.imitation import Imitation, imitation
from learned_opt.training.estimators.loss_gradient import loss_gradient
from learned_opt.training.estimators.nres import Nres, nres
from learned_opt.training.estimators.pes import Pes, pes
from learned_opt.training.estimators.settings import registry
from learned_opt.training.estimators.truncation import Truncation, UnrollState, truncated_unrolls

__all__ = [
    "Blend",
    "Bptt",
    "Es",
    "FamiliesEs",
    "Full",
    "Imitation",
    "Nres",
    "Pes",
    "Truncation",
    "UnrollState",
    "blend",
    "es",
    "families_es",
    "full_unroll",
    "growing",
    "imitation",
    "log_uniform",
    "loss_gradient",
    "nres",
    "pes",
    "registry",
    "truncated_bptt",
    "truncated_unrolls",
]
