"""`learned-opt list` and `learned-opt show`: what is there, and how far it holds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from learned_opt import meta, runs, zoo
from learned_opt.cli.options import target
from learned_opt.core.kinds import KINDS
from learned_opt.zoo.card import MANY, brief

LIST_USAGE = """\
usage: learned-opt list

Lists what comes with the package, and the recipes that can be run.

  learned-opt list"""

SHOW_USAGE = """\
usage: learned-opt show {NAME,RUN,FILE}

Prints the card of what is shipped (see `learned-opt list`): what it was trained on, its results beside
references, how far it holds and where it fails; the configuration and the last metrics of a run; or the
configuration that a .safetensors file holds.

  learned-opt show general
  learned-opt show runs/lstm-quadratic"""


def list_command(words: Sequence[str]) -> None:
    """Runs `learned-opt list`."""
    if words:
        print(LIST_USAGE)
        raise SystemExit(0 if words[0] in ("-h", "--help") else 2)
    console = Console()
    for kind in KINDS.values():
        cards = zoo.available(kind.name).items()
        shipped = {n + (" (the default)" if n == zoo.DEFAULT else ""): card.summary for n, card in cards}
        console.print(_table(f"Shipped {kind.plural}", shipped))
    for kind in KINDS.values():
        recipes = {n: recipe.summary for n, recipe in meta.RECIPES.items() if recipe.kind is kind}
        console.print(_table(f"Recipes for {kind.plural}: learned-opt train NAME", recipes))


def show_command(words: Sequence[str]) -> None:
    """Runs `learned-opt show`."""
    name, _ = target(words, SHOW_USAGE)
    if Path(name).is_dir():
        _show_run(name)
        return
    stored = zoo.load(name)  # an unknown name is an error that knows the nearest one
    if Path(name).suffix == ".safetensors":
        print(_as_json(stored.config.to_json()))
    else:
        print(zoo.available(stored.kind)[name].render())


def _as_json(value: Any) -> str:
    """JSON to be read, where many values in a row are told briefly, by a text."""

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: short(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            plain = len(value) > MANY and not any(isinstance(inner, dict | list | tuple) for inner in value)
            return brief(value) if plain else [short(inner) for inner in value]
        return value

    return json.dumps(short(value), indent=2)


def _table(title: str, summaries: Mapping[str, str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for name, summary in summaries.items():
        table.add_row(name, summary)
    return table


def _show_run(name: str) -> None:
    run = runs.RunDirectory.open(name)
    print(_as_json(run.config))
    metrics = runs.read_metrics(run.metrics_path) if run.metrics_path.exists() else []
    print(f"validations: {len(metrics)}")
    if metrics:
        print(json.dumps(metrics[-1], indent=2))
