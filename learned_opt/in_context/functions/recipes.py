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


def _switching(**fields: Any) -> Settings:
    often = {"random_changes": True, "num_validation_functions": 5, "num_validation_sequences": 200}
    return _settings(target="bayes", **often | fields)


_TWELVE_CELLS = _learner("lstm", num_cells=(12,))
_TWO_LAYERS = _learner("lstm", num_cells=(32, 32), num_units=(0, 0), output="linear", target_scale=4.0)
_WIDE_TARGETS = _learner("lstm", num_cells=(32,), output="linear", target_scale=20.0)

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
        model=_TWELVE_CELLS,
        task=_family("boolean", num_functions=14, num_held_out=3),
        settings=_recall(validation_length=64),
    ),
    "boolean-16-held-out": Recipe(
        summary="all functions of two bits, 3 of them held out, 256 examples each; LSTM of 12 cells",
        model=_TWELVE_CELLS,
        task=_family("boolean", num_held_out=3),
        settings=_recall(validation_length=256),
    ),
    # Figure 3 of Younger et al.: the state is kept where another function begins. Short functions have more
    # beginnings; what they teach does not quite hold for as long as 256 examples, which it does not count.
    "boolean-16-switching-short": Recipe(
        summary="functions of two bits one after another without reset: the start of boolean-16-switching",
        model=_TWELVE_CELLS,
        task=_family("boolean"),
        settings=_switching(
            length=64,
            random_changes=False,
            validation_length=256,
            num_functions=4,
            num_meta_steps=12_000,
            learning_rate=5e-2,
        ),
        start="boolean-16-held-out",
    ),
    "boolean-16-switching": Recipe(
        summary="all functions of two bits, one after another without reset, 256 examples each; 12 cells",
        model=_TWELVE_CELLS,
        task=_family("boolean"),
        settings=_switching(
            length=256,
            random_changes=False,
            validation_length=256,
            num_functions=3,
            num_meta_steps=8000,
            learning_rate=3e-2,
        ),
        start="boolean-16-switching-short",
    ),
    "semilinear": Recipe(
        summary="sigmoid units of two inputs; 32 + 32 LSTM cells, distilled from the Bayes-optimal predictor",
        model=_TWO_LAYERS,
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
        model=_WIDE_TARGETS,
        task=_family("quadratic"),
        settings=_settings(length=100, num_meta_steps=6000, learning_rate=1.2e-2),
    ),
    "semilinear-switching": Recipe(
        summary="sigmoid units of two inputs, one after another without reset; 32 + 32 LSTM cells, distilled",
        model=_TWO_LAYERS,
        task=_family("semilinear"),
        settings=_switching(
            validation_length=64,
            length=32,
            num_functions=4,
            batch_size=10,
            num_meta_steps=6000,
            learning_rate=1e-2,
        ),
        start="semilinear",
    ),
    "quadratic-switching": Recipe(
        summary="quadratics of two inputs, one after another without reset, 100 examples each; 32 LSTM cells",
        model=_WIDE_TARGETS,
        task=_family("quadratic"),
        settings=_switching(
            validation_length=100,
            length=100,
            num_functions=3,
            batch_size=15,
            num_meta_steps=6000,
            learning_rate=1e-2,
        ),
        start="quadratic",
    ),
    "quadratic-each-scaled": Recipe(
        summary="quadratics of two inputs, each scaled by its own range, 100 examples each; LSTM of 32 cells",
        model=_learner("lstm", num_cells=(32,), output="linear", target_scale=4.0),
        task=_family("quadratic", scaled="each"),
        settings=_settings(length=100, target="bayes", num_meta_steps=6000, learning_rate=1.2e-2),
    ),
}

register_recipes(_RECIPES)
