"""Recipes: meta-training runs in full, by name."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from learned_opt.core.errors import unknown_name
from learned_opt.core.kinds import Kind, kind_of_config
from learned_opt.meta.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A meta-training run in full.

    Attributes:
        summary: one line of what it is for.
        model: the configuration of a model of any kind, as its registry makes them.
        task: that of what it is trained on.
        settings: of the trainer and the estimator.
        validation_task: that of what theta is selected on; `None` where it is the same.
        start: the recipe whose theta this one goes on from; `None` for fresh meta-parameters.
    """

    summary: str
    model: Any
    task: Any
    settings: Settings
    validation_task: Any = None
    start: str | None = None

    @property
    def kind(self) -> Kind:
        """What kind of model it trains."""
        return kind_of_config(self.model)


RECIPES: dict[str, Recipe] = {}


def register_recipes(recipes: Mapping[str, Recipe]) -> None:
    """Adds recipes to `RECIPES`.

    Args:
        recipes: by name.

    Raises:
        ValueError: if there is one of the same name already.

    Example:
        >>> register_recipes({"lstm-quadratic": recipe("lstm-quadratic")})
        Traceback (most recent call last):
        ...
        ValueError: there is a recipe 'lstm-quadratic' already; choose another name
    """
    for name, one in recipes.items():
        if name in RECIPES:
            raise ValueError(f"there is a recipe {name!r} already; choose another name")
        RECIPES[name] = one


def recipe(name: str) -> Recipe:
    """A recipe by name.

    Args:
        name: one of `RECIPES`.

    Returns:
        The recipe.

    Raises:
        ValueError: if there is none of that name, with the nearest match.

    Example:
        >>> recipe("lstm-quadratic").task.dim
        10
        >>> recipe("boolean-16").kind.name
        'function learner'
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]
