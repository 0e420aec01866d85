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


# Second order pays in all of these: what a step does to the next gradients is much of what there is to
# learn. The long truncation comes last, when trajectories no longer explode under it.
RECIPES: dict[str, Recipe] = {
    # A few problems are so ill-conditioned that their gradients would outweigh all others: each is clipped,
    # the more loosely the longer the truncation.
    "lstm-quadratic-short": Recipe(
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
    ),
    "lstm-quadratic-middle": Recipe(
        summary="the same in truncations of 50: the start of lstm-quadratic",
        optimizer=_optimizer("lstm", inputs="normalized_and_size", output_scale=1.0),
        task=_task("quadratic", dim=10),
        settings=Settings(
            truncation=50,
            second_order=True,
            weights="linear",
            num_problems=128,
            num_meta_steps=4000,
            learning_rate=3e-3,
            clip_norm=0.1,
            problem_clip_norm=10.0,
            validate_every=100,
            num_validation_problems=2048,
            steps_per_call=25,
            seed=2,
        ),
        start="lstm-quadratic-short",
    ),
    "lstm-quadratic": Recipe(
        summary="10-d Gaussian quadratics, whole trajectories of 100 steps; from lstm-quadratic-middle",
        optimizer=_optimizer("lstm", inputs="normalized_and_size", output_scale=1.0),
        task=_task("quadratic", dim=10),
        settings=Settings(
            truncation=100,
            second_order=True,
            weights="linear",
            num_problems=256,
            num_meta_steps=1200,
            learning_rate=1.5e-3,
            clip_norm=0.1,
            problem_clip_norm=30.0,
            validate_every=100,
            num_validation_problems=2048,
            steps_per_call=25,
            seed=2,
        ),
        start="lstm-quadratic-middle",
    ),
    "lstm-mnist-short": Recipe(
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
    ),
    "lstm-mnist": Recipe(
        summary="MNIST, 20 sigmoid units, batches of 128, 100 steps; goes on from lstm-mnist-short",
        optimizer=_optimizer("lstm", inputs="normalized_and_size"),
        task=_task("classification", dataset="mnist"),
        settings=Settings(
            truncation=50,
            second_order=True,
            weights="linear",
            num_problems=1,
            num_meta_steps=400,
            learning_rate=2e-3,
            clip_norm=0.1,
            validate_every=40,
            num_validation_problems=4,
            window=9,
            steps_per_call=5,
            seed=1,
        ),
        start="lstm-mnist-short",
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
