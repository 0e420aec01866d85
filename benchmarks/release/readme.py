"""Writes the tables of results in the README and in the documentation: `python -m benchmarks.release.readme`.

They come from the shipped cards, and from the cells of suites that lie in `benchmarks/results`.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import report, results
from benchmarks.harness.results import Cell
from benchmarks.suites.held_out import suite as splits
from benchmarks.suites.in_context import suite as function_learners
from learned_opt import zoo

README = Path(__file__).parents[2] / "README.md"
IN_CONTEXT = README.parent / "docs" / "recipes" / "in_context.md"
RESULTS = Path(__file__).parents[1] / "results"
HEAD = ("task", "ours", "best swept baseline", "ratio", "steps to tuned Adam's loss")


def optimizers() -> str:
    """The results on the optimizers' cards as Markdown, an optimizer after another."""
    blocks = []
    for name, card in zoo.available().items():
        table = _table(HEAD, map(_row, card.results))
        blocks.append(f"**`{name}`**: {card.summary}\n\n{table}")
    return "\n\n".join(blocks)


def learners() -> str:
    """The results on the cards of function learners as Markdown."""
    rows = []
    for name, card in zoo.available("function learner").items():
        for r in card.results:
            accuracy = "" if "accuracy" not in r else f"{r['accuracy']:.2%} of {r['bayes_accuracy']:.2%}"
            errors = (_number(r[key]) for key in ("mse", "bayes_mse", "mean_mse", "settled_mse"))
            cycles = f"{r['cycles']:.3g}" if "cycles" in r else ""
            rows.append((f"`{name}`: {r['what']}", *errors, cycles, accuracy))
    head = "functions", "mean squared error", "the least possible", "running mean of the targets"
    head += "from the 11th example on", "cycles to learn", "accuracy"
    return _table(head, rows)


def memories() -> str:
    """The results on the card of the weight memory as Markdown."""
    rows = []
    for r in zoo.available("weight memory")["weight-memory"].results:
        what = r["what"].removeprefix("mean cross entropy on the test samples of 500 data sets: ")
        above = (
            f"{r['above_one_pass']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}]" if "above_one_pass" in r else ""
        )
        rows.append((what, f"{r['loss']:.3f}", above))
    return _table(("binary problems", "cross-entropy", "against one pass, with a 95 % interval"), rows)


def who_learns_what() -> str:
    """The table of the suite `in_context` as Markdown, and what made it."""
    cells, command = _results(function_learners.SUITE.name)
    rows = function_learners.rows(cells)
    return f"{report.markdown_table(rows, function_learners.COLUMNS)}\n\nMade by `{command}`."


def held_out() -> str:
    """The tables of the suite `held_out` as Markdown, and what made them."""
    cells, command = _results(splits.SUITE.name)
    tables = (
        f"**{section.heading}**\n\n{report.markdown_table(section.rows, section.columns)}"
        for section in splits.sections(cells)
    )
    return "\n\n".join((*tables, f"Made by `{command}`."))


def _results(suite: str) -> tuple[list[Cell], str]:
    """The cells of a suite, and the command that made them."""
    records, cells, problems = results.load(RESULTS)
    if problems:
        raise ValueError("\n".join(problems))
    (command,) = (record["commands"][-1] for record in records if record["suite"] == suite)
    return [cell for cell in cells if cell.key.suite == suite], command


PAGES: dict[Path, dict[str, Callable[[], str]]] = {
    README: {"results": optimizers, "learners": learners, "memories": memories},
    IN_CONTEXT: {"learners": learners, "who-learns-what": who_learns_what, "held-out": held_out},
}


def with_tables(page: Path) -> str:
    """The text of one of `PAGES`, with the tables between their markers made anew."""
    text = page.read_text()
    for name, table in PAGES[page].items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}\n{table()}\n{end}{after}"
    return text


def _row(result: dict[str, Any]) -> tuple[str, ...]:
    ours, baseline = (_number(result[k]) for k in ("ours", "baseline"))
    ours, baseline = (f"**{ours}**", baseline) if result["ratio"] < 1 else (ours, f"**{baseline}**")
    steps = result["steps_to_adam"]
    return (
        result["what"],
        f"{ours} ± {_number(result['standard_error'])}",
        f"{baseline} ({result['best_baseline']})",
        _number(result["ratio"]),
        "never" if steps is None else str(steps),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def _number(value: float) -> str:
    return f"{value:.3g}"


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_tables(page))
