"""A perceptron that is trained by gradient descent on the examples of a sequence: what a learner is to beat.

It says what it thinks of an example and then takes steps down the gradient of the squared error, on that
example alone or on the last ones together. Its state is its parameters and those of the optimizer, and it is
told no more than a function learner is.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from learned_opt import training
from learned_opt.core.types import Array, Key, Theta
from learned_opt.in_context.functions import evaluation, learners
from learned_opt.in_context.functions.families import Family
from learned_opt.in_context.functions.learners import FunctionLearner

RATES = tuple(float(rate) for rate in np.geomspace(1e-3, 10, 9))
FACTORS = (3.0, 10.0)  # a sweep whose best lies on its edge goes on by these
SWEEP_SEED, SWEEP_SEQUENCES = 0xDE5C, 100
Params = tuple[Array, Array, Array, Array]


class Descent(NamedTuple):
    """How a perceptron is trained on a sequence.

    Attributes:
        optimizer: of a learning rate.
        num_steps: after each example.
        num_last: examples that each step sees, the last ones.
        num_hidden: tanh units of the perceptron.
    """

    optimizer: Callable[[Any], optax.GradientTransformation]
    num_steps: int = 1
    num_last: int = 1
    num_hidden: int = 16


DESCENTS = {
    "MLP of 16 units by SGD, a step an example": Descent(optax.sgd),
    "MLP of 16 units by Adam, 10 steps an example on the last 32": Descent(optax.adam, 10, 32),
}


def learner(descent: Descent, rate: Any) -> FunctionLearner:
    """The perceptron as a function learner, whose theta is its first parameters; the rate may be traced."""
    tx = descent.optimizer(rate)

    def init(key: Key) -> Params:
        hidden_key, output_key = jax.random.split(key)
        hidden = jax.random.normal(hidden_key, (2, descent.num_hidden), jnp.float32) / 2**0.5
        output = jax.random.normal(output_key, (descent.num_hidden,), jnp.float32)
        return hidden, jnp.zeros(descent.num_hidden), output / descent.num_hidden**0.5, jnp.zeros(())

    def says(params: Params, x: Array) -> Array:
        w, b, v, c = params
        return jax.nn.sigmoid(jnp.tanh(x @ w + b[None, :]) @ v + c)

    def step(carry: Any, t: Array, x: Array, y: Array) -> tuple[Any, Array]:
        params, opt_state = carry
        # Examples t - num_last + 1 to t; those before the first count nothing.
        last = t - jnp.arange(descent.num_last)
        counted = (last >= 0).astype(jnp.float32)

        def loss(params: Params) -> Array:
            errors = says(params, x[last]) - y[last]
            return jnp.sum(counted * jnp.square(errors)) / counted.sum()

        def down(carry: Any, _: Any) -> tuple[Any, None]:
            params, opt_state = carry
            updates, opt_state = tx.update(jax.grad(loss)(params), opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), None

        said = says(params, x[t][None])[0]
        return jax.lax.scan(down, (params, opt_state), length=descent.num_steps)[0], said

    def predict(theta: Theta, inputs: Array) -> Array:
        # An example's target is the next one's input; that of the last is learned from too late to matter.
        x, y = inputs[:, :2], jnp.append(inputs[1:, 2], 0.0)
        body = lambda carry, t: step(carry, t, x, y)  # noqa: E731
        return jax.lax.scan(body, (theta, tx.init(theta)), jnp.arange(len(x)))[1]

    return learners.lstm()._replace(init=init, predict=predict, config=None)


def best_rate(descent: Descent, family: Family, length: int, num_functions: int = 1) -> training.Sweep:
    """The learning rate of the least mean squared error, on sequences that nothing is judged on."""
    keys = jax.random.split(jax.random.key(SWEEP_SEED), SWEEP_SEQUENCES)

    def error(rate: Array) -> Array:
        one = learner(descent, rate)
        theta = one.init(jax.random.key(SWEEP_SEED))
        return jnp.square(evaluation.judge(one, theta, family, keys, length, num_functions)[0]).mean()

    errors = jax.jit(jax.vmap(error))
    return training.sweep(lambda rates: errors(jnp.asarray(rates, jnp.float32)), RATES, factors=FACTORS)
