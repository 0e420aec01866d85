"""The families, their sequences, and the limits that their Bayes-optimal predictors stand for."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.in_context import Examples, bayes_outputs, examples, families
from learned_opt.in_context.functions import bayes
from learned_opt.in_context.functions.quadratics import SCALED_COVARIANCE
from learned_opt.in_context.functions.sequences import last_shown


def bayes_errors(family, length: int, num: int, num_functions: int = 1, seed: int = 0):
    def one(key):
        drawn = examples(family, key, length, num_functions)
        return bayes_outputs(family, drawn, num_functions) - drawn.targets

    keys = jax.random.split(jax.random.key(seed), num)
    return np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=20))(keys))


def test_tables_are_the_sixteen_functions():
    assert len({tuple(t) for t in families.TABLES.tolist()}) == 16
    assert families.TABLES[families.XOR].tolist() == [0, 1, 1, 0]
    assert families.TABLES[families.XNOR].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(("num_functions", "held_out"), [(16, 3), (14, 3)])
def test_splits_share_nothing_and_cover_the_set(num_functions: int, held_out: int):
    seen = set()
    for split in range(5):
        drawn = {}
        for part in ("training", "held_out"):
            family = families.boolean(num_functions, held_out, split, part)
            functions = jax.vmap(family.sample)(jax.random.split(jax.random.key(0), 500))
            drawn[part] = {tuple(f) for f in functions.tolist()}
        assert len(drawn["held_out"]) == held_out
        assert len(drawn["training"]) == num_functions - held_out
        assert not drawn["held_out"] & drawn["training"]
        seen.add(tuple(sorted(drawn["held_out"])))
        if num_functions == 14:
            assert (0, 1, 1, 0) not in drawn["held_out"] | drawn["training"]
    assert len(seen) == 5


def test_families_are_their_formulas():
    x = jnp.array([0.5, -1.0])
    w = jnp.array([0.2, 0.4, -0.6])
    assert families.semilinear().evaluate(w, x) == pytest.approx(0.5 * (1 + np.tanh(0.1 - 0.4 - 0.6)))
    c = jnp.arange(1.0, 7.0) / 6
    y = c[0] * 0.25 + c[1] - 0.5 * c[2] + 0.5 * c[3] - c[4] + c[5]
    assert families.quadratic().evaluate(c, x) == pytest.approx(0.5 + 0.05 * float(y))


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_quadratics_end_where_they_should(sign: float):
    value = families.quadratic().evaluate(sign * jnp.ones(6), jnp.ones(2))
    assert value == pytest.approx(0.5 + 0.3 * sign)


@pytest.mark.parametrize(
    ("num_functions", "length", "mse", "accuracy"), [(16, 256, 0.0039, 0.992), (14, 64, 0.0148, 0.972)]
)
def test_boolean_limits(num_functions: int, length: int, mse: float, accuracy: float):
    """Four coin tosses of 16 functions: 4 * 0.25 / 256 and 1 - 4 * 0.5 / 256."""
    errors = bayes_errors(families.boolean(num_functions), length, 2000)
    assert np.square(errors).mean() == pytest.approx(mse, rel=0.03)
    tied = np.where(np.abs(errors) == 0.5, 0.5, np.abs(errors) < 0.5)
    assert tied.mean() == pytest.approx(accuracy, abs=0.002)


def test_the_training_predictor_excludes_what_is_held_out():
    """With AND and OR alone, the first (0, 1) tells them apart."""
    predictor = bayes.among_tables(jnp.asarray(families.TABLES[[0b0001, 0b0111]]))
    x = jnp.array([[1.0, 1], [0, 0], [0, 1], [1, 0]])
    assert predictor(x, jnp.array([1.0, 0, 1, 1])).tolist() == [1.0, 0.0, 0.5, 1.0]


def test_a_function_outside_the_set_breaks_nothing():
    predictor = bayes.among_tables(jnp.asarray(families.TABLES[[0b0001]]))
    x = jnp.zeros((3, 2))
    assert np.isfinite(predictor(x, jnp.ones(3))).all()


def test_quadratic_limit():
    squared = np.square(bayes_errors(families.quadratic(), 100, 1000)).mean(0)
    # Before any example: the variance, (1/3) (1/5 + 1/5 + 1/9 + 1/3 + 1/3 + 1) / 20^2.
    assert squared[0] == pytest.approx((1 / 3) * (98 / 45) / 400, rel=0.1)
    assert squared.mean() == pytest.approx(0.00005, rel=0.15)
    assert squared[10:].max() < 1e-6


def test_quadratics_that_are_scaled_each_fill_their_range():
    family = families.quadratic("each")
    functions = jax.vmap(family.sample)(jax.random.split(jax.random.key(0), 200))
    side = jnp.linspace(-1, 1, 81)
    grid = jnp.stack(jnp.meshgrid(side, side), axis=-1)
    values = np.asarray(jax.vmap(family.evaluate, (0, None))(functions, grid))
    np.testing.assert_allclose(values.min((1, 2)), 0.2, atol=1e-3)
    np.testing.assert_allclose(values.max((1, 2)), 0.8, atol=1e-3)
    drawn = np.asarray(jax.vmap(family.sample)(jax.random.split(jax.random.key(1), 50_000)))
    np.testing.assert_allclose(drawn.T @ drawn / len(drawn), SCALED_COVARIANCE, atol=3e-4)
    with pytest.raises(ValueError, match="unknown scaled 'all'"):
        families.quadratic("all")


@pytest.mark.parametrize("family", [families.quadratic(), families.semilinear()], ids=["linear", "particles"])
def test_one_that_is_not_told_starts_anew_where_a_function_is_contradicted(family):
    """From the second example of a function on it says what one says that is told where it begins."""
    drawn = examples(family, jax.random.key(0), 24, num_functions=3)
    untold = family.switching(1e-6)(drawn.inputs[:, :2], drawn.targets).reshape(3, 24)
    told = bayes_outputs(family, drawn, 3).reshape(3, 24)
    tolerance = 0.02 if family.sample(jax.random.key(0)).shape == (3,) else 1e-4  # there are fewer particles
    np.testing.assert_allclose(untold[0], told[0], atol=tolerance)
    np.testing.assert_allclose(untold[1:, 1:], told[1:, 1:], atol=tolerance)
    assert np.abs(untold[1:, 0] - told[1:, 0]).max() > 2 * tolerance


def test_semilinear_limit():
    squared = np.square(bayes_errors(families.semilinear(), 64, 300)).mean(0)
    assert squared[:3].sum() / 64 == pytest.approx(0.0020, rel=0.12)
    assert squared[5:].max() < 1e-5


def test_particles_are_the_posterior_of_two_examples():
    """Two examples leave a line through the cube, on which the posterior is uniform."""
    rng, predicted, exact = np.random.default_rng(0), [], []
    family = families.semilinear()
    for _ in range(5):
        w, x = rng.uniform(-1, 1, 3), rng.uniform(-1, 1, (3, 2))
        y = 0.5 * (1 + np.tanh(x @ w[:2] + w[2]))
        predicted.append(float(family.bayes(jnp.float32(x), jnp.float32(y))[2]))
        direction = np.cross(np.append(x[0], 1), np.append(x[1], 1))
        steps = np.linspace(-20, 20, 400_001)[:, None] * direction
        on_line = w + steps
        inside = on_line[(np.abs(on_line) <= 1).all(1)]
        exact.append(float((0.5 * (1 + np.tanh(inside[:, :2] @ x[2] + inside[:, 2]))).mean()))
    np.testing.assert_allclose(predicted, exact, atol=0.02)


def test_several_functions_are_predicted_one_by_one():
    errors = np.abs(bayes_errors(families.boolean(), 32, 200, num_functions=3)).mean(0)
    assert errors[[0, 32, 64]] == pytest.approx(0.5)
    assert errors[[31, 63, 95]].max() < 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_functions": 15}, "num_functions=15"),
        ({"num_held_out": 16}, "num_held_out=16"),
        ({"part": "held_out"}, "give num_held_out"),
        ({"part": "test"}, "part='test'"),
    ],
)
def test_what_a_split_cannot_be(arguments, message: str):
    with pytest.raises(ValueError, match=message):
        families.boolean(**arguments)


def test_families_vmap_over_their_tables():
    """Many splits in one program: the tables may be traced."""

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def targets(tables, key):
        return examples(families.among(tables, tables), key, 8).targets

    tables = jnp.asarray(families.TABLES).reshape(4, 4, 4)
    assert targets(tables, jax.random.key(0)).shape == (4, 8)


def test_the_answer_last_shown():
    inputs = jnp.array([[0.0, 1, 0], [1, 1, 1], [0, 1, 0], [0, 1, 0]])
    drawn = Examples(inputs, jnp.array([1.0, 0, 0, 1]))
    assert last_shown(drawn).tolist() == [0.5, 0.5, 1.0, 0.0]
