"""Cards: what a shipped weight is, how it was made, what it can do and where it fails."""

import dataclasses
import itertools
import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from learned_opt.core.config import validated
from learned_opt.zoo.config import Config

WIDTH = 80
MANY = 8  # values that are shown one by one


@dataclass(frozen=True, kw_only=True)
class Card:
    """The card of a shipped weight.

    Attributes:
        name: that `zoo.load` takes, and `pretrained` that of an optimizer.
        summary: one sentence: what it is for.
        config: the model, what it was meta-trained on, and all settings, as `Config.to_json` gives them.
        start: the recipe whose theta it goes on from, or `None`.
        command: the one that meta-trains it again; empty where no recipe has made it.
        commit: that of the code that meta-trained it.
        compute: the device and how long it took.
        versions: of the packages, by name.
        size: what it was tried on, such as `"10 to 8e3 parameters"`.
        results: one row a measurement: what was measured, ours, the references, the command.
        known_failures: one sentence each.

    Example:
        >>> from learned_opt import zoo
        >>> card = zoo.available("function learner")["boolean-16"]
        >>> card.seed, card.config.model.num_cells
        (1, (6,))
        >>> Card.from_json(card.to_json()) == card
        True
        >>> print(card)  # doctest: +ELLIPSIS
        boolean-16
        All functions of two bits...
    """

    name: str
    summary: str
    config: Config
    start: str | None
    command: str
    commit: str
    compute: str
    versions: dict[str, str]
    size: str
    results: list[dict[str, Any]]
    known_failures: list[str]

    @property
    def settings(self) -> dict[str, Any]:
        """Of the meta-training, as JSON."""
        return self.config.settings or {}

    @property
    def seed(self) -> int:
        """Of the meta-training; `AttributeError` where the card does not say."""
        if "seed" not in self.settings:
            raise AttributeError(f"{self.name} was made by no recipe: its card has no seed")
        return self.settings["seed"]

    @property
    def horizon(self) -> int:
        """Inner steps that it was meta-trained for; `AttributeError` where there are none."""
        if "estimator" not in self.settings:
            raise AttributeError(f"{self.name} was made by no recipe: its card has no horizon")
        if "horizon" not in self.settings["estimator"]:
            raise AttributeError(f"{self.name} is a {self.config.kind}, which has no horizon")
        return self.settings["estimator"]["horizon"]

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
        what = f"card {data.get('name', 'without a name')!r}"
        config = data.get("config")
        if isinstance(config, dict):
            data = data | {"config": Config.from_json(config)}
        return validated(cls, data, what)

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON's types; `ValueError` naming a field of a wrong type."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = json.loads(json.dumps(fields | {"config": self.config.to_json()}))
        Card.from_json(plain)
        return plain

    def render(self) -> str:
        """The card as text for people, a results table included."""
        data = self.config.to_json()
        estimator = self.settings.get("estimator", {})
        outer = {k: v for k, v in self.settings.items() if k != "estimator"}
        fields = {
            self.config.kind: _config(data["model"]),
            "meta-trained on": _config(data["task"]),
            "selected on": _config(data["validation_task"]),
            "estimator": _config(estimator),
            "settings": _config(outer),
            "goes on from": self.start or "",
            "tried on": self.size,
            "command": self.command,
            "compute": self.compute,
            "commit": self.commit,
            "versions": ", ".join(f"{k} {v}" for k, v in self.versions.items()),
        }
        blocks = [
            self.name,
            textwrap.fill(self.summary, WIDTH),
            "",
            *(_field(name, text) for name, text in fields.items() if text),
        ]
        if self.results:
            blocks += ["", "results", *map(_result, self.results)]
        if self.known_failures:
            blocks += ["", "known failures"]
            blocks += [_wrapped(text, "  - ") for text in self.known_failures]
        return "\n".join(blocks)

    def __str__(self) -> str:
        return self.render()


def _config(config: dict[str, Any] | None) -> str:
    if not config:
        return ""
    arguments = ", ".join(f"{k}={_value(v)}" for k, v in config.items() if k != "name" and v is not None)
    return f"{config['name']}({arguments})" if "name" in config else arguments


def _value(value: Any) -> str:
    """A value as an argument."""
    if isinstance(value, dict):
        return _config(value)
    if not isinstance(value, list | tuple):
        return repr(value)
    if len(value) > MANY and not isinstance(value[0], dict):
        return brief(value)
    items = ", ".join(map(_beside(value[0]), value) if value else ())
    if isinstance(value, tuple):
        return f"({items},)" if len(value) == 1 else f"({items})"
    return f"[{items}]"


def _beside(first: Any) -> Callable[[Any], str]:
    """How a value is shown in a row that begins with another: one like it by what is not the same."""

    def shown(value: Any) -> str:
        alike = isinstance(value, dict) and isinstance(first, dict) and value.get("name") == first.get("name")
        if value is first or not alike:
            return _value(value)
        changed = {k: v for k, v in value.items() if k not in first or first[k] != v}
        changed |= {k: None for k in first if k not in value}
        return "the same with " + ", ".join(f"{k}={_value(v)}" for k, v in changed.items())

    return shown


def brief(values: Sequence[Any]) -> str:
    """Many values in a line: those that repeat by their number, others by the first and the last.

    Example:
        >>> brief([0.0] * 90 + [1.0] * 10)
        '[0.0] * 90 + [1.0] * 10'
        >>> brief([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
        '[0.1, 0.2, ..., 0.6] (6 values)'
    """
    runs = [(value, len(list(group))) for value, group in itertools.groupby(values)]
    if len(runs) <= 3:
        return " + ".join(f"[{value!r}] * {count}" for value, count in runs)
    return f"[{values[0]!r}, {values[1]!r}, ..., {values[-1]!r}] ({len(values)} values)"


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


def _result(row: dict[str, Any]) -> str:
    """What was measured, the numbers below it, and below them the command."""
    cells = {name.replace("_", " "): _cell(value) for name, value in row.items() if value is not None}
    first, last = cells.pop("what", ""), cells.pop("command", "")
    if "problems" in cells:
        first += f" ({cells.pop('problems')} problems)"
    if {"ours", "standard error"} <= cells.keys():
        del cells["standard error"]
        cells["ours"] += f" ± {row['standard_error']:.2g}"
    if {"best baseline", "baseline"} <= cells.keys():
        name, loss = cells.pop("best baseline"), cells.pop("baseline")
        cells = {"ours": cells.pop("ours", ""), name: loss, **cells}
    if cells.get("diverged") == "0":
        del cells["diverged"]
    numbers = ", ".join(f"{name} {cell}" for name, cell in cells.items() if cell)
    return "\n".join(
        _wrapped(text, prefix) for text, prefix in ((first, "  "), (numbers, "    "), (last, "    ")) if text
    )


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
