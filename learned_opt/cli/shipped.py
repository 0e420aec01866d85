"""`learned-opt list` and `learned-opt show`: what is there, and how far it holds."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from learned_opt import runs, zoo
from learned_opt.cli.options import target
from learned_opt.meta import RECIPES

LIST_USAGE = """\
usage: learned-opt list

Lists the optimizers that come with the package and the recipes that can be run."""

SHOW_USAGE = """\
usage: learned-opt show {NAME,RUN}

Prints the card of a shipped optimizer (see `learned-opt list`): what it was trained on, its results beside
swept baselines, how far it holds and where it fails; or the configuration and the last metrics of a run."""


def list_command(words: Sequence[str]) -> None:
    """Runs `learned-opt list`."""
    if words:
        print(LIST_USAGE)
        raise SystemExit(0 if words[0] in ("-h", "--help") else 2)
    console = Console()
    shipped = Table("optimizer", "what it is", title="Shipped optimizers: learned_opt.pretrained(name)")
    for name, card in zoo.available().items():
        default = " (the default)" if name == zoo.DEFAULT else ""
        shipped.add_row(name + default, card.summary)
    recipes = Table("recipe", "what it trains", title="Recipes: learned-opt meta-train RECIPE")
    for name, recipe in RECIPES.items():
        recipes.add_row(name, recipe.summary)
    console.print(shipped, recipes, sep="\n")


def show_command(words: Sequence[str]) -> None:
    """Runs `learned-opt show`."""
    name, _ = target(words, SHOW_USAGE)
    if not Path(name).is_dir():
        zoo.shipped(name)  # an unknown name is an error that knows the nearest one
        print(zoo.available()[name].render())
        return
    run = runs.RunDirectory.open(name)
    print(json.dumps(run.config, indent=2))
    metrics = runs.read_metrics(run.metrics_path)
    print(f"validations: {len(metrics)}")
    if metrics:
        print(json.dumps(metrics[-1], indent=2))
