"""Writes the README's results table from the shipped cards: `python -m benchmarks.readme`."""

from pathlib import Path
from typing import Any

from learned_opt import zoo

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
HEADER = (
    "| task | ours | best swept baseline | ratio | steps to tuned Adam's loss |",
    "|---|---|---|---|---|",
)


def table() -> str:
    """The results on the cards as Markdown, an optimizer after another.

    Returns:
        The text that stands between the markers.
    """
    blocks = []
    for name, card in zoo.available().items():
        rows = "\n".join((*HEADER, *(_row(result) for result in card.results)))
        blocks.append(f"**`{name}`**: {card.summary}\n\n{rows}")
    return "\n\n".join(blocks)


def with_table(text: str) -> str:
    """A README with the table between its markers.

    Args:
        text: the README.

    Returns:
        The README, the table replaced.
    """
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


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
    README.write_text(with_table(README.read_text()))
