"""What the shipped optimizers were trained with; each can be run again by name."""

import dataclasses
from typing import Any

from learned_opt import optimizers, tasks
from learned_opt.meta.learned_optimizers import KIND
from learned_opt.meta.recipes.recipe import Recipe, register_recipes
from learned_opt.meta.settings import Settings


def _optimizer(name: str, **arguments: Any) -> Any:
    return optimizers.registry.get(name)(**arguments)


def _task(name: str, **arguments: Any) -> Any:
    return tasks.registry.get(name)(**arguments)


def _settings(**fields: Any) -> Settings:
    return Settings.of_code(KIND, **fields)


def _second_order(**fields: Any) -> Settings:
    """Second order pays: what a step does to the next gradients is much of what there is to learn."""
    return _settings(second_order=True, weights="linear", **fields)


def _for_classifiers(**fields: Any) -> Settings:
    return _second_order(learning_rate=5e-3, clip_norm=0.1, window=9, **fields)


def _go_on(earlier: Recipe, start: str, summary: str, *, task: Any = None, **fields: Any) -> Recipe:
    """A recipe that goes on from another, named `start`, with some other settings."""
    return dataclasses.replace(
        earlier,
        summary=summary,
        start=start,
        task=task or earlier.task,
        settings=_settings(**earlier.settings.flat() | fields),
    )


# The long truncation comes last, when trajectories no longer explode under it.

_LASSO = Recipe(
    summary="LASSO 25x50, 40 steps: the start of lstm-sparse-coding",
    model=_optimizer("proximal_lstm"),
    task=_task("sparse_coding"),
    settings=_second_order(
        horizon=40,
        num_problems=32,
        num_meta_steps=800,
        learning_rate=5e-3,
        validate_every=50,
        num_validation_problems=256,
        steps_per_call=20,
        seed=2,
    ),
)

# Near the optimum losses hardly differ. Large weights make each problem's gradient longer than what it is
# clipped to, so that all count the same, early and late.
_LONG_LASSO = _go_on(
    _LASSO,
    "lstm-sparse-coding-short",
    "LASSO 25x50, 400 steps; goes on from lstm-sparse-coding-short",
    weights=(1e6,) * 400,
    horizon=400,
    truncation=40,
    num_meta_steps=1200,
    learning_rate=1.5e-3,
    problem_clip_norm=1.0,
    validate_every=100,
    num_validation_problems=64,
)

_PENALTIES = tuple(
    _task("sparse_coding", **arguments)
    for arguments in ({}, {"penalty": "l0"}, {"penalty": "group", "group_size": 5})
)


def _quadratic(noise: float = 0.0) -> Any:
    task = _task("quadratic", dim=10)
    return _task("gradient_noise", task=task, deviation=noise) if noise else task


def _recovery(**arguments: Any) -> Any:
    """Recovery at a quarter of the literature's 256x512: what is learned does not depend on the size."""
    return _task(
        "sparse_coding", num_measurements=64, num_atoms=128, weight=0.1, objective="recovery", **arguments
    )


_RECOVERY = Recipe(
    summary="codes from Gaussian dictionaries in 16 steps: the start of lstm-sparse-recovery",
    model=_optimizer("proximal_lstm", tied=False),
    task=_recovery(),
    settings=_second_order(
        horizon=16,
        truncation=16,
        num_problems=16,
        num_meta_steps=2000,
        learning_rate=5e-3,
        validate_every=100,
        num_validation_problems=128,
        steps_per_call=20,
        seed=2,
    ),
)

_RECOVERIES = (_recovery(), _recovery(snr_db=20.0), _recovery(dictionary="ill_conditioned"))

_MNIST = Recipe(
    summary="MNIST, truncations of 20: the start of lstm-mnist",
    # The first layer has far smaller gradients a coordinate than the second and needs smaller steps.
    model=_optimizer("lstm", inputs="normalized_and_size"),
    task=_task("classification", dataset="mnist"),
    settings=_for_classifiers(
        num_problems=1,
        num_meta_steps=1300,
        validate_every=100,
        num_validation_problems=4,
        steps_per_call=5,
    ),
)


def _digits(**arguments: Any) -> Any:
    return _task("classification", dataset="digits", **arguments)


def _scaled(**arguments: Any) -> Any:
    """Randomly scaled coordinates, so that a rule cannot lean on the scale of one architecture."""
    return _task("random_scaling", task=_digits(**arguments), log_range=3.0)


_EVOLVED = Recipe(
    summary="digits with sigmoid, ReLU and randomly scaled units, by evolution: the start of mlp-general",
    # Small enough for evolution strategies, in which each perturbed rule goes on over the seams.
    model=_optimizer("mlp_rule", output_scale=1e-2),
    task=_task("mixture", tasks=(_digits(), _digits(activation="relu"), _scaled())),
    settings=_settings(
        estimator="pes",
        sigma=0.1,
        weights="linear",
        random_phases=True,
        num_problems=16,
        num_meta_steps=6000,
        learning_rate=1e-2,
        warmup_steps=100,
        validate_every=250,
        num_validation_problems=32,
        window=9,
        steps_per_call=50,
    ),
)

# The losses differ by many decades: with logarithms a few hard problems do not outweigh all others.
_SECANT = _second_order(
    log_floor=1e-5,
    num_problems=64,
    num_meta_steps=1500,
    learning_rate=2e-3,
    validate_every=100,
    num_validation_problems=512,
    steps_per_call=20,
    seed=2,
)

# The whole meta-objective: the weighted sum less the rate of convergence.
_WITH_RATE = _second_order(
    log_floor=1e-5,
    rate_weight=1e-3,
    num_problems=32,
    num_meta_steps=2000,
    learning_rate=5e-3,
    clip_norm=0.1,
    validate_every=100,
    num_validation_problems=256,
    steps_per_call=20,
)

_RECIPES = {
    "lstm-quadratic": Recipe(
        summary="10-d Gaussian quadratics, 100 steps",
        model=_optimizer("secant_lstm"),
        task=_quadratic(),
        settings=_SECANT,
    ),
    "lstm-quadratic-noisy": Recipe(
        summary="the same with and without noise in the gradient",
        model=_optimizer("secant_lstm", memory=4, max_growth=10.0),
        task=_task("mixture", tasks=(_quadratic(), _quadratic(noise=0.1), _quadratic(noise=1.0))),
        settings=_SECANT,
    ),
    "coordinatewise-quadratic": Recipe(
        summary="10-d Gaussian quadratics, 100 steps, from each coordinate's gradients alone",
        model=_optimizer("lstm", inputs="normalized_and_size"),
        task=_quadratic(),
        settings=_WITH_RATE,
    ),
    # About as many numbers as in the two layers above.
    "dnc-quadratic": Recipe(
        summary="the same with a memory that the coordinates share",
        model=_optimizer("dnc", memory="tensor", hidden_size=30, inputs="normalized_and_size"),
        task=_quadratic(),
        settings=_WITH_RATE,
    ),
    "lstm-sparse-coding-short": _LASSO,
    "lstm-sparse-coding-l1": _LONG_LASSO,
    "lstm-sparse-coding": _go_on(
        _LONG_LASSO,
        "lstm-sparse-coding-l1",
        "the same with the l0 and the group penalty too; goes on from lstm-sparse-coding-l1",
        num_meta_steps=3000,
        num_problems=30,
        learning_rate=1e-3,
        task=_task("mixture", tasks=_PENALTIES),
    ),
    # Near the optimum steps are small: by log-and-sign inputs the gap was a third of that by normalised ones.
    "dnc-sparse-coding": Recipe(
        summary="LASSO 25x50, 100 steps, by a memory that the coordinates share",
        model=_optimizer("proximal_rule", rule=_optimizer("dnc", hidden_size=30), step_size=0.17),
        task=_task("sparse_coding"),
        settings=_second_order(
            log_floor=1e-5,
            num_problems=32,
            num_meta_steps=1200,
            learning_rate=2e-3,
            problem_clip_norm=1.0,
            clip_norm=0.1,
            validate_every=100,
            num_validation_problems=256,
            steps_per_call=20,
        ),
    ),
    "lstm-sparse-recovery-gaussian": _RECOVERY,
    "lstm-sparse-recovery-noisy": _go_on(
        _RECOVERY,
        "lstm-sparse-recovery-gaussian",
        "the same without noise, with noise and ill-conditioned; from lstm-sparse-recovery-gaussian",
        num_problems=24,
        num_meta_steps=4000,
        learning_rate=3e-3,
        num_validation_problems=192,
        task=_task("mixture", tasks=_RECOVERIES),
    ),
    # Its losses lie many decades apart, and it is judged by decibels.
    "lstm-sparse-recovery": _go_on(
        _RECOVERY,
        "lstm-sparse-recovery-noisy",
        "the same with patches of photographs, by logarithms; goes on from lstm-sparse-recovery-noisy",
        log_floor=1e-5,
        num_problems=32,
        num_meta_steps=2000,
        learning_rate=1e-3,
        warmup_steps=50,
        problem_clip_norm=1.0,
        num_validation_problems=256,
        seed=5,
        task=_task("mixture", tasks=(*_RECOVERIES, _recovery(dictionary="natural_images"))),
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
    "dnc-mnist": Recipe(
        summary="24 components of MNIST, 16 sigmoid units, 100 steps, with a memory a tensor",
        model=_optimizer("dnc", hidden_size=30, inputs="normalized_and_size"),
        task=_task("classification", dataset="mnist", num_components=24, hidden_sizes=(16,)),
        settings=_for_classifiers(
            num_problems=4,
            num_meta_steps=1000,
            validate_every=100,
            num_validation_problems=16,
        ),
    ),
    "lstm-general": Recipe(
        summary="digits with randomly scaled coordinates, 100 steps",
        model=_optimizer("lstm", inputs="normalized"),
        task=_scaled(),
        settings=_for_classifiers(
            num_problems=4,
            num_meta_steps=500,
            validate_every=50,
            num_validation_problems=16,
        ),
    ),
    "mlp-general-short": _EVOLVED,
    # Scaled problems alone but for one, and horizons of all lengths: what was learned of one network and one
    # length goes over badly to others.
    "mlp-general": _go_on(
        _EVOLVED,
        "mlp-general-short",
        "the same, mostly scaled, 50 to 400 steps; goes on from mlp-general-short",
        horizon=400,
        min_horizon=50,
        num_meta_steps=5000,
        learning_rate=5e-3,
        seed=1,
        task=_task("mixture", tasks=(_digits(), _scaled(), _scaled(activation="relu"))),
    ),
    "demo-digits": Recipe(
        summary="what `learned-opt demo` trains on scikit-learn's digits",
        model=_optimizer("lstm", inputs="normalized_and_size"),
        task=_digits(),
        settings=_for_classifiers(
            num_problems=4,
            num_meta_steps=600,
            validate_every=50,
            num_validation_problems=16,
        ),
    ),
    "demo-mnist": Recipe(
        summary="what `learned-opt demo` trains on MNIST",
        model=_optimizer("lstm", inputs="normalized_and_size"),
        task=_task("classification", dataset="mnist"),
        settings=_for_classifiers(
            num_problems=1,
            num_meta_steps=300,
            validate_every=50,
            num_validation_problems=4,
            steps_per_call=5,
        ),
    ),
}

register_recipes(_RECIPES)
