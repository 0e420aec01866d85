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
from learned_opt import in_context, runs, zoo
from learned_opt.cli.function_learners import parts
from learned_opt.cli.optimizers import measure
from learned_opt.meta import RECIPES
from learned_opt.training import Comparison

SEEDS, NUM_SEQUENCES = range(1000, 1003), 2000  # that function learners are measured on
MEMORY_RESULTS = Path("runs") / "release"
NUM_NOISELESS = 100  # data sets without noise

Row = dict[str, Any]


def release(name: str, run_path: str | None = None, words_only: bool = False) -> dict[str, Any]:
    """Writes the card, and the weights if a run is given.

    Args:
        name: one of `CLAIMS`.
        run_path: the directory of the run; what is shipped is measured again without one.
        words_only: whether to keep the measurements that the card has.

    Returns:
        The card.
    """
    kind, claims = kind_of(name), CLAIMS[name]
    path = kind.directory / f"{name}.json"
    if run_path is None:
        card = json.loads(path.read_text())
    else:
        run = runs.RunDirectory.open(run_path)
        card = {"name": name} | _provenance(run) | kind.describe(name, run.config)
        if kind is OPTIMIZER and RECIPES[name].start:
            card["compute"] += ", without the runs that it goes on from"
        kind.directory.mkdir(exist_ok=True)
        shutil.copyfile(run.theta_path, path.with_suffix(".safetensors"))
    card |= {field: getattr(claims, field) for field in kind.words}
    card |= {"command": f"{kind.command} {name}", "known_failures": list(claims.known_failures)}
    if not words_only:
        card["results"] = kind.measure(name, run_path or name, claims)
    path.write_text(json.dumps(kind.check(card), indent=2) + "\n")
    return card


def _provenance(run: runs.RunDirectory) -> dict[str, Any]:
    """Where and when a run was made, as cards have it."""
    found, time = run.config["provenance"], minutes(runs.read_metrics(run.metrics_path))
    return {
        "commit": found["commit"] or "unknown",
        "compute": f"{found['num_devices']} {found['device']}, {time}",
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
    """A row for each length and part of a function learner's family: its figures, and the limit's."""
    stored = in_context.load_learner(source)
    rows = []
    for length, (part, family) in itertools.product(claims.lengths, parts(stored).items()):
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


def memory_rows(name: str, source: str, claims: Claims) -> list[Row]:
    """The rows of the suite `weight_memory`, which measures the shipped memory; and some without noise."""
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
    stored = in_context.load_memory(name)
    config: Any = stored.validation.config
    stored = stored._replace(validation=dataclasses.replace(config, noise=0.0).make())
    data, num_train = in_context.comparison_datasets(stored, NUM_NOISELESS, seed=weight_memory.FIRST_SEED)
    for algorithm in (weight_memory.MEMORY, "logistic regression, L2", "RBF SVM"):
        loss = weight_memory.losses(algorithm, stored, data, num_train).mean()
        what = f"mean cross entropy on {NUM_NOISELESS} data sets without noise: {algorithm}"
        rows.append({"what": what, "loss": float(loss)})
    return rows


@dataclasses.dataclass(frozen=True)
class Kind:
    """What differs between the kinds of trained things.

    Attributes:
        directory: of the shipped weights and cards.
        command: that trains one, its name left out.
        words: the fields of a card that its claims have.
        describe: `describe(name, config)`, the fields that a run's configuration has.
        measure: `measure(name, source, claims)`, its rows.
        check: `check(card)`, its fields in order, or an error.
    """

    directory: Path
    command: str
    words: tuple[str, ...]
    describe: Callable[[str, dict[str, Any]], dict[str, Any]]
    measure: Callable[[str, str, Claims], list[Row]]
    check: Callable[[dict[str, Any]], dict[str, Any]] = dict


OPTIMIZER = Kind(
    zoo.WEIGHTS,
    "learned-opt train",
    ("summary", "num_coordinates"),
    lambda name, config: {
        "optimizer": config["optimizer"],
        "task": config["task"],
        "objective": {k: config["settings"][k] for k in ("weights", "rate_weight")},
        "recipe": name,
        "seed": config["settings"]["seed"],
        "horizon": config["settings"]["horizon"],
    },
    optimizer_rows,
    lambda card: runs.Card.from_json(card).to_json(),
)
LEARNER = Kind(
    in_context.WEIGHTS,
    "learned-opt train",
    ("summary",),
    lambda name, config: {field: config[field] for field in ("learner", "family", "settings")},
    learner_rows,
    lambda card: in_context.LearnerCard.from_json(card).to_json(),
)
MEMORY = Kind(
    in_context.MEMORY_WEIGHTS,
    "learned-opt train",
    ("summary", "objective", "num_coordinates"),
    lambda name, config: {
        "optimizer": config["memory"],
        "task": config["data"],
        "recipe": name,
        "seed": config["settings"]["seed"],
        "horizon": config["settings"]["max_train"],
    },
    memory_rows,
)


def kind_of(name: str) -> Kind:
    """Of what a recipe of this name trains."""
    if name in in_context.MEMORY_RECIPES:
        return MEMORY
    return LEARNER if name in in_context.LEARNER_RECIPES else OPTIMIZER
