"""Puts trained weights into the package, with a card: optimizers, function learners, weight memories.

`python -m benchmarks.release NAME RUN` copies the weights of a finished run, measures every claim on fresh
problems, and writes the card. `python -m benchmarks.release NAME` measures what is shipped again, where its
rule or its claims were changed; with `--words` it takes over the words of the claims alone.
"""

import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import results, runner
from benchmarks.harness.suite import Request
from benchmarks.release.claims import CLAIMS, Claim, Claims
from benchmarks.suites.weight_memory import suite as weight_memory
from learned_opt import in_context, meta, runs, zoo
from learned_opt.cli.function_learners import parts
from learned_opt.cli.optimizers import measure
from learned_opt.core.errors import unknown_name
from learned_opt.training import Comparison

SEEDS, NUM_SEQUENCES = range(1000, 1003), 2000  # that function learners are measured on
MEMORY_RESULTS = Path("runs") / "release"
NUM_VARIANT = 100  # data sets of another kind
MEMORY_VARIANTS: dict[str, dict[str, Any]] = {
    "without noise": {"noise": 0.0},
    "with noise before the partition": {"noise_first": True},
}
MEMORY_REFERENCES = ("logistic regression, L2", "logistic regression, degree 2", "RBF SVM")

Row = dict[str, Any]


def release(name: str, run_path: str | None = None, words_only: bool = False) -> zoo.Card:
    """Writes the card of one of `CLAIMS`, and the weights if a run is given.

    With `words_only` the card keeps its measurements; otherwise what is shipped is measured again.
    """
    if name not in CLAIMS:
        raise unknown_name("shipped weight", name, CLAIMS)
    if run_path is not None and words_only:
        raise ValueError("--words keeps measurements, and a run has none: leave one of them out")
    claims = CLAIMS[name]
    words: dict[str, Any] = {
        "summary": claims.summary,
        "size": claims.size,
        "known_failures": list(claims.known_failures),
    }
    if run_path is not None or not claims.research:
        recipe = meta.recipe(name)
        words |= {"start": recipe.start, "command": f"learned-opt train {name}"}
        kind = recipe.kind.name
    else:
        kind = zoo.available(None)[name].config.kind
    path = zoo.folder(kind) / f"{name}.json"
    if run_path is None:
        card = dataclasses.replace(zoo.available(kind)[name], **words)
    else:
        config = zoo.load(run_path, kind).config
        run = runs.RunDirectory.open(run_path)
        card = zoo.Card(name=name, config=config, results=[], **_provenance(run), **words)
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(run.theta_path, path.with_suffix(".safetensors"))
        zoo.shipped.cache_clear()
    if not words_only:
        card = dataclasses.replace(card, results=MEASURED[kind](name, run_path or name, claims))
    path.write_text(json.dumps(card.to_json(), indent=2) + "\n")
    return card


def _provenance(run: runs.RunDirectory) -> dict[str, Any]:
    """Where and when a run was made, as cards have it."""
    found, time = run.config["provenance"], minutes(runs.read_metrics(run.metrics_path))
    earlier = ", without the runs that it goes on from" if run.config["start"] else ""
    return {
        "commit": found["commit"] or "unknown",
        "compute": f"{found['num_devices']} {found['device']}, {time}{earlier}",
        # A package that runs from its source tree has no version to be read.
        "versions": {package: version for package, version in found["versions"].items() if version},
    }


def minutes(metrics: list[dict[str, Any]]) -> str:
    """The time of a run, whose clock starts again each time that it is resumed."""
    if "seconds" not in metrics[-1]:
        return "time not recorded"
    seconds = [m["seconds"] for m in metrics]
    ends = [s for s, after in itertools.pairwise(seconds) if after < s]
    return f"{max(1, round((sum(ends) + seconds[-1]) / 60))} minutes"


def optimizer_rows(name: str, source: str, claims: Claims) -> list[Row]:
    """Every claim of an optimizer, measured with a run's or a shipped one."""
    return [optimizer_row(c, name, measure([source, *c.words.split()])) for c in claims.measured]


def optimizer_row(claim: Claim, name: str, measured: tuple[str, Any, Comparison]) -> Row:
    """A card's row of one measurement."""
    label, options, comparison = measured
    best, found = comparison.best_baseline(), {row["optimizer"]: row for row in comparison.rows()}
    ours, theirs = found[label], found[best]
    row = {
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
        row["test_accuracy"] = ours["test_accuracy"]
        row["baseline_test_accuracy"] = theirs["test_accuracy"]
    return row


def learner_rows(name: str, source: str, claims: Claims) -> list[Row]:
    """A row for each length, number of functions and part of a family: the learner's figures, and limits."""
    stored = zoo.load(source, "function learner")
    rows = []
    measured = itertools.product(claims.lengths, claims.in_a_row, parts(stored.config.task).items())
    for length, num_functions, (part, family) in measured:
        num = NUM_SEQUENCES if length * num_functions < 1000 else NUM_SEQUENCES // 10
        evaluations = [
            in_context.evaluate_learner(
                stored.model,
                stored.theta,
                family,
                length=length,
                num_functions=num_functions,
                num_sequences=num,
                seed=seed,
            )
            for seed in SEEDS
        ]
        summary = {k: v for k, v in in_context.mean_summary(evaluations).items() if v is not None}
        what = f"{part}, {length} examples of a function"
        what += f", {num_functions} in a row" if num_functions > 1 else ""
        rows.append({"what": what, **summary})
    return rows


def memory_rows(name: str, source: str, claims: Claims) -> list[Row]:
    """The rows of the suite `weight_memory`, which measures the shipped memory; and some of other kinds."""
    del source, claims
    command = "python -m benchmarks run weight_memory --seeds 1"
    runner.run([weight_memory.SUITE], Request(seeds=1), MEMORY_RESULTS, command=command)
    _, cells, _ = results.load(MEMORY_RESULTS)
    num = weight_memory.NUM_DATASETS["default"]
    rows = []
    for found in weight_memory.SUITE.sections(cells)[0].rows:  # type: ignore[misc]
        row = {"what": f"mean cross entropy on the test samples of {num} data sets: {found['name']}"}
        row |= {key: found[key] for key in ("loss", "std")}
        if "p" in found:
            row |= {"above_one_pass": found["difference"], "low": found["difference_low"]}
            row |= {"high": found["difference_high"], "p": found["p"]}
        rows.append(row | {"command": command})
    return rows + [row for variant in MEMORY_VARIANTS for row in memory_variant_rows(name, variant)]


def memory_variant_rows(name: str, variant: str) -> list[Row]:
    """A memory and some classifiers on data sets of another kind than those that it was selected on."""
    stored = zoo.load(name, "weight memory")
    task = dataclasses.replace(stored.config.validation_task, **MEMORY_VARIANTS[variant])
    other = stored._replace(config=dataclasses.replace(stored.config, validation_task=task))
    data, num_train = in_context.comparison_datasets(other, NUM_VARIANT, seed=weight_memory.FIRST_SEED)
    losses = {
        algorithm: weight_memory.losses(algorithm, stored, data, num_train)
        for algorithm in (weight_memory.MEMORY, *MEMORY_REFERENCES)
    }
    rows = []
    for found in sorted(weight_memory.rows(losses, {}), key=lambda row: list(losses).index(row["name"])):
        what = f"mean cross entropy on {NUM_VARIANT} data sets {variant}: {found['name']}"
        row = {"what": what, "loss": found["loss"], "std": found["std"]}
        if "p" in found:
            row |= {"above_one_pass": found["difference"], "low": found["difference_low"]}
            row |= {"high": found["difference_high"], "p": found["p"]}
        rows.append(row)
    return rows


# By kind: `measure(name, source, claims)`, the rows of the card of what `zoo.load(source)` gives.
MEASURED: dict[str, Callable[[str, str, Claims], list[Row]]] = {
    "optimizer": optimizer_rows,
    "function learner": learner_rows,
    "weight memory": memory_rows,
}
