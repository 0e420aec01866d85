"""Sparse coding: the LASSO, the l0 and group penalties, and recovery of codes in a few steps.

On recovery the loss is the relative error of the code. There the step size and the weight of ISTA and FISTA
and the threshold of AMP are tuned on other problems at the same number of iterations (`tuned.py`), and LISTA
and ALISTA have been trained for the dictionary (`train.py`).
"""

import functools
from collections.abc import Callable
from typing import Any

from benchmarks.comparison.baselines import BASELINES, Optimizer, learned, solver
from benchmarks.comparison.suite import Budget, Case, comparison
from benchmarks.suites.sparse_coding.iterative import (
    bayes_message_passing,
    iterative_hard_thresholding,
    normalized_hard_thresholding,
    orthogonal_matching_pursuit,
)
from benchmarks.suites.sparse_coding.problems import (
    RECOVERY,
    RECOVERY_STEPS,
    SPARSE,
    penalized,
    recovery,
)
from benchmarks.suites.sparse_coding.trained import path_of, trained_codes
from benchmarks.suites.sparse_coding.tuned import SOLVERS, recover, tuned
from learned_opt import zoo
from learned_opt.core.types import Task
from learned_opt.reports import Column

SUMMARIES = {
    "gaussian": "a Gaussian dictionary, no noise",
    "snr20": "a Gaussian dictionary, a signal-to-noise ratio of 20 dB",
    "snr10": "a Gaussian dictionary, a signal-to-noise ratio of 10 dB",
    "ill-conditioned": "a dictionary of condition number 50, no noise",
    "natural-images": "a dictionary of patches of photographs, no noise",
    "l1": "the l1 penalty: the LASSO",
    "l0": "the number of nonzeros",
    "group": "the norms of groups of five",
}
PENALIZED = "Gaussian dictionaries of 25x50, weight 0.005"


def cases(size: str) -> list[Case]:
    """The cases of a size."""
    quick = size == "quick"
    found = []
    for penalty in ("l1",) if quick else SPARSE:
        horizons = (16,) if quick else (16, 50, 100)
        if not quick and penalty == "group":
            horizons = (16, 50, 100, 1000)
        if penalty == "l1":
            horizons = (100,) if quick else (100, 1000)
        found.append(
            Case(
                f"{penalty}-25x50",
                functools.partial(penalized, penalty),
                horizons,
                summary=f"{PENALIZED}, {SUMMARIES[penalty]}; the gradient of the quadratic part, then the "
                "proximal operator.",
            )
        )
        if not quick:
            found.append(
                Case(
                    f"{penalty}-25x50-subgradient",
                    functools.partial(penalized, penalty, "subgradient"),
                    horizons[-1:],
                    summary=f"{PENALIZED}, {SUMMARIES[penalty]}; a subgradient of the whole.",
                    only=tuple(BASELINES),
                )
            )
    for kind in ("gaussian",) if quick else RECOVERY:
        found.append(
            Case(
                f"recovery-{kind}",
                functools.partial(recovery, kind),
                (RECOVERY_STEPS,),
                summary=f"Codes of 512 entries, a tenth of them active, from 256 measurements: "
                f"{SUMMARIES[kind]}.",
            )
        )
    if size == "full":
        found.append(
            Case(
                "recovery-gaussian-512x1024",
                functools.partial(recovery, "gaussian", (512, 1024)),
                (RECOVERY_STEPS,),
                summary="Codes of 1,024 entries from 512 measurements: a Gaussian dictionary, no noise.",
            )
        )
    return found


def _is(penalty: str, task: Task) -> bool:
    return task.config.penalty == penalty and task.config.form == "proximal"


def _is_recovery(task: Task) -> bool:
    return task.config.objective == "recovery"


def _solve(name: str, task: Task, problem: Any, batch: Any, num_steps: int):
    """ISTA and its kin: for the task's objective, or as they recover best."""
    if _is_recovery(task):
        return recover(name, batch, num_steps, tuned(name, task.config, num_steps))
    prox: Any = task.prox
    return SOLVERS[name](batch, num_steps, prox)


def _by_number(solve: Callable[..., Any], task: Task, problem: Any, batch: Any, num_steps: int):
    return solve(batch, num_steps, round(task.config.sparsity * task.config.num_atoms))


def _by_penalty(task: Task, problem: Any, batch: Any, num_steps: int):
    return orthogonal_matching_pursuit(batch, num_steps, task.config.weight)


def _by_prior(task: Task, problem: Any, batch: Any, num_steps: int):
    return bayes_message_passing(batch, num_steps, task.config.sparsity)


def _trained(name: str, task: Task, problem: Any, batch: Any, num_steps: int):
    return trained_codes(name, task.config, batch, num_steps)


def optimizers(size: str) -> tuple[Optimizer, ...]:
    """Swept baselines with the proximal operator, the references, and what is shipped."""
    l1, l0, group = (functools.partial(_is, penalty) for penalty in ("l1", "l0", "group"))
    swept = [c for c in BASELINES.values() if c.kind == "swept" or c.name == "adam-1e-3"]
    if size == "quick":
        swept = [BASELINES["sgd"], BASELINES["adam"]]
    references = (
        solver("ista", functools.partial(_solve, "ista"), suits=l1),
        solver("fista", functools.partial(_solve, "fista"), suits=l1),
        solver("amp", functools.partial(_solve, "amp"), suits=lambda task: l1(task) and _is_recovery(task)),
        solver("amp-prior", _by_prior, suits=lambda task: l1(task) and _is_recovery(task)),
        solver("iht", functools.partial(_solve, "ista"), suits=l0),
        solver("iht-k", functools.partial(_by_number, iterative_hard_thresholding), suits=l0),
        solver("niht-k", functools.partial(_by_number, normalized_hard_thresholding), suits=l0),
        solver("omp", _by_penalty, suits=l0),
        solver("block-ista", functools.partial(_solve, "ista"), suits=group),
        solver("block-fista", functools.partial(_solve, "fista"), suits=group),
        *(
            solver(
                name,
                functools.partial(_trained, name),
                suits=functools.partial(_has_network, name),
            )
            for name in ("lista", "alista")
        ),
    )
    shipped = [n for n in zoo.available() if n.startswith(("lstm-sparse", "dnc-sparse", "lstm-general"))]
    return (*swept, *references, *(learned(name) for name in shipped))


def _has_network(name: str, task: Task) -> bool:
    return _is_recovery(task) and path_of(name, task.config).exists()


SUITE = comparison(
    "sparse_coding",
    cases,
    version=2,
    summary="Sparse coding with l1, l0 and group penalties, and recovery of codes in 16 steps from Gaussian, "
    "noisy, ill-conditioned and natural-image measurements.",
    budgets={
        "quick": Budget(seeds=2, problems=32, tuning_problems=32),
        "default": Budget(seeds=5, problems=64, tuning_problems=64),
        "full": Budget(seeds=10, problems=128, tuning_problems=128, rates=33),
    },
    optimizers=optimizers,
    metrics={
        "nmse_db": Column("NMSE (dB)", best="low"),
        "support_f1": Column("support F1", best="high"),
        "gap": Column("relative gap", best="low"),
    },
)
