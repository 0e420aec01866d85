import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import pytest

from learned_opt import Task, optimizers, tasks
from learned_opt.core import Registry


class Shape(NamedTuple):
    area: float
    config: Any = None


@pytest.fixture
def shapes() -> Registry:
    """Two plain factories, one that wraps a shape, and one that takes a function or its name."""
    registry = Registry("shape")

    @registry.register
    def square(side: float = 1.0, label: str | None = None) -> Shape:
        """A square.

        Args:
            side: in metres.
            label: what it is called.

        Returns:
            The shape.
        """
        return Shape(side**2)

    @registry.register
    def rectangle(width: float, sides: tuple[int, ...] = (1, 2), unit: Literal["m", "cm"] = "m") -> Shape:
        return Shape(width * sum(sides))

    @registry.register
    def doubled(shape: Shape, times: int = 2) -> Shape:
        return Shape(times * shape.area)

    @registry.register
    def measured(
        by: str | Callable[[float], float] = "double", at: Mapping[str, float] | None = None
    ) -> Shape:
        return Shape(2.0 if by == "double" else by(1.0))

    return registry


@pytest.fixture
def make(shapes: Registry):
    return lambda name, **arguments: shapes.get(name)(**arguments).make()


def through_json(registry: Registry, config: Any) -> Any:
    return registry.from_json(json.loads(json.dumps(registry.to_json(config))))


def test_a_product_carries_the_arguments_that_made_it(make):
    square = make("square", side=3.0)
    assert square.area == 9.0
    assert square.config.name == "square"
    assert (square.config.side, square.config.label) == (3.0, None)
    assert square.config.make() == square


def test_configs_are_frozen_and_compare_by_value(shapes: Registry):
    square = shapes.get("square")
    assert square(side=2.0) == square(side=2.0) != square(side=3.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        square(side=2.0).side = 3.0
    with pytest.raises(TypeError, match="positional"):
        square(2.0)


def test_registered_factories_are_called_as_before(shapes: Registry):
    @shapes.register
    def circle(radius: float = 1.0, *, pi: float = 3.0) -> Shape:
        """A circle."""
        return Shape(pi * radius**2)

    assert circle(2.0).area == 12.0
    assert circle(2.0).config == circle(radius=2.0, pi=3.0).config
    assert circle.__name__ == "circle"
    assert circle.__doc__ == "A circle."
    assert shapes.names() == ("square", "rectangle", "doubled", "measured", "circle")
    with pytest.raises(TypeError, match="radios"):
        circle(radios=2.0)


def test_json_round_trip(shapes: Registry, make):
    rectangle = make("rectangle", width=0.1, sides=(3, 4), unit="cm")
    data = shapes.to_json(rectangle.config)
    assert list(data) == ["name", "width", "sides", "unit"]
    again = through_json(shapes, rectangle.config)
    assert again == rectangle.config
    assert again.sides == (3, 4)  # JSON's list is a tuple again
    assert again.make() == rectangle


def test_json_round_trip_of_products_within_products(shapes: Registry, make):
    inner = make("doubled", shape=make("rectangle", width=2.0), times=3)
    outer = make("doubled", shape=inner)
    data = shapes.to_json(outer.config)
    assert data["shape"]["shape"] == {"name": "rectangle", "width": 2.0, "sides": (1, 2), "unit": "m"}
    again = through_json(shapes, outer.config)
    assert again == outer.config
    assert again.make().area == outer.area == 36.0


def test_what_was_made_from_something_without_a_name_has_no_config(make):
    assert make("measured").config is not None
    assert make("measured", by=lambda x: x).config is None
    assert make("doubled", shape=Shape(2.0)).config is None
    assert make("doubled", shape=make("measured", by=lambda x: x)).config is None


def test_help_is_the_first_line_and_the_arguments(shapes: Registry):
    assert shapes.get("square").__doc__ == (
        "A square.\n\nArgs:\n    side: in metres.\n    label: what it is called.\n\n"
    )


def test_unknown_names_are_answered_with_the_nearest(shapes: Registry):
    with pytest.raises(ValueError, match="unknown shape 'sqare'; did you mean 'square'\\? Known: "):
        shapes.get("sqare")
    with pytest.raises(ValueError, match="did you mean 'rectangle'"):
        shapes.from_json({"name": "rectangl", "width": 1.0})
    with pytest.raises(ValueError, match="unknown field of shape 'square' 'sid'; did you mean 'side'"):
        shapes.from_json({"name": "square", "sid": 1.0})
    with pytest.raises(ValueError, match="did you mean 'side'"):
        shapes.from_json({"name": "doubled", "shape": {"name": "square", "sidee": 1.0}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "square", "side": "wide"}, "side='wide'"),
        ({"name": "rectangle"}, "width"),
        ({"name": "rectangle", "width": 1.0, "unit": "mm"}, "unit='mm'.*'m' or 'cm'"),
        ({"name": "rectangle", "width": 1.0, "sides": [1, "b"]}, "sides.1='b'"),
        ({"side": 1.0}, "a shape needs a 'name' \\(one of square, rectangle"),
        ("square", "needs a 'name'.*got 'square'"),
    ],
)
def test_what_does_not_fit_is_named(shapes: Registry, data: Any, message: str):
    with pytest.raises(ValueError, match=message):
        shapes.from_json(data)


@pytest.mark.parametrize(
    ("registry", "product"),
    [
        (optimizers.registry, optimizers.lstm(hidden_sizes=(3,), inputs="normalized", betas=(0.5, 0.9))),
        (
            optimizers.registry,
            optimizers.hyperparameters(
                "sgd", {"learning_rate": 0.1, "momentum": 0.9}, {"momentum": "linear"}
            ),
        ),
        (tasks.registry, tasks.quadratic(dim=3, condition_number=10.0)),
        (tasks.registry, tasks.classification("digits", conv_channels=(2,), split="train[:100]")),
        (tasks.registry, tasks.random_scaling(tasks.random_scaling(tasks.quadratic(dim=2)), 1.5)),
    ],
    ids=lambda x: getattr(x, "config", x) and getattr(getattr(x, "config", None), "name", ""),
)
def test_shipped_families_round_trip(registry: Registry, product: Any):
    assert through_json(registry, product.config) == product.config


def test_shipped_families_say_what_does_not_fit():
    with pytest.raises(ValueError, match=r"inputs='log': Input should be 'log_sign', 'normalized'"):
        optimizers.registry.from_json({"name": "lstm", "inputs": "log"})
    with pytest.raises(ValueError, match="unknown optimizer 'lstn'; did you mean 'lstm'"):
        optimizers.registry.from_json({"name": "lstn"})
    with pytest.raises(ValueError, match="unknown task 'quadrtic'; did you mean 'quadratic'"):
        tasks.registry.from_json({"name": "random_scaling", "task": {"name": "quadrtic"}})


def test_learned_optimizer_of_a_bare_function_has_no_config():
    import optax

    assert optimizers.hyperparameters(optax.adam).config is None
    assert optimizers.hyperparameters("adam").config is not None
    unnamed = tasks.quadratic(dim=2)._replace(config=None)
    assert tasks.random_scaling(unnamed).config is None


def test_equal_configurations_have_the_same_functions():
    """What is jitted compiles for each function that it is given: it has to know them again."""
    for make in (lambda: tasks.quadratic(dim=2), optimizers.lstm):
        assert make() == make()
    assert tasks.quadratic(dim=2).loss is not tasks.quadratic(dim=3).loss
    assert tasks.quadratic(start_deviation=1).init is not tasks.quadratic(start_deviation=1.0).init
    plain = tasks.quadratic(dim=2)
    replaced = plain._replace(loss=lambda params, problem, batch: 0.0)
    assert tasks.random_scaling(plain).loss is tasks.random_scaling(plain).loss
    assert tasks.random_scaling(replaced).loss is not tasks.random_scaling(plain).loss
    mixed = [tasks.mixture((tasks.quadratic(dim=n), tasks.quadratic(dim=2))).loss for n in (2, 2, 3)]
    assert mixed[0] is mixed[1] is not mixed[2]


def test_data_are_made_anew_and_functions_go_with_what_they_hold():
    registry, label = Registry("task"), 1

    @registry.register
    def labelled() -> Task:
        digits, label_now = tasks.classification("digits"), label
        return digits._replace(data={"label": np.full(2, label)}, sample=lambda key: label_now)

    first, again = labelled(), labelled()
    assert first.data is not again.data
    assert first.sample is again.sample
    label = 2
    assert labelled().sample(jax.random.key(0)) == 2
