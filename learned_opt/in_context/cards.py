"""Cards of the shipped learners: what each is, how it was made, what it can do and where it fails."""

import dataclasses
import json
from typing import Any

from learned_opt.core.config import validated
from learned_opt.in_context.learning import WEIGHTS


@dataclasses.dataclass(frozen=True)
class LearnerCard:
    """The card of a shipped learner.

    Attributes:
        name: that `load_learner` takes.
        summary: one sentence.
        learner: the network's configuration.
        family: the configuration of the functions that it was meta-trained on.
        settings: of its meta-training.
        command: that meta-trains it again.
        commit: of the code that meta-trained it.
        compute: the device and how long it took.
        versions: of the packages, by name.
        results: one row a measurement: what was measured, ours, the Bayes-optimal predictor's, the command.
        known_failures: one sentence each.

    Example:
        >>> card = available_learners()["boolean-16"]
        >>> LearnerCard.from_json(card.to_json()) == card
        True
    """

    name: str
    summary: str
    learner: dict[str, Any]
    family: dict[str, Any]
    settings: dict[str, Any]
    command: str
    commit: str
    compute: str
    versions: dict[str, str]
    results: list[dict[str, Any]]
    known_failures: list[str]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "LearnerCard":
        """The card that `to_json` gave; `ValueError` naming what does not fit."""
        if not isinstance(data, dict):
            raise ValueError(f"a card is a dictionary of its fields, got {data!r}")
        return validated(cls, data, f"card {data.get('name', 'without a name')!r}")

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON's types."""
        return dataclasses.asdict(LearnerCard.from_json(json.loads(json.dumps(dataclasses.asdict(self)))))


def available_learners() -> dict[str, LearnerCard]:
    """The cards of the shipped function learners.

    Returns:
        The cards by name; `load_learner(name)` gives the learner.

    Example:
        >>> available_learners()["boolean-16"].learner["num_cells"]
        [6]
    """
    return {
        path.stem: LearnerCard.from_json(json.loads(path.read_text()))
        for path in sorted(WEIGHTS.glob("*.json"))
    }
