"""From what was measured to what is wrong: the thresholds, the likely causes and the fixes."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from learned_opt.meta.settings import Settings
from learned_opt.training.estimators.settings import UnrollSettings
from learned_opt.training.estimators.truncation import divisors

SMALL_GRADIENT = 1e-8  # Adam's epsilon: what is smaller than it makes small steps
LARGE_SPREAD = 100.0  # of the norms of meta-gradients, largest by median
LOW_COSINE = 0.1
LITTLE_GAIN = 1e-4  # of the loss, over a whole trajectory, to first order
GROWTH = 10.0  # of a loss that counts as diverged; of gradient norms over a run
MANY_DIVERGED = 0.25
MANY_SATURATED = 0.8
FLAT = 0.01  # relative change of a loss that counts as none
MANY_SKIPPED = 0.05


class Finding(NamedTuple):
    """Something that keeps meta-training from learning.

    Attributes:
        name: of the kind of finding, for programs.
        measured: what was measured.
        cause: the likely cause.
        fix: what to change, with a setting and a value.
    """

    name: str
    measured: str
    cause: str
    fix: str


class Diagnosis(NamedTuple):
    """What `doctor` and `doctor_run` give.

    Attributes:
        measured: what was looked at, by name, whether or not it is a finding.
        findings: what is wrong, causes before their effects; empty if nothing was found.
    """

    measured: dict[str, str]
    findings: list[Finding]


def diverged(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """bool[problems]: whether the last loss is not finite, or ten times the first."""
    return ~(last - first <= (GROWTH - 1) * np.abs(first))


def check_gradients(grads: dict[str, np.ndarray], estimator: UnrollSettings) -> Diagnosis:
    """What meta-gradients show: each leaf of theta by name, [seeds, truncations, ...]."""
    flat = np.concatenate([g.reshape(*g.shape[:2], -1) for g in grads.values()], axis=-1).astype(np.float64)
    num_seeds, _, size = flat.shape
    finite = np.all(np.isfinite(flat), axis=-1)
    measured = {"meta-gradients that are finite": f"{finite.sum()} of {finite.size}"}
    findings = []
    if not finite.all():
        findings.append(
            Finding(
                "meta-gradient-not-finite",
                f"{(~finite).sum()} of {finite.size} meta-gradients are not finite",
                "derivatives overflow in a long truncation, or something on the way (a root at 0, a "
                "division) has a value and no derivative",
                f"{_shorter(estimator)}; or estimator='pes', which differentiates nothing",
            )
        )
    norms = np.linalg.norm(np.where(finite[..., None], flat, 0), axis=-1)
    if not finite.any():
        return Diagnosis(measured, findings)
    median, largest = np.median(norms[finite]), norms[finite].max()
    measured["meta-gradient norm"] = f"median {median:.3g}, largest {largest:.3g}"
    if largest == 0:
        findings.append(
            Finding(
                "meta-gradient-zero",
                f"all {finite.sum()} meta-gradients are exactly 0",
                "the meta-loss does not depend on theta: the optimizee's loss ignores its params, or the "
                "weights of the objective leave out every step",
                "make the task's loss depend on its params; weights='uniform'",
            )
        )
        return Diagnosis(measured, findings)
    dead = [name for name, g in grads.items() if g.size and not np.any(g[finite])]
    if dead:
        findings.append(_without_gradient(dead, estimator))
    findings += _sizes(median, largest, size, estimator)
    agreement = _cosine(flat, norms, finite & (norms > 0))
    if agreement is not None:
        cosine, error = agreement
        measured["cosine of meta-gradients between seeds"] = f"{cosine:.3f} +- {error:.3f}"
        # Only where it is sure: Adam averages over meta-steps, and training bears much noise.
        if cosine + 2 * error < LOW_COSINE:
            findings.append(_noisy(cosine, num_seeds, size, median, estimator))
    return Diagnosis(measured, findings)


def check_order(
    own: dict[str, np.ndarray], other: dict[str, np.ndarray], estimator: UnrollSettings
) -> Diagnosis:
    """How the first-order meta-gradients stand to the whole ones; leaves [seeds, truncations, ...].

    `other` are those of the same problems with the other order than the settings'.
    """
    first, second = (other, own) if estimator.second_order else (own, other)  # type: ignore[attr-defined]
    pairs = {name: (g.astype(np.float64), second[name].astype(np.float64)) for name, g in first.items()}
    if not all(np.isfinite(g).all() for pair in pairs.values() for g in pair):
        return Diagnosis({}, [])
    one, whole = (np.concatenate([p[i].mean((0, 1)).ravel() for p in pairs.values()]) for i in (0, 1))
    norms = np.linalg.norm(one), np.linalg.norm(whole)
    if not min(norms) > 0:
        return Diagnosis({}, [])
    cosine = float(one @ whole / (norms[0] * norms[1]))
    opposite = [name for name, (g, h) in pairs.items() if np.sum(g.mean((0, 1)) * h.mean((0, 1))) < 0]
    text = f"cosine {cosine:.3f}, norms {norms[0]:.3g} and {norms[1]:.3g}"
    if opposite:
        text += f"; against each other in {_listed(opposite)}"
    findings = []
    if cosine < LOW_COSINE and not estimator.second_order:  # type: ignore[attr-defined]
        findings.append(
            Finding(
                "first-order-misleads",
                f"the cosine between the first-order meta-gradient and the whole one is {cosine:.3f}",
                "the gradients that the rule sees depend on its earlier steps, which first order leaves out",
                "second_order=True",
            )
        )
    return Diagnosis({"meta-gradient of first and of second order": text}, findings)


def _without_gradient(dead: list[str], estimator: UnrollSettings) -> Finding:
    return Finding(
        "meta-parameters-without-gradient",
        f"the meta-gradient of {_listed(dead)} is exactly 0 for every seed",
        "the update does not depend on them, or what depends on them is cut off: recurrent weights "
        "need more than one step in a truncation",
        f"a longer truncation than {truncation_of(estimator)}, such as "
        f"truncation={_next_divisor(estimator)}; or take them out of theta",
    )


def _sizes(median: float, largest: float, size: int, estimator: UnrollSettings) -> list[Finding]:
    """Whether meta-gradients are too small for Adam, or a few of them outweigh the others."""
    findings = []
    if median / math.sqrt(size) < SMALL_GRADIENT:
        factor = 10.0 ** math.ceil(math.log10(1e-3 / max(median, 1e-30)))
        findings.append(
            Finding(
                "meta-gradient-tiny",
                f"a meta-parameter's gradient is {median / math.sqrt(size):.1e} at the median, below Adam's "
                f"epsilon of {SMALL_GRADIENT:.0e}",
                "the losses are small numbers, or hardly depend on theta",
                f"log_floor=1e-5, so that the objective is of logarithms; or weights of {factor:.0e} a step",
            )
        )
    if largest > LARGE_SPREAD * max(median, SMALL_GRADIENT) and estimator.problem_clip_norm is None:
        findings.append(
            Finding(
                "meta-gradient-huge",
                f"the largest meta-gradient is {largest / max(median, SMALL_GRADIENT):.0f} times the median",
                "a few problems whose trajectories are chaotic or whose losses are large outweigh all others",
                f"problem_clip_norm={median:.1g}; {_shorter(estimator)}",
            )
        )
    return findings


def _noisy(cosine: float, num_seeds: int, size: int, median: float, estimator: UnrollSettings) -> Finding:
    # Of two estimates with noise v / P and signal s, the expected cosine is s / (s + v / P).
    more = min(16, math.ceil((1 - cosine) / max(cosine, 1e-3)))
    evolved = estimator.name in ("es", "pes", "nres")
    return Finding(
        "meta-gradient-noisy",
        f"the mean cosine between the meta-gradients of {num_seeds} seeds is {cosine:.3f}",
        f"{estimator.num_problems} directions tell little of {size:,} meta-parameters"
        if evolved
        else "the problems disagree, or their trajectories are chaotic: the gradient is exact "
        "and says nothing about where to go",
        f"num_problems={more * estimator.num_problems}; "
        + (
            "a rule with fewer meta-parameters"
            if evolved
            else f"problem_clip_norm={median:.1g}; {_shorter(estimator)}; estimator='pes'"
        ),
    )


def check_memory(needed: int, available: int, source: str, estimator: UnrollSettings) -> Diagnosis:
    """Whether a meta-step that needs so many bytes fits the memory; `source` is where that number is from."""
    text = f"{_bytes(needed)} ({source}) of {_bytes(available)}"
    findings = []
    if needed > 0.9 * available:
        halved = [f"num_problems={estimator.num_problems // 2}"] if estimator.num_problems > 1 else []
        if estimator.name in ("tbptt", "blend") and truncation_of(estimator) > 1:
            halved.append(f"truncation={_half(estimator)}")
        fix = " or ".join(halved) or "a smaller task"
        findings.append(
            Finding(
                "memory",
                f"a meta-step needs {text}",
                "the states of all problems are kept",
                f"{fix} halves it",
            )
        )
    return Diagnosis({"memory of a meta-step": text}, findings)


def check_metrics(rows: Sequence[dict[str, Any]], settings: Settings) -> Diagnosis:
    """What the metrics of a run show, a row a validation."""
    if not rows:
        return Diagnosis({"validations": "none yet"}, [])
    last, step = rows[-1], rows[-1]["step"]
    skipped = last.get("skipped") or 0
    measured = {
        "validations": f"{len(rows)}, the last at meta-step {step:,}",
        "meta-steps skipped": f"{skipped} of {step}",
    }
    losses = np.array([np.nan if r["validation_loss"] is None else r["validation_loss"] for r in rows], float)
    known = losses[np.isfinite(losses)]
    findings = _skipped(skipped, step, known.size > 0, settings)
    if known.size:
        measured["validation loss"] = f"first {known[0]:.4g}, best {known.min():.4g}, last {known[-1]:.4g}"
    if known.size >= 5 and np.ptp(known) <= FLAT * np.abs(known).max():
        findings.append(
            Finding(
                "validation-flat",
                f"the validation loss stayed within {np.ptp(known) / max(np.abs(known).max(), 1e-30):.1%} "
                f"over {known.size} validations",
                "theta moves too slowly, or there is nothing to gain on this task",
                f"learning_rate={settings.learning_rate * 3:.1g}; see the other findings first",
            )
        )
    norms = np.array([r["gradient_norm"] for r in rows if r.get("gradient_norm") is not None], float)
    if norms.size >= 8:
        quarter = norms.size // 4
        early, late = np.median(norms[:quarter]), np.median(norms[-quarter:])
        measured["meta-gradient norms of the run"] = f"first quarter {early:.3g}, last quarter {late:.3g}"
        if late > GROWTH * early:
            findings.append(
                Finding(
                    "gradient-norms-growing",
                    f"the norm of the meta-gradient grew from {early:.3g} to {late:.3g}",
                    "training drives theta to where trajectories are chaotic",
                    f"learning_rate={settings.learning_rate / 3:.1g}; problem_clip_norm={early:.1g}; "
                    f"{_shorter(settings.estimator)}",
                )
            )
    return Diagnosis(measured, findings)


def _skipped(skipped: int, step: int, any_finite: bool, settings: Settings) -> list[Finding]:
    """Whether many meta-steps were skipped; where nothing was ever finite, the step size is not the cause."""
    if skipped <= MANY_SKIPPED * step:
        return []
    if skipped == step and not any_finite:
        return [
            Finding(
                "never-finite",
                f"all {step} meta-steps were skipped, and no validation loss was finite",
                "losses or their derivatives are not finite from the start, whatever the learning rate",
                "see the findings on trajectories; guard the task's loss: jnp.log(jnp.maximum(x, 1e-6)), a "
                "where inside the root",
            )
        ]
    return [
        Finding(
            "meta-steps-skipped",
            f"{skipped} of {step} meta-steps had a meta-gradient that is not finite and were skipped",
            "trajectories explode under the current theta",
            f"learning_rate={settings.learning_rate / 3:.1g}; {_shorter(settings.estimator)}",
        )
    ]


def check_movement(moved: dict[str, float]) -> Diagnosis:
    """Whether a run's theta has left its start, from the distance by leaf."""
    still = [name for name, distance in moved.items() if distance == 0]
    text = f"{len(moved) - len(still)} of {len(moved)} leaves moved"
    findings = []
    if still:
        findings.append(
            Finding(
                "theta-does-not-move",
                f"{'all of theta' if len(still) == len(moved) else _listed(still)} is where it started",
                "its meta-gradient is 0 or was never finite, or learning_rate is too small for its dtype",
                "see the findings on meta-gradients; a larger learning_rate",
            )
        )
    return Diagnosis({"theta against its start": text}, findings)


def _cosine(flat: np.ndarray, norms: np.ndarray, usable: np.ndarray) -> tuple[float, float] | None:
    """Over pairs of seeds, truncation by truncation: the mean and its standard error, if there are two."""
    cosines: list[float] = []
    for t in range(flat.shape[1]):
        unit = flat[usable[:, t], t] / norms[usable[:, t], t, None]
        cosines.extend((unit @ unit.T)[np.triu_indices(len(unit), 1)])
    if len(cosines) < 2:
        return None
    # Pairs that share a seed are not independent of each other; half the seeds make pairs that are.
    independent = max(usable.sum() // 2, 1)
    return float(np.mean(cosines)), float(np.std(cosines, ddof=1) / math.sqrt(independent))


def truncation_of(estimator: UnrollSettings) -> int:
    """Inner steps that are differentiated, or compared, at once."""
    return getattr(estimator, "truncation", estimator.horizon)


def _shorter(estimator: UnrollSettings) -> str:
    if estimator.name == "full":
        return f"a shorter horizon={max(estimator.horizon // 2, 1)}"
    if truncation_of(estimator) == 1:
        return "a smaller output_scale of the rule"
    return f"truncation={_half(estimator)}"


def _half(estimator: UnrollSettings) -> int:
    return max(d for d in divisors(estimator.horizon) if d <= max(truncation_of(estimator) // 2, 1))


def _next_divisor(estimator: UnrollSettings) -> int:
    longer = (d for d in divisors(estimator.horizon) if d > truncation_of(estimator))
    return min(longer, default=estimator.horizon)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"


def _bytes(number: int) -> str:
    return f"{number / 2**30:.2f} GiB" if number >= 2**28 else f"{number / 2**20:.1f} MiB"
