"""The problems of sparse coding: with a penalty, and recovery of codes from one dictionary."""

import functools
from typing import Any

from learned_opt import tasks
from learned_opt.core.types import Task

RECOVERY_STEPS = 16
RECOVERY_WEIGHT = 0.1  # for optimizers that are not tuned for it
RECOVERY: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "snr20": {"snr_db": 20.0},
    "snr10": {"snr_db": 10.0},
    "ill-conditioned": {"dictionary": "ill_conditioned"},
    "natural-images": {"dictionary": "natural_images"},
}
SPARSE = {
    "l1": {"penalty": "l1", "optimum_steps": 3000},
    "l0": {"penalty": "l0"},
    "group": {"penalty": "group", "group_size": 5, "optimum_steps": 3000},
}


@functools.cache
def recovery(kind: str, size: tuple[int, int] = (256, 512)) -> Task:
    """A task of recovery with one dictionary, for which the networks can be trained."""
    arguments = {"weight": RECOVERY_WEIGHT, "objective": "recovery", "dictionary_seed": 0, **RECOVERY[kind]}
    return tasks.sparse_coding(*size, **arguments)


@functools.cache
def penalized(penalty: str, form: Any = "proximal") -> Task:
    """A task of 25x50 with a new dictionary for each problem."""
    return tasks.sparse_coding(25, 50, form=form, **SPARSE[penalty])
