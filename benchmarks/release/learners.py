"""Puts a function learner's run into the package.

`python -m benchmarks.ship_learner NAME RUN` measures it on fresh sequences beside the Bayes-optimal
predictor, then writes weights and card.
"""

import json
import shutil
import sys
from typing import Any

from learned_opt import in_context, runs
from learned_opt.cli.in_context import parts

SEEDS = range(1000, 1003)
NUM_SEQUENCES = 2000
KNOWN_FAILURES = {
    "boolean-16": [
        "Six cells learn it from about a third of all starts; its recipe keeps the best of eight. With two "
        "other seeds the recipe ends at mean squared errors of 0.00415 and 0.00399.",
        "Inputs and targets are 0 or 1; it was never shown noise.",
    ],
    "semilinear": [
        "By distillation: it was not trained on the functions' values, but on what the Bayes-optimal "
        "predictor says of 24 examples of each function.",
        "What it loses to the Bayes-optimal predictor it loses mostly in the first ten examples.",
    ],
    "boolean-14": [
        "It says 1/2 for a pair until it is shown the answer. On 64 examples its mean squared error is at "
        "least 0.0156, above the Bayes-optimal predictor's, which rules functions out.",
        "Its figures on held-out functions are those of one split of the functions, split 0; the suite "
        "held_out has others.",
    ],
    "quadratic": [
        "Its targets lie in [0.2, 0.8] and mostly within 0.05 of 1/2; it is no learner of other functions.",
    ],
}
LENGTHS = {
    "boolean-16": (256, 64, 1000),
    "boolean-14": (64, 256),
    "semilinear": (64, 1000),
    "quadratic": (100, 1000),
}


def ship(name: str, run_path: str) -> in_context.LearnerCard:
    """Writes the weights and the card of a finished run.

    Args:
        name: of the recipe, and of the learner.
        run_path: the directory of the run.

    Returns:
        The card.
    """
    run = runs.RunDirectory.open(run_path)
    stored = in_context.load_learner(run_path)
    results = [row for length in LENGTHS[name] for row in measured(name, stored, length)]
    provenance = run.config["provenance"]
    minutes = max(1, round(runs.read_metrics(run.metrics_path)[-1]["seconds"] / 60))
    card = in_context.LearnerCard(
        name=name,
        summary=in_context.learner_recipe(name).summary[0].upper()
        + in_context.learner_recipe(name).summary[1:],
        learner=run.config["learner"],
        family=run.config["family"],
        settings=run.config["settings"],
        command=f"learned-opt in-context train {name}",
        commit=provenance["commit"] or "unknown",
        compute=f"{provenance['num_devices']} {provenance['device']}, {minutes} minutes",
        versions={package: v for package, v in provenance["versions"].items() if v},
        results=results,
        known_failures=KNOWN_FAILURES[name],
    )
    in_context.WEIGHTS.mkdir(exist_ok=True)
    shutil.copyfile(run.theta_path, in_context.WEIGHTS / f"{name}.safetensors")
    (in_context.WEIGHTS / f"{name}.json").write_text(json.dumps(card.to_json(), indent=2) + "\n")
    return card


def measured(name: str, stored: in_context.StoredLearner, length: int) -> list[dict[str, Any]]:
    """A row for each part of the family: the learner's figures and the limit's."""
    rows = []
    for part, family in parts(stored).items():
        evaluations = [
            in_context.evaluate_learner(
                stored.learner,
                stored.theta,
                family,
                length=length,
                num_sequences=NUM_SEQUENCES if length < 1000 else NUM_SEQUENCES // 10,
                seed=seed,
            )
            for seed in SEEDS
        ]
        summary = {k: v for k, v in in_context.mean_summary(evaluations).items() if v is not None}
        rows.append({"what": f"{part}, {length} examples of a function", **summary})
    return rows


if __name__ == "__main__":
    for row in ship(*sys.argv[1:]).results:
        print(row)
