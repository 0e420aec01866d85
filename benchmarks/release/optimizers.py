"""Puts a meta-training run into the package.

`python -m benchmarks.ship NAME RUN` measures every claim of the optimizer's sheet on fresh problems, then
writes weights and card. `python -m benchmarks.ship NAME` measures the shipped optimizer again, where its rule
or its sheet was changed; with `--words` it takes over the sheet's words alone.
"""

import dataclasses
import itertools
import json
import sys
from typing import Any

from benchmarks.release.claims import SHEETS, Claim
from learned_opt import runs, zoo
from learned_opt.cli.evaluate import measure
from learned_opt.meta import RECIPES
from learned_opt.training import Comparison


def ship(name: str, run_path: str) -> runs.Card:
    """Writes the weights and the card of a finished run.

    Args:
        name: the optimizer's name, one of `SHEETS`.
        run_path: the directory of the run.

    Returns:
        The card.
    """
    sheet = SHEETS[name]
    run = runs.RunDirectory.open(run_path)
    metrics = runs.read_metrics(run.metrics_path)
    lopt, theta = zoo.load(run.theta_path)
    results = measured_claims(name, run_path)
    settings, provenance = run.config["settings"], run.config["provenance"]
    card = runs.Card(
        name=name,
        summary=sheet.summary,
        optimizer=run.config["optimizer"],
        task=run.config["task"],
        objective={k: settings[k] for k in ("weights", "rate_weight")},
        recipe=name,
        seed=settings["seed"],
        command=command(name),
        commit=provenance["commit"] or "unknown",
        compute=f"{provenance['num_devices']} {provenance['device']}, {minutes(metrics)}"
        + (", without the runs that it goes on from" if RECIPES[name].start else ""),
        # A package that runs from its source tree has no version to be read.
        versions={package: v for package, v in provenance["versions"].items() if v},
        horizon=settings["horizon"],
        num_coordinates=sheet.num_coordinates,
        results=results,
        known_failures=list(sheet.known_failures),
    )
    zoo.save(zoo.WEIGHTS / f"{name}.safetensors", lopt, theta, overwrite=True)
    return _write(card)


def again(name: str, words_only: bool = False) -> runs.Card:
    """Writes the card of a shipped optimizer again.

    Args:
        name: the optimizer's name.
        words_only: whether to keep the measurements that it has.

    Returns:
        The card.
    """
    sheet, card = SHEETS[name], zoo.available()[name]
    card = dataclasses.replace(
        card,
        summary=sheet.summary,
        command=command(name),
        num_coordinates=sheet.num_coordinates,
        results=card.results if words_only else measured_claims(name, name),
        known_failures=list(sheet.known_failures),
    )
    return _write(card)


def measured_claims(name: str, source: str) -> list[dict[str, Any]]:
    """A card's rows: every claim of a sheet, measured with a run's optimizer or a shipped one."""
    results = []
    for claim in SHEETS[name].claims:
        print(f"{name}: {claim.what}", flush=True)
        results.append(row(claim, name, measure([source, *claim.words.split()])))
        print(f"  {results[-1]}", flush=True)
    return results


def _write(card: runs.Card) -> runs.Card:
    path = zoo.WEIGHTS / f"{card.name}.json"
    path.write_text(json.dumps(card.to_json(), indent=2) + "\n")
    return card


def command(name: str) -> str:
    """The command that meta-trains an optimizer again."""
    return f"learned-opt meta-train {name}"


def row(claim: Claim, name: str, measured: tuple[str, Any, Comparison]) -> dict[str, Any]:
    """A card's row of one measurement."""
    label, options, comparison = measured
    ours = next(r for r in comparison.rows() if r["optimizer"] == label)
    best = comparison.best_baseline()
    theirs = next(r for r in comparison.rows() if r["optimizer"] == best)
    result = {
        "what": claim.what,
        "ours": ours["mean_loss"],
        "standard_error": ours["standard_error"],
        "best_baseline": best,
        "baseline": theirs["mean_loss"],
        "ratio": ours["mean_loss"] / theirs["mean_loss"],
        "steps_to_adam": ours["steps_to_adam"],
        "diverged": ours["diverged"],
        "problems": options.num_problems,
        "command": " ".join(["learned-opt evaluate", name, *claim.words.split()]),
    }
    if "test_accuracy" in ours:
        result["test_accuracy"] = ours["test_accuracy"]
        result["baseline_test_accuracy"] = theirs["test_accuracy"]
    return result


def minutes(metrics: list[dict[str, Any]]) -> str:
    """The time of a run, whose clock starts again each time that it is resumed."""
    if "seconds" not in metrics[-1]:
        return "time not recorded"
    seconds = [m["seconds"] for m in metrics]
    ends = [s for s, after in itertools.pairwise(seconds) if after < s]
    return f"{(sum(ends) + seconds[-1]) / 60:.0f} minutes"


if __name__ == "__main__":
    match sys.argv[1:]:
        case [name, "--words"]:
            print(again(name, words_only=True))
        case [name]:
            print(again(name))
        case [name, run]:
            print(ship(name, run))
        case _:
            print(__doc__)
