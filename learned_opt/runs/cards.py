"""Cards: what a shipped weight is, how it was made, what it can do and where it fails."""

import dataclasses
import json
import textwrap
from dataclasses import dataclass
from typing import Any

from learned_opt.core.config import validated

WIDTH = 88


@dataclass(frozen=True)
class Card:
    """The card of a shipped weight.

    Attributes:
        name: that `pretrained` takes.
        summary: one sentence: what it is for.
        optimizer: the learned optimizer's configuration.
        task: the configuration of the task that it was meta-trained on.
        objective: the meta-objective, as a configuration or in words.
        recipe: the name of the recipe that meta-trains it.
        seed: of the meta-training.
        command: that meta-trains it again.
        commit: of the code that meta-trained it.
        compute: the device and how long it took.
        versions: of the packages, by name.
        horizon: inner steps that it was meta-trained for.
        num_coordinates: the numbers of parameters that it was tried on, such as `"10 to 8e3"`.
        results: one row a measurement: what was measured, ours, the baselines, the command.
        known_failures: one sentence each.

    Example:
        >>> card = Card(
        ...     name="lstm-demo",
        ...     summary="Minimises quadratics.",
        ...     optimizer={"name": "lstm"},
        ...     task={"name": "quadratic", "dim": 10},
        ...     objective="sum of losses",
        ...     recipe="demo",
        ...     seed=0,
        ...     command="learned-opt meta-train demo",
        ...     commit="0" * 40,
        ...     compute="1 CPU core, 5 minutes",
        ...     versions={"jax": "0.10.2"},
        ...     horizon=100,
        ...     num_coordinates="10 to 100",
        ...     results=[{"what": "loss at step 100", "ours": 0.01, "adam": 0.12}],
        ...     known_failures=["Stalls after 1000 steps."],
        ... )
        >>> Card.from_json(card.to_json()) == card
        True
        >>> print(card)  # doctest: +ELLIPSIS
        lstm-demo
        Minimises quadratics.
        ...
    """

    name: str
    summary: str
    optimizer: dict[str, Any]
    task: dict[str, Any]
    objective: dict[str, Any] | str
    recipe: str
    seed: int
    command: str
    commit: str
    compute: str
    versions: dict[str, str]
    horizon: int
    num_coordinates: str
    results: list[dict[str, Any]]
    known_failures: list[str]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Card":
        """The card that `to_json` gave.

        Args:
            data: the fields by name.

        Returns:
            The card.

        Raises:
            ValueError: naming each field that is unknown, missing or of a wrong type.
        """
        if not isinstance(data, dict):
            raise ValueError(f"a card is a dictionary of its fields, got {data!r}")
        return validated(cls, data, f"card {data.get('name', 'without a name')!r}")

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON's types; `ValueError` naming a field of a wrong type."""
        return dataclasses.asdict(Card.from_json(json.loads(json.dumps(dataclasses.asdict(self)))))

    def render(self) -> str:
        """The card as text for people, a results table included."""
        fields = {
            "optimizer": _config(self.optimizer),
            "meta-trained on": _config(self.task),
            "objective": _config(self.objective),
            "horizon": f"{self.horizon:,} inner steps",
            "coordinates": self.num_coordinates,
            "recipe": f"{self.recipe}, seed {self.seed}",
            "command": self.command,
            "compute": self.compute,
            "commit": self.commit,
            "versions": ", ".join(f"{k} {v}" for k, v in self.versions.items()),
        }
        blocks = [
            self.name,
            textwrap.fill(self.summary, WIDTH),
            "",
            *(_field(name, text) for name, text in fields.items()),
        ]
        if self.results:
            blocks += ["", "results", _table(self.results)]
        if self.known_failures:
            blocks += ["", "known failures"]
            blocks += [_wrapped(text, "  - ") for text in self.known_failures]
        return "\n".join(blocks)

    def __str__(self) -> str:
        return self.render()


def _config(config: dict[str, Any] | str) -> str:
    if isinstance(config, str):
        return config
    arguments = ", ".join(f"{k}={v!r}" for k, v in config.items() if k != "name")
    return f"{config['name']}({arguments})" if "name" in config else arguments


def _field(name: str, text: str) -> str:
    return _wrapped(text, f"{name:<17}")


def _wrapped(text: str, prefix: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=prefix,
        subsequent_indent=" " * len(prefix),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)
    return textwrap.indent("\n".join(lines), "  ")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
