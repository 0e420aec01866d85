"""The settings of a meta-training run."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import jax
import optax

from learned_opt.core.config import validated
from learned_opt.core.errors import unknown_name
from learned_opt.core.kinds import Kind, kind_named
from learned_opt.core.types import Key
from learned_opt.meta.outer import running_mean, scale_columns
from learned_opt.optimizers.smorms3 import smorms3
from learned_opt.training.estimators.settings import check_positive, registry
from learned_opt.zoo.config import Config

VALIDATION_STREAM = 0x5E1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a meta-training run.

    Attributes:
        estimator: the settings of the meta-gradient's estimator, such as `estimators.Bptt(truncation=20)`.
        num_meta_steps: updates of theta.
        learning_rate: of the outer optimizer, at its peak.
        warmup_steps: meta-steps over which the learning rate rises from 0.
        final_fraction: of the learning rate that a cosine decay ends at.
        clip_norm: global norm that the meta-gradient is clipped to.
        weight_decay: decoupled from the meta-gradient, as in AdamW.
        outer_optimizer: adam; or smorms3, whose learning rate is constant.
        validate_every: meta-steps between validations; each is followed by a checkpoint.
        steps_per_call: meta-steps in one jitted call.
        num_starts: thetas that are trained side by side, each from a start and on problems of its own; the
            best of all validations is kept. Small networks end in poor minima from many a start.
        seed: of everything random.
    """

    estimator: Any
    num_meta_steps: int = 1000
    learning_rate: float = 3e-3
    warmup_steps: int = 0
    final_fraction: float = 0.01
    clip_norm: float = 1.0
    weight_decay: float = 0.0
    outer_optimizer: Literal["adam", "smorms3"] = "adam"
    validate_every: int = 100
    steps_per_call: int = 10
    num_starts: int = 1
    seed: int = 0

    def __post_init__(self):
        check_positive(self, "num_meta_steps", "validate_every", "steps_per_call", "num_starts")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r}: it must be positive")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay={self.weight_decay!r}: it must not be negative")
        if not 0 <= self.warmup_steps < self.num_meta_steps:
            raise ValueError(
                f"warmup_steps={self.warmup_steps!r}: it must be at least 0 and below "
                f"num_meta_steps={self.num_meta_steps}"
            )
        if not 0 <= self.final_fraction <= 1:
            raise ValueError(f"final_fraction={self.final_fraction!r}: it must be between 0 and 1")

    def make_outer_optimizer(self) -> optax.GradientTransformation:
        """Adam with warm-up, cosine decay and clipping; a meta-gradient that is not finite is skipped.

        Of an estimator that says so, steps have the proportions of its noise, and a mean of theta is kept.
        """
        if self.outer_optimizer == "smorms3":
            step = smorms3(self.learning_rate)
        else:
            schedule = optax.warmup_cosine_decay_schedule(
                init_value=0.0 if self.warmup_steps else self.learning_rate,
                peak_value=self.learning_rate,
                warmup_steps=self.warmup_steps,
                decay_steps=self.num_meta_steps,
                end_value=self.final_fraction * self.learning_rate,
            )
            decay = self.weight_decay
            step = optax.adamw(schedule, weight_decay=decay) if decay else optax.adam(schedule)
        scales = getattr(self.estimator, "column_scales", ())
        scaled = [scale_columns(scales)] if scales else []
        average = getattr(self.estimator, "average", None)
        averaged = [] if average is None else [running_mean(average)]
        return optax.apply_if_finite(
            optax.chain(*scaled, optax.clip_by_global_norm(self.clip_norm), step, *scaled, *averaged),
            max_consecutive_errors=self.num_meta_steps + 1,
        )

    def validation_key(self) -> Key:
        """Of what theta is selected on; neither training nor an evaluation of the same seed draws from it."""
        return jax.random.fold_in(jax.random.key(self.seed), VALIDATION_STREAM)

    def to_json(self) -> dict[str, Any]:
        """The fields by name, of JSON's types; the estimator is a dictionary with its `name`."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return fields | {"estimator": registry.to_json(self.estimator)}

    def flat(self) -> dict[str, Any]:
        """The fields of the settings and of their estimator side by side, which `of` takes."""
        outer, estimator = (
            {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
            for settings in (self, self.estimator)
        )
        return outer | {"estimator": self.estimator.name} | estimator

    @classmethod
    def of_code(cls, kind: Kind, **fields: Any) -> "Settings":
        """As `of`, of fields that code of this package gives: their types are not checked.

        Recipes are made when the package is imported, and a checker of types takes long to set up.
        """
        estimator = registry.get(fields.pop("estimator", kind.estimators[0]))
        own = {f.name for f in dataclasses.fields(cls)}
        outer = {name: value for name, value in fields.items() if name in own}
        inner = {name: value for name, value in fields.items() if name not in own}
        return cls(estimator=estimator(**inner), **outer)

    @classmethod
    def of(cls, kind: Kind, fields: dict[str, Any]) -> "Settings":
        """Settings from keywords or from JSON.

        Args:
            kind: of what is trained.
            fields: of the settings and of their estimator, side by side; `estimator` is an
                instance of its class, a name, or JSON. By default it is the kind's first.

        Returns:
            The settings.

        Raises:
            ValueError: naming each field that is unknown (with the nearest match), of a wrong type, or out
                of range; or if the estimator is none that the kind can be trained by.

        Example:
            >>> from learned_opt.core.kinds import kind_named
            >>> settings = Settings.of(kind_named("optimizer"), {"truncation": 50, "seed": 3})
            >>> settings.estimator.truncation, settings.seed
            (50, 3)
            >>> Settings.of(kind_named("optimizer"), {"estimator": "pes", "sigma": 0.1}).estimator.name
            'pes'
        """
        own = {f.name for f in dataclasses.fields(cls)}
        outer = {name: value for name, value in fields.items() if name in own - {"estimator"}}
        inner = {name: value for name, value in fields.items() if name not in own}
        estimator = fields.get("estimator", kind.estimators[0])
        if isinstance(estimator, str):
            estimator = {"name": estimator}
        if not isinstance(estimator, dict):
            estimator = registry.to_json(estimator)
        if estimator["name"] not in kind.estimators:
            raise unknown_name(f"estimator for {kind.plural}", estimator["name"], kind.estimators)
        known = {f.name for f in dataclasses.fields(registry.get(estimator["name"]))}
        for name in inner:
            if name not in known:
                raise _unknown_field(name, kind, estimator["name"], (*own, *known))
        made = registry.from_json(estimator | inner)
        return validated(cls, {**outer, "estimator": made}, "settings")


def settings_of(config: Config) -> Settings:
    """The settings that a run, file or card was trained with; the defaults where it does not say."""
    return Settings.of(kind_named(config.kind), config.settings or {})


def _unknown_field(name: str, kind: Kind, estimator: str, known: Iterable[str]) -> ValueError:
    having = [e for e in kind.estimators if name in {f.name for f in dataclasses.fields(registry.get(e))}]
    if having:
        return ValueError(
            f"{name} has no meaning for estimator={estimator!r}: leave it out, or choose one of "
            f"{', '.join(having)}"
        )
    return unknown_name("field of settings", name, known)
