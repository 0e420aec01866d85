"""What each of several devices is given, seen while tracing: no devices are needed for that."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh

from learned_opt.core.sharding import each_its_share, num_problem_devices


def traced(devices: int, function: Callable[..., Any], *arguments: Any) -> Any:
    with jax.sharding.use_abstract_mesh(AbstractMesh((devices,), ("problems",))):
        return jax.eval_shape(function, *arguments)


@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize(("devices", "share"), [(1, 8), (4, 2), (3, 8)])
def test_each_device_has_its_share_where_the_devices_divide_the_problems(
    devices: int, share: int, gather: bool
):
    seen = []

    def add(problems, constant):
        seen.append((problems.shape, constant.shape))
        return problems + constant

    whole = traced(
        devices,
        lambda *arguments: each_its_share(add, *arguments, gather=gather),
        jnp.zeros((8, 3)),
        jnp.ones((8, 3))[:1],
    )
    assert seen == [((share, 3), (1, 3))]
    assert whole.shape == (8, 3)


def test_devices_of_the_mesh_in_force():
    sizes = []
    traced(4, lambda: sizes.append(num_problem_devices()))
    assert sizes == [4]
    assert num_problem_devices() == 1
    with jax.sharding.use_abstract_mesh(AbstractMesh((4,), ("data",))):
        assert num_problem_devices() == 1
