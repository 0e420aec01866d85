"""What the default optimizers are evolved on, and with: small problems of many kinds, beside tuned Adam."""

from typing import Any

from learned_opt import optimizers, tasks
from learned_opt.meta.learned_optimizers import KIND
from learned_opt.meta.recipes.recipe import Recipe, register_recipes
from learned_opt.meta.settings import Settings


def _task(name: str, **arguments: Any) -> Any:
    return tasks.registry.get(name)(**arguments)


def _classifier(dataset: str, num_components: int | None = 24, **arguments: Any) -> Any:
    split = "train" if dataset == "digits" else "train[:4000]"
    return _task("classification", dataset=dataset, num_components=num_components, split=split, **arguments)


FAMILIES = (
    _classifier("fashion_mnist", hidden_sizes=(24,), activation="relu", batch_size=16),
    _classifier("mnist", hidden_sizes=(16, 16, 16), activation="tanh", batch_size=16),
    _classifier("mnist", hidden_sizes=(24,), activation="gelu", batch_size=8, label_noise=0.2),
    _classifier("fashion_mnist", hidden_sizes=(20,), activation="relu", batch_size=24, num_samples=24),
    _classifier("digits", 20, hidden_sizes=(16, 16), activation="tanh", batch_size=8, num_samples=128),
    _task(
        "random_scaling",
        task=_classifier("mnist", hidden_sizes=(16,), activation="relu", batch_size=16),
        log_range=3.45,
        level="all",
    ),
    _task(
        "classification",
        dataset="digits",
        hidden_sizes=(),
        conv_channels=(4, 6),
        activation="relu",
        batch_size=4,
    ),
    _task("autoencoder", dataset="fashion_mnist", split="train[:4000]", batch_size=12),
    _task("low_rank_adapters", dataset="mnist", split="train[:4000]", batch_size=12),
    _task("characters"),
    _task("function_fit"),
    _task("regression", num_samples=48),
    _task("regression", num_samples=128, condition_number=10.0, noise=0.5, batch_size=4),
    _task("regression", kind="logistic", noise=1.0),
    _task("quadratic", dim=20, condition_number=1000.0),
    _task("gradient_noise", task=_task("quadratic", dim=16, condition_number=100.0), deviation=4.0),
    _task("rosenbrock", log_range=3.45),
    _task("matrix_factorization"),
)

# Deviations of the noise on what the controller says of the rate, the step and the two gates.
_SCALES = (0.05, 0.15, 0.4, 0.4)


def _recipe(
    summary: str, families: tuple[Any, ...] = FAMILIES, *, orthogonal: bool | str, **fields: Any
) -> Recipe:
    settings = {
        "estimator": "families_es",
        "horizon": 640,
        "min_horizon": 100,
        "num_problems": 4,
        "pool_size": 12,
        "num_validation_problems": 4,
        "sigma": 1.0,
        "column_scales": _SCALES,
        "average": 0.03,
        "num_meta_steps": 200,
        "learning_rate": 0.12,
        "final_fraction": 0.1,
        "validate_every": 20,
        "steps_per_call": 1,
    }
    return Recipe(
        summary=summary,
        model=optimizers.registry.get("tensor_controller")(
            orthogonal=orthogonal, gains="by_hand", separate=bool(orthogonal)
        ),
        task=_task("mixture", tasks=families),
        settings=Settings.of_code(KIND, **settings | fields),
    )


register_recipes(
    {
        "general": _recipe(
            "18 families of small problems, relative to tuned Adam, by evolution", orthogonal="auto"
        ),
        "general-lite": _recipe(
            "the same without orthogonalised directions", orthogonal=False, num_meta_steps=400
        ),
        "general-short": _recipe(
            "six meta-steps of it on two families that compile quickly, to see that all works",
            (FAMILIES[11], FAMILIES[17]),
            orthogonal="auto",
            horizon=40,
            min_horizon=20,
            num_problems=2,
            pool_size=2,
            num_pairs=2,
            num_validation_problems=2,
            num_meta_steps=6,
            validate_every=3,
        ),
    }
)
