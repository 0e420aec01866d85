"""Meta-training of networks that learn in their own state: pure steps, and the shared loop around them."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt import runs
from learned_opt.core.types import Array, Key, Theta

# What theta is selected on is drawn neither in training nor in an evaluation of the same seed.
TRAINING_STREAM, VALIDATION_STREAM = 0x7A1, 0x5E1

Init = Callable[[Key], Theta]
Loss = Callable[[Theta, Key], Array]
Validate = Callable[[Theta, Key], dict[str, Array]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The settings of a training run, beside its network and its data.

    Attributes:
        num_steps: updates of theta.
        learning_rate: of Adam, at its peak.
        warmup_steps: steps over which the learning rate rises from 0.
        final_fraction: of the learning rate that a cosine decay ends at.
        clip_norm: global norm that the gradient is clipped to.
        weight_decay: decoupled from the gradient, as in AdamW.
        validate_every: steps between validations; each is followed by a checkpoint.
        steps_per_call: steps in one jitted call.
        num_starts: networks that are trained side by side, each from weights and with data of its own; the
            one with the best validation is kept. Small networks end in poor minima from many a start.
        seed: of everything random.
    """

    num_steps: int = 4000
    learning_rate: float = 1e-2
    warmup_steps: int = 100
    final_fraction: float = 0.01
    clip_norm: float = 1.0
    weight_decay: float = 0.0
    validate_every: int = 400
    steps_per_call: int = 100
    num_starts: int = 1
    seed: int = 0

    def __post_init__(self):
        for name in ("num_steps", "validate_every", "steps_per_call", "num_starts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: it must be at least 1")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r}: it must be positive")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay={self.weight_decay!r}: it must not be negative")
        if not 0 <= self.warmup_steps < self.num_steps:
            raise ValueError(
                f"warmup_steps={self.warmup_steps!r}: it must be at least 0 and below "
                f"num_steps={self.num_steps}"
            )
        if not 0 <= self.final_fraction <= 1:
            raise ValueError(f"final_fraction={self.final_fraction!r}: it must be between 0 and 1")

    def optimizer(self) -> optax.GradientTransformation:
        """AdamW with clipping, warm-up and cosine decay; a gradient that is not finite is skipped."""
        schedule = optax.warmup_cosine_decay_schedule(
            init_value=0.0 if self.warmup_steps else self.learning_rate,
            peak_value=self.learning_rate,
            warmup_steps=self.warmup_steps,
            decay_steps=self.num_steps,
            end_value=self.final_fraction * self.learning_rate,
        )
        adam = optax.adamw(schedule, weight_decay=self.weight_decay)
        return optax.apply_if_finite(
            optax.chain(optax.clip_by_global_norm(self.clip_norm), adam),
            max_consecutive_errors=self.num_steps + 1,
        )


class TrainingState(NamedTuple):
    """All that training carries from one step to the next; what a checkpoint holds.

    Attributes:
        theta: the network's parameters.
        optimizer_state: of the optimizer.
        step: i32[], steps made.
        best_theta: the parameters of the best validation so far.
        best_loss: f32[], that validation's loss.
    """

    theta: Theta
    optimizer_state: optax.OptState
    step: Array
    best_theta: Theta
    best_loss: Array


# Of several starts, side by side: they make their steps together.
STARTS = TrainingState(theta=0, optimizer_state=0, step=None, best_theta=0, best_loss=0)  # type: ignore[arg-type]


class Trained(NamedTuple):
    """What a training run gives.

    Attributes:
        theta: the parameters of the best validation.
        validation_loss: that validation's loss.
        last_theta: the parameters after the last step.
        metrics: one dictionary a validation, as in the run's `metrics.jsonl`.
        directory: where the run is stored, or `None`.
    """

    theta: Theta
    validation_loss: float
    last_theta: Theta
    metrics: list[dict[str, Any]]
    directory: Path | None


def first_state(key: Key, init: Init, optimizer: optax.GradientTransformation) -> TrainingState:
    """The state before the first step.

    Args:
        key: makes theta.
        init: `init(key) -> theta`.
        optimizer: of theta.

    Returns:
        The state.

    Example:
        >>> state = first_state(jax.random.key(0), lambda key: jnp.zeros(3), optax.adam(1e-3))
        >>> int(state.step), float(state.best_loss)
        (0, inf)
    """
    theta = init(key)
    # A copy, since both are donated to the same jitted call.
    best = jax.tree.map(jnp.copy, theta)
    return TrainingState(theta, optimizer.init(theta), jnp.zeros([], jnp.int32), best, jnp.float32(jnp.inf))


def training_steps(
    key: Key, state: TrainingState, loss: Loss, optimizer: optax.GradientTransformation, num_steps: int
) -> tuple[TrainingState, tuple[Array, Array]]:
    """Makes `num_steps` steps; pure.

    The randomness of a step comes from `key` and its number alone, so that a run continued from a
    checkpoint repeats what an undisturbed one does.

    Args:
        key: the same for the whole run.
        state: where training stands.
        loss: `loss(theta, key) -> f32[]`, on fresh data that it draws from the key; static.
        optimizer: of theta; static.
        num_steps: to make; static.

    Returns:
        The new state; each step's loss and gradient norm, f32[num_steps].

    Example:
        >>> optimizer = optax.sgd(0.5)
        >>> state = first_state(jax.random.key(0), lambda key: jnp.float32(4), optimizer)
        >>> def loss(theta, key):
        ...     return theta**2 / 2
        >>> state, (losses, norms) = training_steps(jax.random.key(1), state, loss, optimizer, 2)
        >>> float(state.theta), losses.tolist()
        (1.0, [8.0, 2.0])
    """

    def body(state: TrainingState, _) -> tuple[TrainingState, tuple[Array, Array]]:
        value, gradient = jax.value_and_grad(loss)(state.theta, jax.random.fold_in(key, state.step))
        # optax's schedules count on int and float promoting, whatever the user has set.
        with jax.numpy_dtype_promotion("standard"):
            updates, optimizer_state = optimizer.update(gradient, state.optimizer_state, state.theta)
        new_state = state._replace(
            theta=optax.apply_updates(state.theta, updates),
            optimizer_state=optimizer_state,
            step=state.step + 1,
        )
        return new_state, (value, optax.tree.norm(gradient))

    return jax.lax.scan(body, state, length=num_steps)


def train(
    init: Init,
    loss: Loss,
    validate: Validate,
    *,
    settings: TrainingSettings,
    optimizer: optax.GradientTransformation | None = None,
    directory: runs.RunDirectory | None = None,
    quiet: bool = False,
) -> Trained:
    """Trains a network on data that its loss draws, and keeps the theta of the best validation.

    With several starts, the loss, the gradient norm and whatever a validation reports are those of the start
    whose validation is the best at that time.

    With a directory every validation is followed by a checkpoint, and a run that finds checkpoints there
    goes on from the newest, with the same result to the bit as one that was never stopped. The best theta
    is stored at the end, with the run's configuration, except its provenance, in the file.

    Args:
        init: `init(key) -> theta`.
        loss: `loss(theta, key) -> f32[]`, on fresh data that it draws from the key; jitted here.
        validate: `validate(theta, key) -> {"loss": f32[], ...}`, jitted here. The key is the same every time.
            Theta is selected by `"loss"`; whatever else there is is reported beside it.
        settings: of the training.
        optimizer: of theta; `settings.optimizer()` by default.
        directory: of the run, made by `runs.RunDirectory.create` with all that the run is of, or opened to
            go on; nothing is stored without one.
        quiet: whether to show no progress.

    Returns:
        The best theta and how it came about.

    Raises:
        FloatingPointError: if no validation's loss was finite.
        RunError: if another process has the run.
        CheckpointError: if there are checkpoints and none is whole.

    Example:
        >>> trained = train(
        ...     lambda key: jnp.float32(4),
        ...     lambda theta, key: theta**2,
        ...     lambda theta, key: {"loss": theta**2},
        ...     settings=TrainingSettings(num_steps=20, warmup_steps=0, learning_rate=0.5, validate_every=10),
        ...     quiet=True,
        ... )
        >>> trained.validation_loss < 1, len(trained.metrics)
        (True, 2)
    """
    key = jax.random.key(settings.seed)
    optimizer = settings.optimizer() if optimizer is None else optimizer
    theta_keys, step_keys = (
        jnp.stack([first, *(jax.random.fold_in(first, start) for start in range(1, settings.num_starts))])
        for first in jax.random.split(jax.random.fold_in(key, TRAINING_STREAM))
    )
    validation_key = jax.random.fold_in(key, VALIDATION_STREAM)

    def advance_states(states: TrainingState, num_steps: int):
        def advance_state(key: Key, state: TrainingState):
            return training_steps(key, state, loss, optimizer, num_steps)

        return jax.vmap(advance_state, (0, STARTS), (STARTS, 0))(step_keys, states)

    def judge(states: TrainingState):
        figures = jax.vmap(validate, (0, None))(states.theta, validation_key)
        better = figures["loss"] < states.best_loss

        def chosen(new: Array, old: Array) -> Array:
            return jnp.where(better.reshape(-1, *(1 for _ in new.shape[1:])), new, old)

        best_theta = jax.tree.map(chosen, states.theta, states.best_theta)
        best_loss = jnp.where(better, figures["loss"], states.best_loss)
        return states._replace(best_theta=best_theta, best_loss=best_loss), figures

    advance = jax.jit(advance_states, static_argnames="num_steps", donate_argnames="states")
    judged = jax.jit(judge, donate_argnums=0)

    def end_period(states: TrainingState, reports: Sequence[tuple[Array, Array]]):
        states, found = judged(states)
        values = np.asarray(found.pop("loss"))
        best = _least(values)
        losses, norms = (np.concatenate(arrays, axis=1)[best] for arrays in zip(*reports, strict=True))
        return states, {
            "validation_loss": float(values[best]),
            "best_loss": float(jnp.min(states.best_loss)),
            "training_loss": float(losses.mean()),
            "gradient_norm": float(norms.mean()),
            **{name: float(figure[best]) for name, figure in found.items()},
        }

    start = jax.jit(jax.vmap(lambda key: first_state(key, init, optimizer), out_axes=STARTS))
    with runs.history(directory, start(theta_keys)) as history:
        runs.run_periods(
            history,
            lambda states, num_steps: advance(states, num_steps=num_steps),
            end_period,
            num_steps=settings.num_steps,
            period=settings.validate_every,
            steps_per_call=settings.steps_per_call,
            title="training",
            unit="steps",
            figures=lambda report, rows: {
                "loss": float(np.median(report[0][:, -1])),
                "validation loss": rows[-1]["validation_loss"] if rows else None,
            },
            quiet=quiet,
        )
        states = history.state

    best = _least(np.asarray(states.best_loss))
    best_loss = float(states.best_loss[best])
    if not np.isfinite(best_loss):
        raise FloatingPointError("the validation loss was never finite; lower learning_rate or clip_norm")
    theta, last_theta = (
        jax.tree.map(lambda leaf: leaf[best], jax.device_get(thetas))
        for thetas in (states.best_theta, states.theta)
    )
    if directory is not None:
        what = {k: v for k, v in directory.config.items() if k != "provenance"}
        runs.save_weights(directory.theta_path, theta, what, overwrite=True)
    return Trained(
        theta,
        best_loss,
        last_theta,
        history.rows,
        directory and directory.path,
    )


def _least(losses: np.ndarray) -> int:
    """Which is the least; NaN is none."""
    return int(np.argmin(np.nan_to_num(losses, nan=np.inf)))
