"""Writes the README's tables of results from the shipped cards: `python -m benchmarks.readme`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from learned_opt import in_context, zoo
from learned_opt.in_context.prediction import MEMORY_WEIGHTS

README = Path(__file__).parents[1] / "README.md"
HEADER = (
    "| task | ours | best swept baseline | ratio | steps to tuned Adam's loss |",
    "|---|---|---|---|---|",
)


def optimizers() -> str:
    """The results on the optimizers' cards as Markdown, an optimizer after another.

    Returns:
        The text that stands between the markers.
    """
    blocks = []
    for name, card in zoo.available().items():
        rows = "\n".join((*HEADER, *(_row(result) for result in card.results)))
        blocks.append(f"**`{name}`**: {card.summary}\n\n{rows}")
    return "\n\n".join(blocks)


def learners() -> str:
    """The results on the cards of the networks that learn in their state, as Markdown.

    Returns:
        The text that stands between the markers.
    """
    rows = [
        "| functions | mean squared error | the least possible | from the 11th example on | accuracy |",
        "|---|---|---|---|---|",
    ]
    for name, card in in_context.available_learners().items():
        for r in card.results:
            accuracy = "" if "accuracy" not in r else f"{r['accuracy']:.2%} of {r['bayes_accuracy']:.2%}"
            rows.append(
                f"| `{name}`: {r['what']} | {_number(r['mse'])} | {_number(r['bayes_mse'])} "
                f"| {_number(r['settled_mse'])} | {accuracy} |"
            )
    rows += [
        "",
        "| binary problems | cross-entropy | against one pass, with a 95 % interval |",
        "|---|---|---|",
    ]
    for r in json.loads((MEMORY_WEIGHTS / "weight-memory.json").read_text())["results"]:
        what = r["what"].removeprefix("mean cross entropy on the test samples of 500 data sets: ")
        above = (
            f"{r['above_one_pass']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}]" if "above_one_pass" in r else ""
        )
        rows.append(f"| {what} | {r['loss']:.3f} | {above} |")
    return "\n".join(rows)


TABLES: dict[str, Callable[[], str]] = {"results": optimizers, "learners": learners}


def with_tables(text: str) -> str:
    """A README with the tables between their markers.

    Args:
        text: the README.

    Returns:
        The README, the tables replaced.
    """
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{table()}\n{end}{after}"
    return text


def _row(result: dict[str, Any]) -> str:
    ours, baseline = (_number(result[k]) for k in ("ours", "baseline"))
    ours, baseline = (f"**{ours}**", baseline) if result["ratio"] < 1 else (ours, f"**{baseline}**")
    steps = result["steps_to_adam"]
    return (
        f"| {result['what']} | {ours} ± {_number(result['standard_error'])} "
        f"| {baseline} ({result['best_baseline']}) | {_number(result['ratio'])} "
        f"| {'never' if steps is None else steps} |"
    )


def _number(value: float) -> str:
    return f"{value:.3g}"


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
