"""What the shipped optimizers were trained with; each can be run again by name."""

import dataclasses
from typing import Any

from learned_opt import optimizers, tasks
from learned_opt.core.errors import unknown_name
from learned_opt.meta.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A meta-training run in full.

    Attributes:
        summary: one line of what it is for.
        optimizer: an optimizer's configuration, as `optimizers.registry` makes them.
        task: a task's configuration, as `tasks.registry` makes them.
        settings: of the meta-trainer.
        start: the recipe whose theta this one goes on from; `None` for fresh meta-parameters.
    """

    summary: str
    optimizer: Any
    task: Any
    settings: Settings
    start: str | None = None


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
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]


def _optimizer(name: str, **arguments: Any) -> Any:
    return optimizers.registry.get(name)(**arguments)


def _task(name: str, **arguments: Any) -> Any:
    return tasks.registry.get(name)(**arguments)


def _go_on(earlier: Recipe, start: str, summary: str, **settings: Any) -> Recipe:
    """A recipe that goes on from another, named `start`, with some other settings."""
    return dataclasses.replace(
        earlier, summary=summary, start=start, settings=dataclasses.replace(earlier.settings, **settings)
    )


# Second order pays in all of these: what a step does to the next gradients is much of what there is to
# learn. The long truncation comes last, when trajectories no longer explode under it.

# A few problems are so ill-conditioned that their gradients would outweigh all others: each is clipped,
# the more loosely the longer the truncation.
_QUADRATIC = Recipe(
    summary="10-d Gaussian quadratics, truncations of 20: the start of lstm-quadratic-middle",
    optimizer=_optimizer("lstm", inputs="normalized_and_size", output_scale=1.0),
    task=_task("quadratic", dim=10),
    settings=Settings(
        second_order=True,
        weights="linear",
        num_problems=128,
        num_meta_steps=6000,
        learning_rate=1e-2,
        clip_norm=0.1,
        problem_clip_norm=10.0,
        validate_every=250,
        num_validation_problems=2048,
        steps_per_call=25,
        seed=2,
    ),
)

_MNIST = Recipe(
    summary="MNIST, truncations of 20: the start of lstm-mnist",
    # The first layer has far smaller gradients a coordinate than the second and needs smaller steps.
    optimizer=_optimizer("lstm", inputs="normalized_and_size"),
    task=_task("classification", dataset="mnist"),
    settings=Settings(
        second_order=True,
        weights="linear",
        num_problems=1,
        num_meta_steps=1300,
        learning_rate=5e-3,
        clip_norm=0.1,
        validate_every=100,
        num_validation_problems=4,
        window=9,
        steps_per_call=5,
    ),
)

RECIPES: dict[str, Recipe] = {
    "lstm-quadratic-short": _QUADRATIC,
    "lstm-quadratic-middle": _go_on(
        _QUADRATIC,
        "lstm-quadratic-short",
        "the same in truncations of 50: the start of lstm-quadratic",
        truncation=50,
        num_meta_steps=4000,
        learning_rate=3e-3,
        validate_every=100,
    ),
    "lstm-quadratic": _go_on(
        _QUADRATIC,
        "lstm-quadratic-middle",
        "10-d Gaussian quadratics, whole trajectories of 100 steps; from lstm-quadratic-middle",
        truncation=100,
        num_problems=256,
        num_meta_steps=1200,
        learning_rate=1.5e-3,
        problem_clip_norm=30.0,
        validate_every=100,
    ),
    "lstm-mnist-short": _MNIST,
    "lstm-mnist": _go_on(
        _MNIST,
        "lstm-mnist-short",
        "MNIST, 20 sigmoid units, batches of 128, 100 steps; goes on from lstm-mnist-short",
        truncation=50,
        num_meta_steps=400,
        learning_rate=2e-3,
        validate_every=40,
        seed=1,
    ),
    # Random scaling, so that the rule cannot lean on the scale of one architecture.
    "lstm-general": Recipe(
        summary="digits with randomly scaled coordinates, 100 steps; the default",
        optimizer=_optimizer("lstm", inputs="normalized"),
        task=_task("random_scaling", task=_task("classification", dataset="digits"), log_range=3.0),
        settings=Settings(
            second_order=True,
            weights="linear",
            num_problems=4,
            num_meta_steps=500,
            learning_rate=5e-3,
            clip_norm=0.1,
            validate_every=50,
            num_validation_problems=16,
            window=9,
        ),
    ),
    "demo-digits": Recipe(
        summary="what `learned-opt demo` trains on scikit-learn's digits",
        optimizer=_optimizer("lstm", inputs="normalized_and_size"),
        task=_task("classification", dataset="digits"),
        settings=Settings(
            second_order=True,
            weights="linear",
            num_problems=4,
            num_meta_steps=600,
            learning_rate=5e-3,
            clip_norm=0.1,
            validate_every=50,
            num_validation_problems=16,
            window=9,
        ),
    ),
    "demo-mnist": Recipe(
        summary="what `learned-opt demo` trains on MNIST",
        optimizer=_optimizer("lstm", inputs="normalized_and_size"),
        task=_task("classification", dataset="mnist"),
        settings=Settings(
            second_order=True,
            weights="linear",
            num_problems=1,
            num_meta_steps=300,
            learning_rate=5e-3,
            clip_norm=0.1,
            validate_every=50,
            num_validation_problems=4,
            window=9,
            steps_per_call=5,
        ),
    ),
}
