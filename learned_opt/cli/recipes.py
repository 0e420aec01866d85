"""A recipe with some of its fields overridden on the command line."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from learned_opt import meta
from learned_opt.cli.common import import_file
from learned_opt.cli.options import chosen, listing, parse, with_configs
from learned_opt.core.errors import unknown_name
from learned_opt.core.kinds import KINDS
from learned_opt.training import estimators


@dataclasses.dataclass(frozen=True)
class RecipeOptions:
    """Options of every command that is given a recipe.

    Attributes:
        estimator: of the meta-gradient, in place of the recipe's; the fields that both have are kept.
    """

    estimator: str | None = None


def recipe_name(word: str) -> str:
    """A recipe's name as it is, or the name of the one recipe that a .py file registers."""
    if not word.endswith(".py"):
        return word
    registered = import_file(word)
    if len(registered) != 1:
        what = f"registers {len(registered)} recipes" + (f" ({', '.join(registered)})" if registered else "")
        raise ValueError(f"{word} {what}; register one, or choose: learned-opt train RECIPE --import {word}")
    return registered[0]


T = TypeVar("T", bound=RecipeOptions)


def overridden(base: type[T], name: str, words: Sequence[str], command: str) -> tuple[T, meta.Recipe]:
    """A command's other options, of the class `base`, and the recipe with what the words override."""
    recipe = meta.recipe(name)
    # The kind's own name may stand for "model": --optimizer.hidden-sizes.
    prefix = f"--{recipe.kind.name.replace(' ', '-')}."
    words = [f"--model.{w.removeprefix(prefix)}" if w.startswith(prefix) else w for w in words]
    configs: dict[str, Any] = {
        "model": recipe.model,
        "task": recipe.task,
        "validation_task": recipe.validation_task,
        "settings": _with_estimator(recipe, chosen(words, "--estimator")),
    }
    configs = {field: config for field, config in configs.items() if config is not None}
    options: Any = parse(
        with_configs(base, **configs), words, f"learned-opt {command} {name}", recipe.summary
    )
    return options, dataclasses.replace(recipe, **{field: getattr(options, field) for field in configs})


def recipe_listing(*kinds: str) -> str:
    """The recipes and what they train, a block of lines a kind, for a usage; of all kinds by default."""
    blocks = []
    for kind in kinds or KINDS:
        found = {name: one.summary for name, one in meta.RECIPES.items() if one.kind.name == kind}
        blocks.append(f"recipes for {KINDS[kind].plural}:\n{listing(found)}")
    return "\n\n".join(blocks)


def _with_estimator(recipe: meta.Recipe, name: str | None) -> meta.Settings:
    """The settings of a recipe with another estimator, which keeps the fields that both have."""
    if name is None or name == recipe.settings.estimator.name:
        return recipe.settings
    if name not in recipe.kind.estimators:
        raise unknown_name(f"estimator for {recipe.kind.plural}", name, recipe.kind.estimators)
    classes = (meta.Settings, estimators.registry.get(name))
    known = {field.name for one in classes for field in dataclasses.fields(one)}
    kept = {field: value for field, value in recipe.settings.flat().items() if field in known}
    return meta.Settings.of(recipe.kind, kept | {"estimator": name})
