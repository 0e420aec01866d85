"""optax's own tests of its optimizers, from the installed optax, run on ours.

They are expanded over a table when their class is made, so their source is executed again with our
table in the place of optax's. Complex parameters are left out: ours are real.
"""

import ast
import functools
import types
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

import learned_opt

Factory = Callable[..., optax.GradientTransformation]

ADAM = learned_opt.optimizers.hyperparameters("adam")
CONTROLLER = learned_opt.optimizers.tensor_controller()
LSTM = learned_opt.optimizers.lstm(hidden_sizes=(8,), inputs="normalized")


def learned_adam(log_learning_rate: Any) -> optax.GradientTransformation:
    return ADAM.build({"learning_rate": log_learning_rate})


def untrained_lstm(num_steps: Any = None, learning_rate: Any = 1.0) -> optax.GradientTransformation:
    return optax.chain(
        LSTM.build(LSTM.init(jax.random.key(0)), num_steps=num_steps),
        optax.scale_by_learning_rate(learning_rate, flip_sign=False),
    )


def untrained_controller(num_steps: Any = None, learning_rate: Any = 1.0) -> optax.GradientTransformation:
    return optax.chain(
        CONTROLLER.build(CONTROLLER.init(jax.random.key(0)), num_steps=num_steps),
        optax.scale_by_learning_rate(learning_rate, flip_sign=False),
    )


def safeguarded_adam(learning_rate: Any) -> optax.GradientTransformation:
    return learned_opt.safeguard(optax.adam(learning_rate))


ADAM_KWARGS = {"log_learning_rate": jnp.log(jnp.float32(0.1))}
# As in optax's own table, a step size that suits Rosenbrock's valley.
NUM_STEPS = 10_000
OUR_KWARGS = {"learning_rate": 0.05, "num_steps": NUM_STEPS}
# Its own steps are smaller.
EVOLVED_KWARGS = {"learning_rate": 1.0, "num_steps": NUM_STEPS}
# A step of gradient descent is part of it, at the rate that optax's own table gives to that.
OWN_KWARGS = {"dnc-sparse-coding": {"learning_rate": 1e-3 / 0.17, "num_steps": NUM_STEPS}}
TRAINED: dict[str, tuple[Factory, dict[str, Any]]] = {
    "hyperparameters-adam": (learned_adam, ADAM_KWARGS),
    "safeguarded-adam": (safeguarded_adam, {"learning_rate": 0.1}),
} | {
    name: (
        functools.partial(learned_opt.pretrained, name),
        OWN_KWARGS.get(name, OUR_KWARGS if name.startswith(("lstm", "dnc")) else EVOLVED_KWARGS),
    )
    for name in learned_opt.available()
}
UNTRAINED = {"lstm": (untrained_lstm, {}), "lstm-num-steps": (untrained_lstm, OUR_KWARGS)} | {
    "tensor-controller": (untrained_controller, {}),
    "tensor-controller-num-steps": (untrained_controller, OUR_KWARGS),
}


class Adapted(ast.NodeTransformer):
    """Takes complex dtypes out of the tuples that tests are expanded over, and long loops into one scan."""

    def visit_Tuple(self, node: ast.Tuple) -> ast.Tuple:
        node.elts = [e for e in node.elts if "complex" not in ast.unparse(e)]
        return node

    def visit_For(self, node: ast.For) -> ast.For | list[ast.stmt]:
        if ast.unparse(node.iter) != f"range({NUM_STEPS})":
            return node
        # The first two steps stay as they are, since the test looks whether the second compiles anything.
        node.iter = ast.parse("range(2)", mode="eval").body
        return [node, *ast.parse(f"params, state = repeat(step, {NUM_STEPS - 2}, params, state)").body]


def repeat(step: Callable, times: int, params: Any, state: Any) -> tuple[Any, Any]:
    """So many steps in one program."""
    return jax.lax.scan(lambda carry, _: (step(*carry), None), (params, state), length=times)[0]


def optax_tests(optimizers: dict[str, tuple[Factory, dict[str, Any]]]) -> type:
    """The class of optax's tests for these optimizers, each a factory and its keyword arguments."""
    spec = find_spec("optax._src.alias_test")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(), spec.origin)
    body: list[ast.stmt] = []
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="_OPTIMIZERS_UNDER_TEST")]):
                node.value = ast.Name("our_optimizers_under_test", ast.Load())
            case ast.FunctionDef(name="_get_opt"):
                continue
            case ast.ClassDef(name="AliasTest"):
                # This test is of optax's Adam and SGD and looks nothing up in the table.
                node.body = [n for n in node.body if getattr(n, "name", "") != "test_explicit_dtype"]
                node = Adapted().visit(node)
            case ast.ClassDef():
                continue
        body.append(node)
    tree.body = body

    module = types.ModuleType("optax_alias_test")
    module.__dict__.update(
        our_optimizers_under_test=tuple(
            {"opt_name": name, "opt_kwargs": kwargs} for name, (_, kwargs) in optimizers.items()
        ),
        _get_opt=lambda test, name: optimizers[name][0],
        repeat=repeat,
    )
    exec(compile(ast.fix_missing_locations(tree), spec.origin, "exec"), module.__dict__)
    return module.AliasTest


class TestTrained(optax_tests(TRAINED)):
    def setUp(self):
        super().setUp()
        # What optax's tests and wrappers are written for.
        self.enterContext(jax.numpy_dtype_promotion("standard"))


class TestUntrained(optax_tests(UNTRAINED)):
    def setUp(self):
        super().setUp()
        self.enterContext(jax.numpy_dtype_promotion("standard"))


# Their steps are sized for curvatures of about one, and in Rosenbrock's valley it is a thousand.
NOT_FOR_ROSENBROCK = {
    f"test_optimization{2 * i + 1}" for i, name in enumerate(TRAINED) if name.startswith("lstm-sparse")
}
for _name in NOT_FOR_ROSENBROCK:
    setattr(TestTrained, _name, None)

# What has not been trained does not converge.
for _name in dir(TestUntrained):
    if _name.startswith("test_optimization"):
        setattr(TestUntrained, _name, None)


def test_all_of_optax_tests_are_there():
    kinds = {
        "test_optimization": 2,
        "test_optimizers_accept_extra_args": 1,
        "test_optimizers_can_be_wrapped_in_inject_hyperparams": 1,
        "test_preserve_dtype": 2,
        "test_state_shape_dtype_shard_stability": 4,
        "test_gradient_accumulation": 2,
    }
    expected = {f"{kind}{i}" for kind, count in kinds.items() for i in range(count * len(TRAINED))}
    expected -= NOT_FOR_ROSENBROCK
    assert {
        name for name in dir(TestTrained) if name.startswith("test") and getattr(TestTrained, name)
    } == expected
