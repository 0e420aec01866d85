"""Predictions for a user's own binary problem, and what is said where they cannot be made."""

import contextlib

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_opt.cli import main
from learned_opt.in_context import predict
from learned_opt.in_context.memory.standardization import standardized


def problem(num_inputs: int, num: int = 160):
    rng = np.random.default_rng(num_inputs)
    x = rng.normal(size=(num, num_inputs))
    return x, (x[:, 0] > 0) != (x[:, 1] > 0)


def test_predicts_what_no_line_separates():
    x, y = problem(2, 400)
    p = predict(x[:150], y[:150], x[150:])
    assert p.shape == (250,)
    assert np.all((p > 0) & (p < 1))
    assert np.mean((p > 0.5) == y[150:]) > 0.85


@pytest.mark.parametrize("num_inputs", [2, 4, 6])
def test_scales_and_offsets_of_inputs_do_not_matter(num_inputs):
    x, y = problem(num_inputs)
    rng = np.random.default_rng(0)
    scale, offset = rng.uniform(0.1, 100, num_inputs), rng.normal(size=num_inputs)
    p, q = (predict(z[:100], y[:100], z[100:], num_orders=2) for z in (x, scale * x + offset))
    np.testing.assert_allclose(p, q, atol=2e-3)


def test_a_prediction_does_not_depend_on_the_other_queries():
    x, y = problem(2)
    p = predict(x[:100], y[:100], x[100:])
    np.testing.assert_allclose(predict(x[:100], y[:100], x[100:110]), p[:10], atol=1e-5)


def test_more_samples_than_an_order_shows():
    x, y = problem(2, 1000)
    p = predict(x[:900], y[:900], x[900:])
    assert np.mean((p > 0.5) == y[900:]) > 0.85


UNITS = {
    "small": lambda x: 1e-9 * x,
    "tiny": lambda x: 1e-300 * x,
    "large": lambda x: 1e20 * x,
    "beyond float32": lambda x: 1e39 * x,
    "almost beyond float64": lambda x: 1e307 * x,
    "seconds since 1970": lambda x: x + 1.7e9,
    "mixed": lambda x: (x + 1e3) * np.logspace(-30, 30, x.shape[1]),
    "long": lambda x: x.astype(np.longdouble),
    "strings": lambda x: x.astype(str),
}


@pytest.mark.parametrize("num_inputs", [2, 6])
@pytest.mark.parametrize("unit", UNITS)
def test_predictions_are_blind_to_units(unit, num_inputs):
    x, y = problem(num_inputs)
    p, q = (predict(z[:100], y[:100], z[100:], num_orders=2) for z in (x, UNITS[unit](x)))
    np.testing.assert_allclose(p, q, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.int64, np.uint64, bool, jnp.bfloat16])
def test_predictions_are_blind_to_dtypes(dtype):
    x, y = problem(2)
    x = x > 0 if dtype is bool else np.clip(np.round(10 * x), 0, 100)
    p, q = (predict(z[:100], y[:100], z[100:], num_orders=2) for z in (x, x.astype(dtype)))
    np.testing.assert_allclose(p, q, atol=1e-6)


def test_integers_beyond_float64_are_told_apart():
    x, y = problem(2)
    x = np.round(100 * x).astype(np.int64)
    p, q = (predict(z[:100], y[:100], z[100:], num_orders=2) for z in (x, x + 2**62))
    np.testing.assert_array_equal(p, q)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=2, max_size=9),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_column_has_deviation_1_or_is_named(column, query):
    x, q = np.array(column)[:, None], np.array([[query]])
    if len(set(column)) == 1:
        with pytest.raises(ValueError, match=r"inputs\[:, 0\] is"):
            standardized(x, q)
        return
    with contextlib.suppress(ValueError):
        _, w = standardized(x, q)  # or the query is too far
        assert np.isfinite(w).all()
    z, _ = standardized(x, x)
    np.testing.assert_allclose([z.mean(), z.std()], [0, 1], atol=1e-9)
    assert np.all(np.diff(z[np.argsort(x[:, 0]), 0]) >= 0)


X, Y, Q = np.arange(6.0).reshape(3, 2), np.array([0, 1, 1]), np.zeros((1, 2))


@pytest.mark.parametrize(
    ("inputs", "targets", "queries", "match"),
    [
        (X[0], Y, Q, r"inputs of shape \(2,\): give \[samples, inputs\]"),
        (X[:0], Y[:0], Q, r"inputs of shape \(0, 2\)"),
        (X, Y[:2], Q, r"targets of shape \(2,\) for inputs of shape \(3, 2\)"),
        (X, Y, Q[:, :1], "queries of 1 inputs for samples of 2"),
        (X, Y + 1, Q, r"targets hold 1.0, 2.0; they must be 0 and 1"),
        (X, 0 * Y, Q, r"targets hold 0.0; they must be 0 and 1"),
        (X, ["a", "b", "b"], Q, "targets are not numbers"),
        ([[1, 2], [1], [1, 2]], Y, Q, "inputs are not numbers in rows of the same length"),
        (np.where(np.eye(3, 2), np.nan, 1), Y, Q, r"inputs\[0, 0\] is nan: values must not be missing"),
        (X, Y, [[1, np.inf]], r"queries\[0, 1\] is inf"),
        (X, [0, np.nan, 1], Q, r"targets\[1\] is missing"),
        (X * [1, 0], Y, Q, r"inputs\[:, 1\] is 0.0 in every sample"),
        (np.float16(X) * [0, 1], Y, Q, r"inputs\[:, 0\] is 0.0 in every sample"),
        (np.full((3, 2), 2**62), Y, Q, r"inputs\[:, 0\] is 4611686018427387904 in every sample"),
        (1e-9 * X, Y, [[1e30, 0]], r"queries\[0, 0\] is 1e\+30, more than 1e\+18 deviations"),
        ([[1, 10**400], [2, 3], [4, 5]], Y, Q, "inputs are not numbers .*too large"),
        (X * 1j, Y, Q, "inputs are not numbers .*complex"),
        (np.ma.masked_equal(X, 3), Y, Q, "inputs are not numbers .*masked"),
    ],
)
def test_what_is_wrong_is_said(inputs, targets, queries, match):
    with pytest.raises(ValueError, match=match):
        predict(inputs, targets, queries)


def test_unknown_weights_and_no_orders_are_refused():
    with pytest.raises(ValueError, match="weight-memory"):
        predict(X, Y, Q, weights="weight-memori")
    with pytest.raises(ValueError, match="num_orders=0"):
        predict(X, Y, Q, num_orders=0)


def write(path, rows) -> str:
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def rows_of(x, targets):
    return ["a,b,label", *(f"{a},{b},{t}" for (a, b), t in zip(x, targets, strict=True))]


def test_command_predicts_rows_without_a_target(tmp_path, capsys):
    x, y = problem(2)
    labels = np.where(y, "yes", "no").astype(object)
    data = write(tmp_path / "d.csv", rows_of(x, [*labels[:150], *[""] * 10]))
    main(["predict", data])
    lines = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["row", "prediction", "probability of yes"]
    assert [line[0] for line in lines[1:]] == [str(i) for i in range(152, 162)]
    assert np.mean([line[1] for line in lines[1:]] == labels[150:]) >= 0.8


def test_command_predicts_another_file_and_arrays_alike(tmp_path, capsys):
    x, y = problem(2)
    data = write(tmp_path / "d.csv", rows_of(x[:150], y[:150].astype(int)))
    # The columns in another order, and no target.
    queries = write(tmp_path / "q.csv", ["b,a", *(f"{b},{a}" for a, b in x[150:])])
    np.savez(tmp_path / "d.npz", inputs=x[:150], targets=y[:150], queries=x[150:])
    main(["predict", data, "--queries", queries, "--out", str(tmp_path / "p.csv")])
    main(["predict", str(tmp_path / "d.npz"), "--out", str(tmp_path / "r.csv")])
    first, second = (
        [line.split(",")[1:] for line in (tmp_path / name).read_text().splitlines()]
        for name in ("p.csv", "r.csv")
    )
    assert first == second
    assert "10 predictions from 150 samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (["a,b,label", "1,2,x", "3,,y", "1,1,"], "line 3, column 'b': a value is missing"),
        (["a,b,label", "1,2,x", "3,q,y", "1,1,"], "line 3, column 'b': 'q' is no number"),
        (["a,b,label", "1,2,x", "3,nan,y", "1,1,"], "line 3, column 'b': nan is missing or infinite"),
        (["a,b,label", "1,2,x", "3,4", "1,1,"], "line 3: 2 values for 3 columns"),
        (["a,b,label", "1,2,x", "3,4,y", "3,4,z", "1,1,"], "holds 3 different values"),
        (["a,b,label", "1,2,x", "3,4,y"], "there is nothing to predict"),
        (["a,a,label", "1,2,x", "3,4,"], "names a column twice"),
        (["a,b,label"], "rows below it"),
    ],
)
def test_command_says_what_is_wrong_with_a_file(tmp_path, capsys, rows, match):
    with pytest.raises(SystemExit):
        main(["predict", write(tmp_path / "d.csv", rows)])
    assert match in capsys.readouterr().err


def test_command_says_which_files_and_columns_there_are(tmp_path, capsys):
    data = write(tmp_path / "d.csv", ["a,b,label", "1,2,x", "3,4,y"])
    for words, match in (
        ([str(tmp_path / "none.csv")], "no such file"),
        ([data, "--target", "c"], "no column 'c'; it has a, b, label"),
        ([data, "--queries", write(tmp_path / "q.csv", ["a,c", "1,2"])], "no column 'b'"),
    ):
        with pytest.raises(SystemExit):
            main(["predict", *words])
        assert match in capsys.readouterr().err
