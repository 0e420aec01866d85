"""Who competes: swept baselines, what people use untuned, references, shipped and users' optimizers."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import optax

from benchmarks.harness.discovery import attribute, load_file
from learned_opt import training, zoo
from learned_opt.core.errors import unknown_name
from learned_opt.core.types import Task

Kind = Literal["swept", "untuned", "learned", "reference", "solver"]


def everywhere(task: Task) -> bool:
    """Suits every task."""
    del task
    return True


@dataclasses.dataclass(frozen=True)
class Contender:
    """An optimizer as a suite sees it; make one with `swept`, `untuned`, `learned` or `solver`.

    Attributes:
        name: in tables and files.
        kind: how it competes.
        build: by kind: swept `build(learning_rate, num_steps) -> tx`, solver
            `build(task, problem, batch, num_steps) -> params [num_steps + 1, ...]`, others
            `build(num_steps) -> tx`.
        suits: `suits(task)`, whether it can run there at all.
        step_size: the step size that a task's proximal operator is given; `None` for a swept one, whose
            learning rate it is, and for one that is left alone with the task.
        horizon: inner steps that it was meta-trained for; `None` if it was not.
        fingerprint: changes whenever the optimizer does, so that its cells are made anew.
    """

    name: str
    kind: Kind
    build: Callable[..., Any]
    suits: Callable[[Task], bool] = everywhere
    step_size: float | None = None
    horizon: int | None = None
    fingerprint: str = "1"


def swept(name: str, factory: Callable[..., Any], *, takes_num_steps: bool = False, **fields) -> Contender:
    """A baseline whose learning rate is swept.

    Args:
        name: in tables and files.
        factory: `factory(learning_rate) -> tx`.
        takes_num_steps: whether it is `factory(learning_rate, num_steps)`.
        **fields: `suits`, `fingerprint`.

    Returns:
        The contender.
    """
    build = factory if takes_num_steps else lambda learning_rate, num_steps: factory(learning_rate)
    return Contender(name, "swept", build, **fields)


def untuned(name: str, factory: Callable[[], Any], *, kind: Kind = "untuned", **fields) -> Contender:
    """An optimizer that is used as it is.

    Args:
        name: in tables and files.
        factory: `factory() -> tx`.
        kind: `"untuned"`, or `"reference"` for what is only compared with.
        **fields: `suits`, `step_size`, `fingerprint`.

    Returns:
        The contender.
    """
    return Contender(name, kind, lambda num_steps: factory(), **fields)


def solver(name: str, solve: Callable[[Task, Any, Any, int], Any], **fields) -> Contender:
    """A solver with a loop of its own, as a reference.

    Args:
        name: in tables and files.
        solve: `solve(task, problem, batch, num_steps)` gives the iterates, params stacked
            [num_steps + 1, ...]; the batch is the first, and the only one where the loss is deterministic.
        **fields: `suits`, `fingerprint`.

    Returns:
        The contender.
    """
    return Contender(name, "solver", solve, **fields)


def learned(name: str) -> Contender:
    """A shipped optimizer, or one from a `.safetensors` file.

    Args:
        name: a shipped optimizer's name or a file's path; with `:decay` behind it the updates decay to
            zero over the run, whose length is then known to the optimizer.

    Returns:
        The contender.
    """
    plain, _, suffix = name.partition(":")
    if suffix not in ("", "decay"):
        raise ValueError(f"{name!r}: write ':decay' after the name, or nothing")
    path = Path(plain) if plain.endswith(".safetensors") else zoo.WEIGHTS / f"{plain}.safetensors"
    stored = zoo.load(path) if plain.endswith(".safetensors") else zoo.shipped(plain)
    card = zoo.available().get(plain)

    def build(num_steps: int) -> optax.GradientTransformation:
        return stored.lopt.build(stored.theta, num_steps=num_steps if suffix else None)

    return Contender(
        name if card else f"{path.stem}{':' if suffix else ''}{suffix}",
        "learned",
        build,
        horizon=card.horizon if card else None,
        fingerprint=hashlib.sha256(path.read_bytes()).hexdigest()[:16],
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
FIELD: Mapping[str, Contender] = {c.name: c for c in (*SWEPT, *UNTUNED, *REFERENCES)}


def find(name: str, own: Sequence[Contender] = ()) -> list[Contender]:
    """The contenders behind a name.

    Args:
        name: a contender of the suite or of `FIELD`, a shipped optimizer, a `.safetensors` file, or a
            Python file with `CONTENDERS`.
        own: the suite's.

    Returns:
        One contender, or those of a file.
    """
    known = {**FIELD, **{c.name: c for c in own}}
    if name in known:
        return [known[name]]
    if name.endswith(".py"):
        return list(attribute(load_file(name), "CONTENDERS", Sequence))
    plain = name.partition(":")[0]
    if plain.endswith(".safetensors") or plain in zoo.available():
        return [_learned(name)]
    raise unknown_name("optimizer", name, [*known, *zoo.available()])


_learned = functools.cache(learned)
