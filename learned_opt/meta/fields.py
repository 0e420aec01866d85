"""The keywords of `meta_train` and `doctor`, for type checkers and editors."""

from typing import Any, Literal, TypedDict


class Fields(TypedDict, total=False):
    """The fields of `Settings` and of all estimators; which of them go together, `Settings.of` knows."""

    # Of the run.
    estimator: Any
    num_meta_steps: int
    learning_rate: float
    warmup_steps: int
    final_fraction: float
    clip_norm: float
    weight_decay: float
    outer_optimizer: Literal["adam", "smorms3"]
    validate_every: int
    steps_per_call: int
    num_starts: int
    seed: int
    # Of the estimators of learned optimizers.
    horizon: int
    num_problems: int
    problem_clip_norm: float | None
    num_validation_problems: int
    window: int
    weights: Literal["uniform", "linear", "final"] | tuple[float, ...]
    log_floor: float | None
    rate_weight: float
    truncation: int
    min_horizon: int | None
    growth_steps: int
    random_phases: bool
    second_order: bool
    segment: int | None
    sigma: float
    num_measurements: int
    num_families: int
    num_pairs: int
    pool_size: int
    column_scales: tuple[float, ...]
    known_share: float
    average: float | None
    teacher: Literal["sgd", "momentum", "nag", "rmsprop", "adam"]
    teacher_learning_rate: float
    own_trajectories: bool
    # Of those of function learners and weight memories.
    length: int
    validation_length: int | None
    num_functions: int
    num_validation_functions: int
    random_changes: bool
    batch_size: int
    target: Literal["predict", "recall", "bayes"]
    noise: float
    num_validation_sequences: int
    min_train: int
    max_train: int
    cost: Literal["all", "test"]
    num_validation_datasets: int
    interlaced: bool
