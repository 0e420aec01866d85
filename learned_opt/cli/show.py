"""`learned-opt list` and `learned-opt show`: what is there, and how far it holds."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from learned_opt import meta, runs, zoo
from learned_opt.cli.options import target
from learned_opt.core.kinds import KINDS

LIST_USAGE = """\
usage: learned-opt list

Lists what comes with the package, and the recipes that can be run."""

SHOW_USAGE = """\
usage: learned-opt show {NAME,RUN,FILE}

Prints the card of what is shipped (see `learned-opt list`): what it was trained on, its results beside
references, how far it holds and where it fails; the configuration and the last metrics of a run; or the
configuration that a .safetensors file holds."""


def list_command(words: Sequence[str]) -> None:
    """Runs `learned-opt list`."""
    if words:
        print(LIST_USAGE)
        raise SystemExit(0 if words[0] in ("-h", "--help") else 2)
    console = Console()
    for kind in KINDS.values():
        table = Table(kind.name, "what it is", title=f"Shipped {kind.plural}")
        for name, card in zoo.available(kind.name).items():
            table.add_row(name + (" (the default)" if name == zoo.DEFAULT else ""), card.summary)
        console.print(table)
    recipes = Table("recipe", "kind", "what it trains", title="Recipes: learned-opt train RECIPE")
    for name, recipe in meta.RECIPES.items():
        recipes.add_row(name, recipe.kind.name, recipe.summary)
    console.print(recipes)


def show_command(words: Sequence[str]) -> None:
    """Runs `learned-opt show`."""
    name, _ = target(words, SHOW_USAGE)
    if Path(name).is_dir():
        _show_run(name)
        return
    stored = zoo.load(name)  # an unknown name is an error that knows the nearest one
    if Path(name).suffix == ".safetensors":
        print(json.dumps(stored.config.to_json(), indent=2))
    else:
        print(zoo.available(stored.kind)[name].render())


def _show_run(name: str) -> None:
    run = runs.RunDirectory.open(name)
    print(json.dumps(run.config, indent=2))
    metrics = runs.read_metrics(run.metrics_path)
    print(f"validations: {len(metrics)}")
    if metrics:
        print(json.dumps(metrics[-1], indent=2))
