"""`learned-opt list` and `learned-opt show`: what is there, and how far it holds."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from learned_opt import meta, runs, tasks, zoo
from learned_opt.cli.common import print_json
from learned_opt.cli.options import parse, target
from learned_opt.core.kinds import KINDS
from learned_opt.zoo.card import MANY, brief

ABOUT_LIST = """\
Lists what comes with the package, the recipes that can be run, and the tasks to measure optimizers on.

  learned-opt list
  learned-opt list --json"""

SHOW_USAGE = """\
usage: learned-opt show {NAME,RUN,FILE} [--json]

Prints the card of what is shipped (see `learned-opt list`): what it was trained on, its results beside
references, how far it holds and where it fails; the configuration and the last metrics of a run; or the
configuration that a .safetensors file holds.

  learned-opt show general
  learned-opt show runs/lstm-quadratic --json"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of list and show.

    Attributes:
        json: prints all of it as JSON.
    """

    json: bool = False


def list_command(words: Sequence[str]) -> None:
    """Runs `learned-opt list`."""
    options = parse(Options, words, "learned-opt list", ABOUT_LIST)
    shipped, recipes = {}, {}
    for kind in KINDS.values():
        shipped[kind.plural] = {name: card.summary for name, card in zoo.available(kind.name).items()}
        found = (item for item in meta.RECIPES.items() if item[1].kind is kind)
        recipes[kind.plural] = {name: recipe.summary for name, recipe in found}
    # Tasks that wrap others are made in Python.
    found = sorted(tasks.registry.configs.items())
    to_measure = {name: _first_line(config) for name, config in found if not _needs_arguments(config)}
    if options.json:
        print_json({"default": zoo.DEFAULT, "shipped": shipped, "recipes": recipes, "tasks": to_measure})
        return
    console = Console()
    for kind, cards in shipped.items():
        named = {n + (" (the default)" if n == zoo.DEFAULT else ""): summary for n, summary in cards.items()}
        console.print(_table(f"Shipped {kind}", named))
    for kind, found in recipes.items():
        console.print(_table(f"Recipes for {kind}: learned-opt train NAME", found))
    console.print(_table("Tasks: learned-opt evaluate OPTIMIZER --task NAME", to_measure))


def show_command(words: Sequence[str]) -> None:
    """Runs `learned-opt show`."""
    name, rest = target(words, SHOW_USAGE)
    options = parse(Options, rest, f"learned-opt show {name}", SHOW_USAGE)
    if Path(name).is_dir():
        _show_run(name, options.json)
        return
    stored = zoo.load(name)  # an unknown name is an error that knows the nearest one
    if Path(name).suffix == ".safetensors":
        config = stored.config.to_json()
        print_json(config if options.json else _shortened(config))
        return
    card = zoo.available(stored.kind)[name]
    if options.json:
        print_json(card.to_json())
    else:
        print(card.render())


def _shortened(value: Any) -> Any:
    """JSON to be read, where many values in a row are told briefly, by a text."""
    if isinstance(value, dict):
        return {name: _shortened(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        plain = len(value) > MANY and not any(isinstance(inner, dict | list | tuple) for inner in value)
        return brief(value) if plain else [_shortened(inner) for inner in value]
    return value


def _first_line(config: type) -> str:
    return (config.__doc__ or "").split("\n", 1)[0]


def _needs_arguments(config: Any) -> bool:
    return any(field.default is dataclasses.MISSING for field in dataclasses.fields(config))


def _table(title: str, summaries: Mapping[str, str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for name, summary in summaries.items():
        table.add_row(name, summary)
    return table


def _show_run(name: str, as_json: bool) -> None:
    run = runs.RunDirectory.open(name)
    metrics = runs.read_metrics(run.metrics_path) if run.metrics_path.exists() else []
    if as_json:
        print_json({"config": run.config, "finished": run.theta_path.exists(), "metrics": metrics})
        return
    print_json(_shortened(run.config))
    print(f"validations: {len(metrics)}")
    if metrics:
        print_json(metrics[-1])
