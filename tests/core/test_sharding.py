"""What each of several devices is given, seen while tracing: no devices are needed for that."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType

from learned_opt.core.sharding import each_its_share, on_every_device


def traced(devices: int, function: Callable[..., Any], *arguments: Any, axis: str = "problems") -> Any:
    with jax.sharding.use_abstract_mesh(AbstractMesh((devices,), (axis,), axis_types=(AxisType.Auto,))):
        return jax.eval_shape(function, *arguments)


@pytest.mark.parametrize("combine", [None, "gather"])
@pytest.mark.parametrize(("devices", "share"), [(1, 8), (4, 2), (3, 8)])
def test_each_device_has_its_share_where_the_devices_divide_the_problems(
    devices: int, share: int, combine: Any
):
    seen = []

    def add(problems, constant):
        seen.append((problems.shape, constant.shape))
        return problems + constant

    whole = traced(
        devices,
        lambda *arguments: each_its_share(add, *arguments, combine=combine),
        jnp.zeros((8, 3)),
        jnp.ones((8, 3))[:1],
    )
    assert seen == [((share, 3), (1, 3))]
    assert whole.shape == (8, 3)


@pytest.mark.parametrize(("axis", "share"), [("problems", 2), ("data", 8)])
def test_sums_have_no_axis_of_problems(axis: str, share: int):
    seen = []

    def total(problems):
        seen.append(problems.shape)
        return jnp.sum(problems, axis=0)

    sums = traced(4, lambda p: each_its_share(total, p, combine="sum"), jnp.zeros((8, 3)), axis=axis)
    assert seen == [(share, 3)]
    assert sums.shape == (3,)


def test_every_device_applies_a_function_to_whole_arrays_once():
    seen = []

    def total(x):
        seen.append((x.shape, jax.sharding.get_abstract_mesh().manual_axes))
        return jnp.sum(x)

    # Within itself it has nothing left to do.
    result = traced(4, lambda x: on_every_device(lambda x: on_every_device(total, x), x), jnp.zeros((8, 3)))
    assert seen == [((8, 3), ("problems",))]
    assert result.shape == ()
