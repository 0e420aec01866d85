"""The rules that compete: tuned and untuned controls, and ours by name or file, in families."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.comparison.baselines import Kind, everywhere, has_matrices
from benchmarks.harness.results import fingerprint
from learned_opt import zoo
from learned_opt.core.errors import unknown_name
from learned_opt.core.types import Params, Task

RATES = np.logspace(-4, 0, 13)
ADAM, COSINE, FIXED_ADAM = "adam", "adamw-cosine", "adam-1e-3"
OURS = ("general", "general-lite")  # of what is shipped
KNOWN, ZERO = ":decay", ":zero"  # behind a name: it is told the number of steps; without what it learned


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """Rules that differ in numbers only, so that one compiled call runs them all.

    A rule is one lane or several, of which the best is taken: `numbers` has a leading axis of lanes.
    """

    kind: Kind
    build: Callable[[Any, int], optax.GradientTransformation]  # of a lane's numbers and the number of steps
    numbers: Mapping[str, Any]  # by the rule's name
    suits: Callable[[Task], bool] = everywhere
    evaluated: Callable[[Any, Params], Params] = lambda state, params: params  # what the losses are of
    fingerprint: str = "1"  # changes whenever the rules do, so that their cells are made anew

    def lanes(self, rule: str) -> slice:
        """Where a rule's lanes are among all."""
        start = 0
        for name, numbers in self.numbers.items():
            count = len(jax.tree.leaves(numbers)[0])
            if name == rule:
                return slice(start, start + count)
            start += count
        raise KeyError(rule)

    def only(self, names: Sequence[str]) -> "Family":
        """Some of its rules."""
        return dataclasses.replace(self, numbers={name: self.numbers[name] for name in names})


def _adam(numbers: Mapping[str, Any], num_steps: int) -> optax.GradientTransformation:
    """`optax.adam`, or `optax.adamw` with a cosine decay to the last step."""
    rate, decays = numbers["rate"], numbers["decays"]
    cosine = optax.cosine_decay_schedule(1.0, num_steps)
    return optax.chain(
        optax.scale_by_adam(),
        optax.add_decayed_weights(1e-4 * decays),
        optax.scale_by_learning_rate(lambda count: rate * jnp.where(decays, cosine(count), 1.0)),
    )


def _nadamw(numbers: Any, num_steps: int) -> optax.GradientTransformation:
    del numbers
    warm_up = max(1, num_steps // 10)
    return optax.nadamw(optax.warmup_cosine_decay_schedule(0.0, 1.9e-3, warm_up, max(num_steps, warm_up + 1)))


def _schedule_free(numbers: Any, num_steps: int) -> optax.GradientTransformation:
    """The settings that won the self-tuning track of AlgoPerf 2024."""
    del numbers
    return optax.contrib.schedule_free_adamw(
        2.5e-3, warmup_steps=max(1, num_steps // 50), b1=0.9, b2=0.9955, weight_decay=0.081
    )


def _alone(name: str, build: Callable[[Any, int], optax.GradientTransformation], **fields: Any) -> Family:
    return Family("untuned", build, {name: np.zeros(1)}, **fields)


def _rates(decays: float) -> dict[str, np.ndarray]:
    return {"rate": RATES, "decays": np.full(len(RATES), decays)}


CONTROLS = (
    Family("swept", _adam, {ADAM: _rates(0.0), COSINE: _rates(1.0)}),
    Family("swept", lambda rate, _: optax.contrib.muon(rate), {"muon": RATES}, suits=has_matrices),
    _alone("prodigy", lambda _, __: optax.contrib.prodigy()),
    _alone("dowg", lambda _, __: optax.contrib.dowg()),
    _alone("schedule-free", _schedule_free, evaluated=optax.contrib.schedule_free_eval_params),
    _alone("nadamw", _nadamw),
)
ADAM_ALONE = _alone(FIXED_ADAM, lambda _, __: optax.adam(1e-3))
# Adam at 1e-3 is one of the rates of its sweep, and is read off it.
NAMES = (*(name for family in CONTROLS for name in family.numbers), FIXED_ADAM)


@functools.cache
def ours(name: str) -> Family:
    """A learned rule by name, run or file: told the number of steps or not, and without what it learned."""
    stored = zoo.load(name, "optimizer")
    label = Path(name).name.removesuffix(".safetensors")
    theta = jax.tree.map(jnp.asarray, stored.theta)
    lanes = {label: (theta, jnp.inf)}
    start = stored.lopt.init(jax.random.key(0))
    if not any(np.any(leaf) for leaf in jax.tree.leaves(start)):  # training starts at its prior
        lanes[label + ZERO] = (start, jnp.inf)
    told = {rule + KNOWN: (values, 0.0) for rule, (values, _) in lanes.items()}

    def build(numbers: Any, num_steps: int) -> optax.GradientTransformation:
        # Told an infinite number, a rule does as if told none.
        values, unknown = numbers
        return stored.lopt.build(values, num_steps=jnp.maximum(unknown, num_steps))

    numbers = {
        rule: jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], lane)
        for rule, lane in (lanes | told).items()
    }
    return Family("learned", build, numbers, fingerprint=fingerprint(stored))


def chosen(names: Sequence[str]) -> list[Family]:
    """The families of a request: learned rules take the place of ours, and controls that of all controls.

    Adam and AdamW with cosine, which speed is measured against, are always among them.
    """
    learned = [name for name in names if name not in NAMES]
    for name in learned:
        if not (name.endswith(".safetensors") or Path(name).is_dir() or name in zoo.available()):
            raise unknown_name("optimizer", name, [*NAMES, *zoo.available()])
    wanted = set(names) & set(NAMES)
    controls = [f for f in CONTROLS if not wanted or ADAM in f.numbers or wanted & set(f.numbers)]
    found = learned or ([] if wanted else [name for name in OURS if name in zoo.available()])
    return [*controls, *map(ours, found)]
