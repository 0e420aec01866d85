"""Writes the tables and the picture in the README and the docs: `python -m benchmarks.release.readme`.

They come from the shipped cards, and from the cells of suites that lie in `benchmarks/results`.
"""

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import report, results
from benchmarks.harness.results import Cell
from benchmarks.release import headline
from benchmarks.suites.algorithms import suite as algorithms
from benchmarks.suites.algorithms import table as algorithms_table
from benchmarks.suites.deep import levels
from benchmarks.suites.deep import suite as deep
from benchmarks.suites.deep import table as deep_table
from benchmarks.suites.held_out import suite as splits
from benchmarks.suites.in_context import suite as function_learners
from benchmarks.suites.memory import suite as memory
from benchmarks.suites.objective import suite as objective
from benchmarks.suites.speed import pipeline
from benchmarks.suites.speed import suite as speed
from learned_opt import zoo
from learned_opt.reports import Column, Section

README = Path(__file__).parents[2] / "README.md"
DOCS = README.parent / "docs"
PICTURE = DOCS / "_static" / "losses.svg"
FIGURE_THREE = DOCS / "_static" / "functions_in_a_row.svg"
LONG_RUN = DOCS / "_static" / "long_run.svg"
LONG = "deep-long"  # the suite `deep` on data of one's own, as docs/benchmarks.md has it
RESULTS = Path(__file__).parents[1] / "results"
HEAD = (
    "task",
    "problems",
    "training loss",
    "best swept baseline",
    "ratio",
    "steps to tuned Adam's loss",
    "test accuracy",
    "the baseline's",
)
FAILED = 10.0  # ratio from which a result is called a failure


def optimizers() -> str:
    """The results on the optimizers' cards as Markdown, with their failures, an optimizer after another."""
    blocks = []
    for name, card in sorted(zoo.available().items()):
        tested = any("test_accuracy" in row for row in card.results)
        head = HEAD if tested else HEAD[:-2]
        table = _table(head, (_row(row)[: len(head)] for row in card.results))
        # Two dashes that are no code become a long one on a page.
        failures = "\n".join(
            "- " + re.sub(r"--[\w-]+( \d+)?", r"`\g<0>`", failure) for failure in card.known_failures
        )
        blocks.append(
            f"### `{name}`\n\n{card.summary}\n\n{table}\n\nKnown failures and limits:\n\n{failures}"
        )
    return "\n\n".join(blocks)


def defaults() -> str:
    """The default optimizers beside tuned Adam as Markdown, with what the figures are of; and the picture."""
    table = f"{_table(headline.HEAD, headline.rows(_cells()))}\n\n{headline.explanation(_cells())}"
    alt = "Training losses of general, tuned Adam and untuned Prodigy on four tasks"
    return f"![{alt}]({PICTURE.relative_to(README.parent)})\n\n{headline.CAPTION}\n\n{table}"


def generalization() -> str:
    """All tables of the suite `generalization` as Markdown."""
    return headline.sections(_cells())


def picture() -> str:
    """What `PICTURE` has to hold."""
    return headline.picture(_cells())


def learners() -> str:
    """The results on the cards of function learners as Markdown."""
    rows = []
    for name, card in zoo.available("function learner").items():
        for r in card.results:
            accuracy = "" if "accuracy" not in r else f"{r['accuracy']:.2%} of {r['bayes_accuracy']:.2%}"
            keys = "mse", "bayes_mse", "switching_mse", "mean_mse", "settled_mse"
            errors = (_number(r[key]) if key in r else "" for key in keys)
            cycles = f"{r['cycles']:.3g}" if "cycles" in r else ""
            rows.append((f"`{name}`: {r['what']}", *errors, cycles, accuracy))
    head = "functions", "mean squared error", "the least possible", "the least, not told when"
    head += "running mean of the targets", "from the 11th example on", "cycles to learn", "accuracy"
    return _table(head, rows)


def memories() -> str:
    """The results on the card of the weight memory as Markdown."""
    rows = []
    for r in zoo.available("weight memory")["weight-memory"].results:
        what = (
            r["what"]
            .removeprefix("mean cross entropy on ")
            .removeprefix("the test samples of 500 data sets: ")
        )
        above = (
            f"{r['above_one_pass']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}]" if "above_one_pass" in r else ""
        )
        deviation = f"{r['std']:.3f}" if "std" in r else ""
        rows.append((what, f"{r['loss']:.3f}", deviation, above))
    head = "binary problems", "cross-entropy", "standard deviation", "against one pass, with a 95 % interval"
    return _table(head, rows)


def who_learns_what() -> str:
    """The table of the suite `in_context` as Markdown, and what made it."""
    cells, command = _results(function_learners.SUITE.name)
    rows = function_learners.rows(cells)
    return f"{report.markdown_table(rows, function_learners.COLUMNS)}\n\nMade by `{command}`."


def deep_levels() -> str:
    """What each deep network reaches beside what it is known to, as Markdown."""
    cells, command = _results(deep.SUITE.name)
    table = report.markdown_table(levels.rows(cells, deep.METRICS), levels.COLUMNS)
    return f"{table}\n\nMade by `{command}`."


def figure_three() -> str:
    """What `FIGURE_THREE` has to hold."""
    return function_learners.figure_three(_results(function_learners.SUITE.name)[0])


def held_out() -> str:
    """The tables of the suite `held_out` as Markdown, and what made them."""
    return _sections(splits.SUITE.name, splits.sections)


def does_memory_help() -> str:
    """The tables of the suite `memory` as Markdown, and what made them."""
    return _sections(memory.SUITE.name, memory.sections)


def algorithms_learned(metrics: Mapping[str, Column]) -> str:
    """What networks that learn algorithms get wrong or right, as Markdown, and what made it."""
    cells, command = _results(algorithms.SUITE.name)
    rows = algorithms_table.rows(cells, metrics)
    table = report.markdown_table(rows, {**algorithms_table.HEAD, **metrics})
    return f"{table}\n\nMade by `{command}`."


def rate_term() -> str:
    """The table of the suite `objective` as Markdown."""
    cells, _ = _results(objective.SUITE.name)
    return report.markdown_table(objective.rows(cells), objective.COLUMNS)


def deep_networks(suite: str = deep.SUITE.name) -> str:
    """All tasks of the suite `deep` in one table as Markdown."""
    cells, command = _results(suite)
    table = report.markdown_table(deep_table.rows(cells, deep.METRICS), deep_table.COLUMNS)
    return f"{table}\n\nMade by `{command}`."


def pictures_a_second() -> str:
    """What the pipeline of images gives and a training step takes, as Markdown."""
    (section,) = pipeline.sections(_results(speed.SUITE.name)[0])
    return report.markdown_table(section.rows, section.columns)


def long_run() -> str:
    """What `LONG_RUN` has to hold."""
    title = "Training losses over 5,000 steps"
    return deep_table.figure(_results(LONG)[0], title, deep.LEARNED)


def _sections(suite: str, sections: Callable[[Sequence[Cell]], list[Section]]) -> str:
    """The tables of a suite as Markdown, and what made them."""
    cells, command = _results(suite)
    tables = (
        f"**{section.heading}**\n\n{report.markdown_table(section.rows, section.columns)}"
        for section in sections(cells)
    )
    return "\n\n".join((*tables, f"Made by `{command}`."))


def _results(suite: str) -> tuple[list[Cell], str]:
    """The cells of a suite, and the commands that made them."""
    records, cells = _stored()
    (commands,) = (record["commands"] for record in records if record["suite"] == suite)
    return [cell for cell in cells if cell.key.suite == suite], "` and `".join(commands)


def _cells() -> list[Cell]:
    return _stored()[1]


@functools.cache
def _stored() -> tuple[list[dict[str, Any]], list[Cell]]:
    """The suites' records and the cells of `RESULTS`."""
    records, cells, problems = results.load(RESULTS)
    if problems:
        raise ValueError("\n".join(problems))
    return records, cells


PICTURES: dict[Path, Callable[[], str]] = {
    PICTURE: picture,
    FIGURE_THREE: figure_three,
    LONG_RUN: long_run,
}
PAGES: dict[Path, dict[str, Callable[[], str]]] = {
    README: {"defaults": defaults},
    DOCS / "results.md": {
        "generalization": generalization,
        "results": optimizers,
        "learners": learners,
        "memories": memories,
    },
    DOCS / "recipes" / "algorithms.md": {
        "bits": functools.partial(algorithms_learned, algorithms_table.BITS),
        "answers": functools.partial(algorithms_learned, algorithms_table.ANSWERS),
    },
    DOCS / "recipes" / "deep.md": {
        "deep": deep_networks,
        "deep-levels": deep_levels,
        "deep-long": functools.partial(deep_networks, LONG),
    },
    DOCS / "recipes" / "large_data.md": {"pipeline": pictures_a_second},
    DOCS / "recipes" / "memory.md": {"memory": does_memory_help},
    DOCS / "recipes" / "objectives.md": {"objective": rate_term},
    DOCS / "recipes" / "in_context.md": {
        "learners": learners,
        "who-learns-what": who_learns_what,
        "held-out": held_out,
    },
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


def write() -> None:
    """Writes the pictures and the tables."""
    for path, draw in PICTURES.items():
        path.write_text(draw())
    for page in PAGES:
        page.write_text(with_tables(page))


def _row(result: dict[str, Any]) -> tuple[str, ...]:
    ours, baseline = (_number(result[k]) for k in ("ours", "baseline"))
    if not result["ratio"] < FAILED:
        ours = f"known failure: {ours}"
    ours, baseline = (f"**{ours}**", baseline) if result["ratio"] < 1 else (ours, f"**{baseline}**")
    steps = result["steps_to_adam"]
    accuracies = (result.get(k, math.nan) for k in ("test_accuracy", "baseline_test_accuracy"))
    return (
        result["what"],
        f"{result['problems']:,}",
        f"{ours} ± {_number(result['standard_error'])}",
        f"{baseline} ({result['best_baseline']})",
        _number(result["ratio"]),
        "never" if steps is None else str(steps),
        *("" if math.isnan(accuracy) else f"{accuracy:.1%}" for accuracy in accuracies),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown; all columns but the first are numbers."""
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" + "|---:" * (len(head) - 1) + "|", *lines[1:]])


def _number(value: float) -> str:
    return f"{value:.3g}"


if __name__ == "__main__":
    write()
