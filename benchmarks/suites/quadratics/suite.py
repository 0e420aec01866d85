"""Random quadratics: Gaussian ones, other dimensions, condition numbers, noise in the gradient."""

import dataclasses
import functools

from benchmarks.comparison.baselines import BASELINES, Optimizer, learned
from benchmarks.comparison.suite import Budget, Case, comparison
from benchmarks.suites.quadratics.references import REFERENCES
from learned_opt import tasks

LEARNED = ("lstm-quadratic", "lstm-general")
OTHERS = ("lstm-quadratic-noisy", "coordinatewise-quadratic", "dnc-quadratic")
SCALES = (1e-3, 1e-1, 1e1, 1e3)
BASE = "gaussian-10"


# One object for all cases on it, so that its problems are compiled once.
gaussian_10 = functools.cache(functools.partial(tasks.quadratic, dim=10))


def quadratic(name: str, summary: str, **arguments) -> Case:
    return Case(name, functools.partial(tasks.quadratic, **arguments), summary=summary)


def noisy(deviation: float, only: tuple[str, ...]) -> Case:
    return Case(
        f"gaussian-10-noise-{deviation:g}",
        lambda: tasks.gradient_noise(gaussian_10(), deviation),
        summary=f"Gaussian quadratics in 10 dimensions, Gaussian noise of deviation {deviation:g} in each "
        "coordinate of the gradient; the losses are without noise.",
        only=only,
        shift=(BASE, f"gradient noise {deviation:g}"),
    )


def scaled(scale: float) -> Case:
    return Case(
        f"gaussian-10-times-{scale:g}",
        gaussian_10,
        summary=f"Gaussian quadratics in 10 dimensions whose loss and gradients are {scale:g} times as "
        "large; the losses shown are divided by it again.",
        only=("adam", "adam-1e-3", *LEARNED),
        shift=(BASE, f"gradients x{scale:g}"),
        loss_scale=scale,
    )


def cases(size: str) -> list[Case]:
    horizons = {"quick": (100,), "default": (100, 1000), "full": (100, 1000, 10_000)}[size]
    dims = {"quick": (), "default": (2, 100), "full": (2, 5, 20, 50, 100, 200, 500, 1000)}[size]
    conditions = {"quick": (1e3,), "default": (1e1, 1e3, 1e5), "full": (1e1, 1e2, 1e3, 1e4, 1e5)}[size]
    noises = {"quick": (1.0,), "default": (1.0,), "full": (0.1, 1.0, 10.0)}[size]
    # Noise takes long to compile, for every optimizer anew.
    few = ("sgd", "adam", "adamw-cosine", "adam-1e-3", "quasi-newton-2", *LEARNED) if size == "quick" else ()
    scales = {"quick": (1e3,), "default": SCALES, "full": SCALES}[size]
    summary = "Gaussian quadratics in 10 dimensions: W and y standard normal, x0 of deviation 0.01."
    found = [Case(BASE, gaussian_10, horizons, summary=summary)]
    for dim in dims:
        case = quadratic(f"gaussian-{dim}", f"Gaussian quadratics in {dim} dimensions.", dim=dim)
        found.append(dataclasses.replace(case, shift=(BASE, f"{dim} dimensions")))
    for number in conditions:
        found.append(
            quadratic(
                f"condition-{number:.0e}".replace("e+0", "e"),
                f"Quadratics in 10 dimensions whose Hessians have condition number {number:,.0f}.",
                dim=10,
                condition_number=number,
            )
        )
    return found + [noisy(n, few) for n in noises] + [scaled(s) for s in scales]


def optimizers(size: str) -> tuple[Optimizer, ...]:
    own = LEARNED if size == "quick" else (*LEARNED, *OTHERS, "lstm-quadratic:decay")
    references = [c for c in REFERENCES if size != "quick" or not c.name.startswith("lbfgs")]
    return (*BASELINES.values(), *references, *(learned(name) for name in own))


SUITE = comparison(
    "quadratics",
    cases,
    version=3,
    summary="Random quadratics: Gaussian in 2 to 1,000 dimensions, condition numbers from 10 to 100,000, "
    "noise in the gradient, gradients of other scales.",
    budgets={
        "quick": Budget(seeds=2, problems=64, tuning_problems=64),
        "default": Budget(seeds=5, problems=128, tuning_problems=128, rates=33),
        "full": Budget(seeds=10, problems=128, tuning_problems=128, rates=33),
    },
    optimizers=optimizers,
)
