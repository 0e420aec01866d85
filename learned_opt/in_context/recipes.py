"""What the shipped function learners were trained with; each can be run again by name."""

import dataclasses
from typing import Any

from learned_opt.core.errors import unknown_name
from learned_opt.in_context import families, learners
from learned_opt.in_context.learning import LearnerSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnerRecipe:
    """The meta-training of a function learner in full.

    Attributes:
        summary: one line of what it is for.
        learner: a learner's configuration, as `learners.registry` makes them.
        family: a family's configuration, as `families.registry` makes them.
        settings: of the training.
    """

    summary: str
    learner: Any
    family: Any
    settings: LearnerSettings


def learner_recipe(name: str) -> LearnerRecipe:
    """A recipe by name.

    Args:
        name: one of `LEARNER_RECIPES`.

    Returns:
        The recipe.

    Raises:
        ValueError: if there is none of that name, with the nearest match.

    Example:
        >>> learner_recipe("boolean-16").learner.num_cells
        (6,)
    """
    if name not in LEARNER_RECIPES:
        raise unknown_name("recipe", name, LEARNER_RECIPES)
    return LEARNER_RECIPES[name]


def _learner(name: str, **arguments: Any) -> Any:
    return learners.registry.get(name)(**arguments)


def _family(name: str, **arguments: Any) -> Any:
    return families.registry.get(name)(**arguments)


def _recall(validation_length: int) -> LearnerSettings:
    return LearnerSettings(
        length=8,
        num_functions=4,
        aim="recall",
        validation_length=validation_length,
        num_steps=6000,
        learning_rate=2e-2,
    )


LEARNER_RECIPES: dict[str, LearnerRecipe] = {
    # From two thirds of all starts six cells end above 0.0045.
    "boolean-16": LearnerRecipe(
        summary="all functions of two bits, 256 examples each; LSTM of 6 cells, the best of 8 starts",
        learner=_learner("lstm"),
        family=_family("boolean"),
        settings=LearnerSettings(
            validation_length=256, num_steps=8000, learning_rate=5e-2, num_starts=8, seed=1
        ),
    ),
    # Six cells find the same solution on some splits only; with twelve, every split has it.
    "boolean-14": LearnerRecipe(
        summary="functions of two bits without XOR and XNOR, 3 of them held out; LSTM of 12 cells",
        learner=_learner("lstm", num_cells=(12,)),
        family=_family("boolean", num_functions=14, num_held_out=3),
        settings=_recall(validation_length=64),
    ),
    "boolean-16-held-out": LearnerRecipe(
        summary="all functions of two bits, 3 of them held out, 256 examples each; LSTM of 12 cells",
        learner=_learner("lstm", num_cells=(12,)),
        family=_family("boolean", num_held_out=3),
        settings=_recall(validation_length=256),
    ),
    "semilinear": LearnerRecipe(
        summary="sigmoid units of two inputs; 32 + 32 LSTM cells, distilled from the Bayes-optimal predictor",
        learner=_learner("lstm", num_cells=(32, 32), num_units=(0, 0), output="linear", target_scale=4.0),
        family=_family("semilinear"),
        settings=LearnerSettings(
            length=24,
            validation_length=64,
            batch_size=40,
            aim="bayes",
            num_steps=8000,
            learning_rate=3e-2,
        ),
    ),
    "quadratic": LearnerRecipe(
        summary="quadratics of two inputs, 100 examples each; LSTM of 32 cells that sees wide targets",
        learner=_learner("lstm", num_cells=(32,), output="linear", target_scale=20.0),
        family=_family("quadratic"),
        settings=LearnerSettings(length=100, num_steps=6000, learning_rate=1.2e-2),
    ),
}
