"""What was trained, on what and how: the same configuration in a run, a file and a card."""

import dataclasses
from typing import Any

from learned_opt.core.kinds import Kind, kind_named, kind_of

# What weight files of version 0.1.0 called a model and what it was trained on, by kind.
_BEFORE = {
    "optimizer": ("optimizer", "task", None),
    "function learner": ("learner", "family", None),
    "weight memory": ("memory", "data", "validation_data"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What was trained, on what and how.

    Attributes:
        kind: a name in `core.kinds.KINDS`.
        model: the model's configuration, with its `make()`; `None` where the model has no name.
        task: that of what it was trained on; `None` where it has no name, or where a file does not say.
        validation_task: that of what theta was selected on; `None` where it is the same.
        settings: of the training, as JSON; `None` where a file does not say.
    """

    kind: str
    model: Any
    task: Any = None
    validation_task: Any = None
    settings: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON's types."""
        kind = kind_named(self.kind)
        return {
            "kind": self.kind,
            "model": self.model and kind.models.to_json(self.model),
            "task": self.task and kind.tasks.to_json(self.task),
            "validation_task": self.validation_task and kind.tasks.to_json(self.validation_task),
            "settings": self.settings,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Config":
        """The configuration that `to_json` gave.

        Args:
            data: the fields by name, others are ignored; or those of a weight file of version 0.1.0.

        Returns:
            The configuration.

        Raises:
            ValueError: if it is of no known kind, or naming what does not fit.

        Example:
            >>> import learned_opt
            >>> config = Config.from_json({"optimizer": {"name": "lstm"}})
            >>> config.kind, config.model.hidden_sizes
            ('optimizer', (20, 20))
        """
        data = data if "kind" in data else _of_version_0_1_0(data)
        kind = kind_named(data["kind"])

        def named(registry: Any, config: Any) -> Any:
            return None if config is None else registry.from_json(config)

        return cls(
            kind=kind.name,
            model=named(kind.models, data["model"]),
            task=named(kind.tasks, data.get("task")),
            validation_task=named(kind.tasks, data.get("validation_task")),
            settings=data.get("settings"),
        )


def config_of(
    model: Any, task: Any = None, validation_task: Any = None, settings: dict[str, Any] | None = None
) -> tuple[Kind, Config]:
    """The kind and the configuration of a model; `TypeError` if it is of no kind."""
    kind = kind_of(model)
    return kind, Config(
        kind=kind.name,
        model=model.config,
        task=task and task.config,
        validation_task=validation_task and validation_task.config,
        settings=settings,
    )


def _of_version_0_1_0(data: dict[str, Any]) -> dict[str, Any]:
    for kind, (model, task, validation_task) in _BEFORE.items():
        if model in data:
            return {
                "kind": kind,
                "model": data[model],
                "task": data.get(task),
                "validation_task": data.get(validation_task),
            }
    raise ValueError("it does not say what it is of")
