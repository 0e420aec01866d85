"""What trajectories under theta show: NaN, divergence, idle steps, saturated gates."""

import math
from typing import Any

import numpy as np

from learned_opt.meta.diagnosis.checks import (
    FLAT,
    LITTLE_GAIN,
    MANY_DIVERGED,
    MANY_SATURATED,
    Diagnosis,
    Finding,
    diverged,
)
from learned_opt.meta.diagnosis.diagnostics import UpdateStats


def check_trajectories(
    losses: np.ndarray, stats: UpdateStats, names: list[str], scale: float | None
) -> Diagnosis:
    """What the losses f32[problems, steps + 1] and the statistics of watched trajectories show.

    `names` are the leaves of `stats.finite`, and `scale` the rule's `output_scale`, if it has one.
    """
    share = diverged(losses[:, 0], losses[:, -1]).mean()
    measured = {"problems that diverged": f"{share:.0%} of {len(losses)}"}
    findings = _not_finite(losses, np.asarray(stats.finite), names)
    if not np.isfinite(losses[:, 0]).any():
        return Diagnosis(measured, findings)  # no step has anything to do with it
    if share >= MANY_DIVERGED:
        smaller = f"output_scale={scale / 10:g}" if scale else "a smaller step size"
        findings.append(
            Finding(
                "problems-diverged",
                f"{share:.0%} of {len(losses)} problems ended at ten times their first loss, or not finite",
                "the steps are too large for the task, or go the wrong way",
                f"{smaller} of the rule; a curriculum: growth_steps, with min_horizon",
            )
        )
    findings += _steps(losses, stats, scale, measured, bool(share < MANY_DIVERGED))
    saturated = {name: float(np.nanmean(s)) for name, s in stats.saturated.items() if s.size}
    for name, s in saturated.items():
        measured[f"saturated: {name}"] = f"{s:.0%}"
    full = {name: s for name, s in saturated.items() if s > MANY_SATURATED}
    if full:
        findings.append(
            Finding(
                "saturated-gates",
                "at their bounds are " + ", ".join(f"{s:.0%} of {name}" for name, s in full.items()),
                "their inputs or weights are too large, and no derivative comes through",
                "inputs='normalized' where the rule has the choice; a fresh theta with a smaller "
                "learning_rate",
            )
        )
    return Diagnosis(measured, findings)


def check_floor(start: float, adam: float) -> Diagnosis:
    """Whether there is anything to gain on the mean starting loss, beside that of the best of some Adams."""
    text = f"{start:.4g} at the start, {adam:.4g} after the best of some Adams"
    findings = []
    if math.isfinite(start) and not start - adam > FLAT * abs(start):
        findings.append(
            Finding(
                "start-at-floor",
                f"the loss is {text}",
                "trajectories start at the floor of the loss, or the noise of batches hides what is gained",
                "start further away (the task's init), a longer horizon, or another task",
            )
        )
    return Diagnosis({"loss": text}, findings)


def _not_finite(losses: np.ndarray, finite: np.ndarray, names: list[str]) -> list[Finding]:
    bad = ~finite  # [problems, steps, leaves]
    bad_losses = ~np.isfinite(losses)
    steps = bad.any(axis=(0, 2))
    steps = np.append(steps, False) | bad_losses.any(axis=0)
    if not steps.any():
        return []
    step = int(np.argmax(steps))
    leaves = [name for i, name in enumerate(names) if step < bad.shape[1] and bad[:, step, i].any()]
    # In the order of a step: the params, their loss, its gradient, then what the rule makes of it.
    if bad_losses[:, step].any():
        place = next((i for i, n in enumerate(leaves) if not n.startswith("params")), len(leaves))
        leaves.insert(place, "loss")
    problems = int((bad.any(axis=(1, 2)) | bad_losses.any(axis=1)).sum())
    first = leaves[0]
    causes = {
        "loss": "the loss leaves its domain (a logarithm or a root of a negative number, an overflow)",
        "gradient": "the loss has a value there and no derivative (a root or a norm at 0)",
        "state": "the rule's state overflows",
        "update": "the rule computes something that is not finite from finite gradients",
        "params": "the params overflow, or their start is not finite",
    }
    kind = next(k for k in causes if first.startswith(k))
    return [
        Finding(
            "not-finite",
            f"at inner step {step} the first NaN or infinity appears, in {', '.join(leaves[:6])}; "
            f"it comes in {problems} of {len(losses)} problems",
            causes[kind],
            "guard the task's loss: jnp.log(jnp.maximum(x, 1e-6)), a where inside the root"
            if kind in ("loss", "gradient")
            else "a smaller output_scale of the rule; optax.clip_by_global_norm before it",
        )
    ]


def _steps(
    losses: np.ndarray, stats: UpdateStats, scale: float | None, measured: dict[str, Any], tame: bool
) -> list[Finding]:
    """Whether there are gradients, and whether steps have the right size for them."""
    findings = []
    size = np.maximum(np.nanmax(np.abs(losses), axis=1, initial=0, where=np.isfinite(losses)), 1e-30)
    gain = float(np.nanmedian(np.nansum(stats.gain, axis=1) / size))
    moving = stats.param_norm > 0
    ratios = stats.update_norm[moving] / stats.param_norm[moving]
    ratio = float(np.nanmedian(ratios)) if np.isfinite(ratios).any() else float("nan")
    measured["update by param norm"] = f"median {ratio:.2g}"
    measured["change of the loss that steps can make"] = f"{gain:.2g} of it"
    if not np.any(stats.gradient_norm):
        findings.append(
            Finding(
                "loss-does-not-move",
                "the optimizee's gradient is exactly 0 at every step",
                "the loss does not depend on the params, or something in it (round, argmax, "
                "stop_gradient, an integer) has no derivative",
                "make the task's loss a differentiable function of its params",
            )
        )
    elif gain < LITTLE_GAIN and tame:
        factor = 10.0 ** math.ceil(math.log10(1e-2 / max(gain, 1e-12)))
        larger = f"output_scale={scale * factor:.1g}" if scale else f"a step size {factor:.0e} times as large"
        still = np.ptp(losses, axis=1).max() <= 1e-6 * size.max()
        findings.append(
            Finding(
                "steps-too-small",
                f"all steps together change the loss by {gain:.1e} of it, to first order"
                + ("; the loss does not move at all" if still else ""),
                "the updates are too small for the task",
                f"{larger} of the rule",
            )
        )
    half = stats.update_norm.shape[1] // 2
    late = moving[:, half:]
    late_ratios = stats.update_norm[:, half:][late] / stats.param_norm[:, half:][late]
    late_ratios = late_ratios[np.isfinite(late_ratios)]
    if late_ratios.size and np.median(late_ratios) > 1:
        smaller = f"output_scale={scale / 10:g}" if scale else "a smaller step size"
        findings.append(
            Finding(
                "steps-too-large",
                f"in the second half of the trajectory the update is {np.median(late_ratios):.2g} times as "
                "long as the params",
                "the steps throw the params about",
                f"{smaller} of the rule",
            )
        )
    return findings
