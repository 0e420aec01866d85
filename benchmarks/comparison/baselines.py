"""What is compared: swept baselines, what people use untuned, references, shipped and users' optimizers."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import optax

from benchmarks.harness.discovery import attribute, load_file
from benchmarks.harness.results import fingerprint
from learned_opt import training, zoo
from learned_opt.core.errors import unknown_name
from learned_opt.core.paths import user_path
from learned_opt.core.types import Task

Kind = Literal["swept", "untuned", "learned", "reference", "solver"]


def everywhere(task: Task) -> bool:
    """Suits every task."""
    del task
    return True


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """An optimizer as a suite sees it; make one with `swept`, `untuned`, `learned` or `solver`."""

    name: str
    kind: Kind  # how it competes
    build: Callable[..., Any]  # of (learning_rate, num_steps) if swept, num_steps if not; see `solver`
    suits: Callable[[Task], bool] = everywhere  # whether it can run on a task at all
    step_size: float | None = None  # of a task's proximal operator; a swept one has its learning rate there
    horizon: int | None = None  # inner steps that it was meta-trained for
    fingerprint: str = "1"  # changes whenever the optimizer does, so that its cells are made anew


def swept(name: str, factory: Callable[..., Any], *, takes_num_steps: bool = False, **fields) -> Optimizer:
    """A baseline with a swept learning rate: `factory(learning_rate)`, or of that and the number of steps."""
    build = factory if takes_num_steps else lambda learning_rate, num_steps: factory(learning_rate)
    return Optimizer(name, "swept", build, **fields)


def untuned(name: str, factory: Callable[[], Any], *, kind: Kind = "untuned", **fields) -> Optimizer:
    """An optimizer that is used as `factory()` makes it; or as a `"reference"`, only compared with."""
    return Optimizer(name, kind, lambda num_steps: factory(), **fields)


def solver(name: str, solve: Callable[[Task, Any, Any, int], Any], **fields) -> Optimizer:
    """A reference with a loop of its own; `solve(task, problem, batch, num_steps)` gives stacked iterates."""
    return Optimizer(name, "solver", solve, **fields)


def learned(name: str) -> Optimizer:
    """A shipped optimizer, a run or a `.safetensors` file; `:decay` behind it decays updates over the run."""
    plain, _, suffix = name.partition(":")
    if suffix not in ("", "decay"):
        raise ValueError(f"{name!r}: write ':decay' after the name, or nothing")
    stored = zoo.load(plain, "optimizer")
    settings = stored.config.settings

    def build(num_steps: int) -> optax.GradientTransformation:
        return stored.lopt.build(stored.theta, num_steps=num_steps if suffix else None)

    return Optimizer(
        Path(plain).stem + name.removeprefix(plain),
        "learned",
        build,
        horizon=settings["estimator"]["horizon"] if settings else None,
        fingerprint=fingerprint(stored),
    )


def deterministic(task: Task) -> bool:
    """Whether the loss of a problem is always the same."""
    batch = jax.eval_shape(lambda key: task.batch(key, task.sample(key), task.data), jax.random.key(0))
    return not jax.tree.leaves(batch)


def params_of(task: Task) -> Any:
    """The shapes of a task's params."""
    return jax.eval_shape(lambda key: task.init(key, task.sample(key)), jax.random.key(0))


def has_matrices(task: Task) -> bool:
    """Whether any parameter is a matrix."""
    return any(leaf.ndim == 2 for leaf in jax.tree.leaves(params_of(task)))


def smooth_and_deterministic(task: Task) -> bool:
    """Whether a line search on the loss makes sense."""
    return deterministic(task) and getattr(task, "prox", None) is None


def _adamw(learning_rate: Any, num_steps: int) -> optax.GradientTransformation:
    return optax.adamw(optax.cosine_decay_schedule(learning_rate, max(num_steps, 1)))


SWEPT = (
    *(swept(name, factory) for name, factory in training.BASELINES.items()),
    swept("adamw-cosine", _adamw, takes_num_steps=True),
    swept("muon", optax.contrib.muon, suits=has_matrices),
)
UNTUNED = (
    untuned("adam-1e-3", lambda: optax.adam(1e-3), step_size=1e-3),
    untuned("prodigy", optax.contrib.prodigy),
    untuned("dowg", optax.contrib.dowg),
    untuned("schedule-free", optax.contrib.schedule_free_adamw),
)
REFERENCES = (untuned("lbfgs", optax.lbfgs, kind="reference", suits=smooth_and_deterministic),)
BASELINES: Mapping[str, Optimizer] = {c.name: c for c in (*SWEPT, *UNTUNED, *REFERENCES)}


def find(name: str, own: Sequence[Optimizer] = ()) -> list[Optimizer]:
    """The optimizers behind a name: one of `own`, a baseline, what `learned` takes, a file's `OPTIMIZERS`."""
    known = {**BASELINES, **{c.name: c for c in own}}
    if name in known:
        return [known[name]]
    if name.endswith(".py"):
        return list(attribute(load_file(name), "OPTIMIZERS", Sequence))
    if name.startswith("~"):
        return find(str(user_path(name)), own)
    plain = name.partition(":")[0]
    if plain.endswith(".safetensors") or Path(plain).is_dir() or plain in zoo.available():
        return [_learned(name)]
    raise unknown_name("optimizer", name, [*known, *zoo.available()])


_learned = functools.cache(learned)
