"""Meta-training on several devices: the problems are split over them, all else is on each of them."""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from learned_opt.core.sharding import PROBLEM_AXIS, off_explicit_mesh
from learned_opt.core.types import Data, Key
from learned_opt.meta.step import MetaState, StepMetrics
from learned_opt.training.estimators.truncation import UnrollState, divisors

T = TypeVar("T")
Advance = Callable[[MetaState, int], tuple[MetaState, StepMetrics]]


def problem_mesh(num_problems: int, mesh: Mesh | None = None) -> Mesh | None:
    """The mesh to train on, `None` for one device.

    By default all devices of all processes; in one process as many as divide the problems.
    """
    if mesh is None:
        devices = jax.devices()
        if jax.process_count() == 1:
            devices = devices[: max(d for d in divisors(num_problems) if d <= len(devices))]
        mesh = Mesh(devices, PROBLEM_AXIS)
    if mesh.axis_names != (PROBLEM_AXIS,):
        raise ValueError(
            f"mesh has the axes {mesh.axis_names}: give one with the only axis {PROBLEM_AXIS!r}, "
            f"such as jax.make_mesh(({mesh.size},), ({PROBLEM_AXIS!r},))"
        )
    absent = {device.process_index for device in jax.devices()} - {d.process_index for d in mesh.devices.flat}
    if absent:
        raise ValueError(
            f"mesh has no device of the processes {sorted(absent)}: give one with devices of all processes"
        )
    if num_problems % mesh.size:
        # The nearest multiple that is not 0.
        nearest = max(round(num_problems / mesh.size), 1) * mesh.size
        fewer = max(d for d in divisors(num_problems) if d <= mesh.size)
        raise ValueError(
            f"num_problems={num_problems} does not divide among {mesh.size} devices: "
            f"choose a multiple, such as {nearest}, or use {fewer} of them"
        )
    # The compiler, and not the type of each array, is to say where intermediate results lie.
    return Mesh(mesh.devices, mesh.axis_names) if mesh.size > 1 else None


def replicated(mesh: Mesh | None, tree: T) -> T:
    """A tree of arrays, whole on every device of the mesh."""
    tree = off_explicit_mesh(tree)
    if mesh is None:
        return tree
    return jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))(tree)


def use_mesh(mesh: Mesh | None) -> contextlib.AbstractContextManager[Any]:
    """A context in which jitted functions split their problems over the mesh, if there is one."""
    return contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh)


def compiled(
    mesh: Mesh | None,
    begin: Callable[[Key, Data], MetaState],
    steps: Callable[[Key, MetaState, Data, int], tuple[MetaState, StepMetrics]],
    key: Key,
    data: Data,
) -> tuple[MetaState, Advance]:
    """The first state of meta-training, and the jitted function that advances one; `steps` donates it.

    Key and data are as `replicated` gives them.
    """
    if mesh is None:
        jitted = jax.jit(steps, static_argnums=3, donate_argnums=1)
        return jax.jit(begin)(key, data), lambda state, num_steps: jitted(key, state, data, num_steps)

    everywhere, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(PROBLEM_AXIS))

    def of_problems(part: Any) -> bool:
        return isinstance(part, UnrollState)

    # Where the problems stand is split. What else an estimator keeps, such as its noise, all devices need.
    layout = jax.tree.map(
        lambda part: jax.tree.map(lambda _: split if of_problems(part) else everywhere, part),
        jax.eval_shape(begin, key, data),
        is_leaf=of_problems,
    )
    jitted = jax.jit(
        steps,
        static_argnums=3,
        donate_argnums=1,
        in_shardings=(everywhere, layout, everywhere),
        out_shardings=(layout, everywhere),
    )

    def advance(state: MetaState, num_steps: int) -> tuple[MetaState, StepMetrics]:
        with use_mesh(mesh):
            return jitted(key, state, data, num_steps)

    # Jitted, so that no device ever holds the states of all problems.
    with use_mesh(mesh):
        return jax.jit(begin, out_shardings=layout)(key, data), advance
