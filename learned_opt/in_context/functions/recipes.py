"""What the shipped function learners were trained with; each can be run again by name."""

from typing import Any

from learned_opt.in_context.functions.sequences import KIND
from learned_opt.meta.recipes.recipe import Recipe, register_recipes
from learned_opt.meta.settings import Settings


def _learner(name: str, **arguments: Any) -> Any:
    return KIND.models.get(name)(**arguments)


def _family(name: str, **arguments: Any) -> Any:
    return KIND.tasks.get(name)(**arguments)


def _settings(**fields: Any) -> Settings:
    often = {"warmup_steps": 100, "validate_every": 400, "steps_per_call": 100}
    return Settings.of_code(KIND, **often | fields)


def _recall(validation_length: int) -> Settings:
    return _settings(
        length=8,
        num_functions=4,
        target="recall",
        validation_length=validation_length,
        num_meta_steps=6000,
        learning_rate=2e-2,
    )


_RECIPES = {
    # From two thirds of all starts six cells end above 0.0045.
    "boolean-16": Recipe(
        summary="all functions of two bits, 256 examples each; LSTM of 6 cells, the best of 8 starts",
        model=_learner("lstm"),
        task=_family("boolean"),
        settings=_settings(
            validation_length=256, num_meta_steps=8000, learning_rate=5e-2, num_starts=8, seed=1
        ),
    ),
    # Six cells find the same solution on some splits only; with twelve, every split has it.
    "boolean-14": Recipe(
        summary="functions of two bits without XOR and XNOR, 3 of them held out; LSTM of 12 cells",
        model=_learner("lstm", num_cells=(12,)),
        task=_family("boolean", num_functions=14, num_held_out=3),
        settings=_recall(validation_length=64),
    ),
    "boolean-16-held-out": Recipe(
        summary="all functions of two bits, 3 of them held out, 256 examples each; LSTM of 12 cells",
        model=_learner("lstm", num_cells=(12,)),
        task=_family("boolean", num_held_out=3),
        settings=_recall(validation_length=256),
    ),
    "semilinear": Recipe(
        summary="sigmoid units of two inputs; 32 + 32 LSTM cells, distilled from the Bayes-optimal predictor",
        model=_learner("lstm", num_cells=(32, 32), num_units=(0, 0), output="linear", target_scale=4.0),
        task=_family("semilinear"),
        settings=_settings(
            length=24,
            validation_length=64,
            batch_size=40,
            target="bayes",
            num_meta_steps=8000,
            learning_rate=3e-2,
        ),
    ),
    "quadratic": Recipe(
        summary="quadratics of two inputs, 100 examples each; LSTM of 32 cells that sees wide targets",
        model=_learner("lstm", num_cells=(32,), output="linear", target_scale=20.0),
        task=_family("quadratic"),
        settings=_settings(length=100, num_meta_steps=6000, learning_rate=1.2e-2),
    ),
}

register_recipes(_RECIPES)
