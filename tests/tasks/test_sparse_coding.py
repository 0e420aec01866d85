import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Lasso

from learned_opt.tasks import SparseCoding, sparse_coding

KEYS = jax.random.split(jax.random.key(0), 64)


def draw(task, keys=KEYS) -> SparseCoding:
    """Problems as the loss sees them."""

    def one(key, data):
        return task.batch(key, task.sample(key), data)

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one, in_axes=(0, None)))(keys, task.data))


@pytest.mark.parametrize("dictionary", ["gaussian", "ill_conditioned", "natural_images"])
def test_columns_have_norm_one(dictionary: str):
    a = draw(sparse_coding(16, 40, dictionary)).dictionary
    assert a.shape == (64, 16, 40)
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=1e-5)
    assert len(np.unique(a[:, 0, 0])) > 60  # a new dictionary each


def test_gaussian_columns_point_anywhere():
    a = draw(sparse_coding(16, 40)).dictionary
    assert abs(a.mean()) < 5e-3
    coherence = np.einsum("bij,bik->bjk", a, a)[:, ~np.eye(40, dtype=bool)]
    assert coherence.std() == pytest.approx(1 / np.sqrt(16), rel=0.02)


@pytest.mark.parametrize(("m", "n", "ratio"), [(25, 50, 43.0), (64, 128, 47.0)])
def test_condition_number_is_nearly_the_given_one(m: int, n: int, ratio: float):
    a = draw(sparse_coding(m, n, "ill_conditioned", condition_number=50.0), KEYS[:8]).dictionary
    s = np.linalg.svd(a.astype(np.float64), compute_uv=False)
    assert np.mean(s[:, 0] / s[:, -1]) == pytest.approx(ratio, rel=0.05)
    # In between they fall geometrically.
    middle = s[:, m // 2] / np.sqrt(s[:, 0] * s[:, -1])
    assert np.mean(middle) == pytest.approx(1, abs=0.2)


def test_patches_are_mean_free_and_smooth():
    a = draw(sparse_coding(64, 80, "natural_images"), KEYS[:8]).dictionary
    np.testing.assert_allclose(a.mean(axis=1), 0, atol=1e-6)
    pixels = a.transpose(0, 2, 1).reshape(8, 80, 8, 8)
    assert np.mean(pixels[..., 1:] * pixels[..., :-1]) > 0.4 * np.mean(pixels**2)
    columns = np.round(a, 5).transpose(0, 2, 1)
    assert all(len(np.unique(c, axis=0)) == 80 for c in columns)  # no patch twice


def test_codes_are_bernoulli_gaussian():
    codes = draw(sparse_coding(4, 500, sparsity=0.1)).code
    assert np.mean(codes != 0) == pytest.approx(0.1, abs=0.005)
    assert codes[codes != 0].std() == pytest.approx(1, abs=0.05)
    assert abs(codes[codes != 0].mean()) < 0.05


def test_groups_are_active_as_a_whole():
    codes = draw(sparse_coding(4, 500, sparsity=0.2, penalty="group", group_size=5)).code
    active = (codes != 0).reshape(64, 100, 5)
    assert np.all(active.all(axis=2) == active.any(axis=2))
    assert active.mean() == pytest.approx(0.2, abs=0.02)


def test_no_code_is_zero():
    task = sparse_coding(4, 10, sparsity=1e-6, optimum_steps=50)
    assert np.all(np.sum(draw(task).code != 0, axis=1) == 1)
    metrics = task.metrics(jnp.zeros(10), task.sample(KEYS[0]), task.data)
    assert np.all(np.isfinite(list(metrics.values())))


@pytest.mark.parametrize("dictionary", ["gaussian", "natural_images"])
def test_measurements_have_the_given_signal_to_noise_ratio(dictionary: str):
    a, code, y = draw(sparse_coding(64, 80, dictionary, snr_db=20.0))
    signal = np.einsum("bij,bj->bi", a, code)
    ratios = np.sum((y - signal) ** 2, axis=1) / np.sum(signal**2, axis=1)
    assert -10 * np.log10(ratios.mean()) == pytest.approx(20, abs=0.3)
    a, code, y = draw(sparse_coding(64, 80, dictionary))
    np.testing.assert_allclose(y, np.einsum("bij,bj->bi", a, code), atol=1e-5)


@pytest.mark.parametrize("dictionary", ["gaussian", "ill_conditioned", "natural_images"])
def test_seed_fixes_the_dictionary_and_nothing_else(dictionary: str):
    one, other = (draw(sparse_coding(16, 40, dictionary, dictionary_seed=s), KEYS[:3]) for s in (0, 1))
    assert np.all(one.dictionary == one.dictionary[:1])
    assert np.any(one.dictionary != other.dictionary)
    np.testing.assert_array_equal(one.code, other.code)
    assert len(np.unique(one.code.sum(axis=1))) == 3


BY_HAND = SparseCoding(jnp.eye(4), code=jnp.float32([3, 0, 0, 0]), measurement=jnp.float32([3, 1, 0, 0]))
X = jnp.float32([1, 2, 0, 0])


@pytest.mark.parametrize(
    ("penalty", "omega", "f1", "proximal"),
    [
        ("l1", 3, 2 / 3, [0.5, 1.5, 0, 0]),
        ("l0", 2, 2 / 3, [0, 2, 0, 0]),  # below sqrt(2 * 0.5)
        ("group", np.sqrt(5), 1, [1 - 0.5 / np.sqrt(5), 2 - 1 / np.sqrt(5), 0, 0]),
    ],
)
def test_losses_metrics_and_operator_by_hand(penalty, omega, f1, proximal):
    task = sparse_coding(4, 4, penalty=penalty, weight=0.5, group_size=2)
    x = X - jnp.float32([1e-3, 0, 0, 0]) if penalty == "l0" else X
    smooth = 0.5 * (2**2 + 1**2)
    assert float(task.smooth(X, BY_HAND, BY_HAND)) == smooth
    assert float(task.loss(X, BY_HAND, BY_HAND)) == pytest.approx(smooth + 0.5 * omega)
    np.testing.assert_allclose(task.prox(x, 1.0), proximal, atol=1e-6)
    metrics = task.metrics(X, BY_HAND, ())
    assert float(metrics["nmse_db"]) == pytest.approx(10 * np.log10((2**2 + 2**2) / 3**2), abs=1e-4)
    assert float(metrics["support_f1"]) == pytest.approx(f1)
    assert float(metrics["objective"]) == pytest.approx(smooth + 0.5 * omega)

    recovery = sparse_coding(4, 4, penalty=penalty, weight=0.5, group_size=2, objective="recovery")
    assert float(recovery.loss(X, BY_HAND, BY_HAND)) == pytest.approx(8 / 9)
    assert float(recovery.smooth(X, BY_HAND, BY_HAND)) == smooth
    perfect = recovery.metrics(BY_HAND.code, BY_HAND, ())
    assert float(perfect["nmse_db"]) == pytest.approx(-150)
    assert float(perfect["support_f1"]) == 1


@pytest.mark.parametrize("penalty", ["l1", "l0", "group"])
def test_subgradient_form_sees_the_whole_objective(penalty: str):
    task = sparse_coding(4, 4, penalty=penalty, weight=0.5, group_size=2, form="subgradient")
    assert task.prox is None
    assert task.smooth is None
    slope = {"l1": [1, 1, 0, 0], "l0": [0] * 4, "group": [1 / np.sqrt(5), 2 / np.sqrt(5), 0, 0]}[penalty]
    expected = np.float32([1 - 3, 2 - 1, 0, 0]) + 0.5 * np.float32(slope)
    np.testing.assert_allclose(jax.grad(task.loss)(X, BY_HAND, BY_HAND), expected, atol=1e-6)
    recovery = sparse_coding(4, 4, penalty=penalty, weight=0.5, form="subgradient", objective="recovery")
    assert recovery.prox is None
    assert recovery.smooth is not None


def test_gap_is_to_the_optimum_of_scikit_learn():
    task = sparse_coding(weight=0.005, optimum_steps=3000)
    problem = jax.tree.map(np.asarray, task.sample(jax.random.key(5)))
    # scikit-learn divides the squared error by the number of rows.
    lasso = Lasso(alpha=0.005 / 25, fit_intercept=False, tol=1e-12, max_iter=1_000_000)
    best = lasso.fit(problem.dictionary.astype(np.float64), problem.measurement.astype(np.float64)).coef_
    optimum = float(task.loss(jnp.float32(best), problem, problem))
    assert float(task.metrics(jnp.float32(best), problem, ())["gap"]) == pytest.approx(0, abs=2e-6)
    at_zero = float(task.metrics(jnp.zeros(50), problem, ())["gap"])
    value = 0.5 * np.sum(problem.measurement**2)
    assert at_zero == pytest.approx((value - optimum) / optimum, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        ({"num_measurements": 0}, "num_measurements=0"),
        ({"num_atoms": 0}, "num_atoms=0"),
        ({"dictionary": "fourier"}, "fourier"),
        ({"condition_number": 0.5}, "condition_number=0.5"),
        ({"sparsity": 0.0}, "sparsity=0.0"),
        ({"sparsity": float("nan")}, "sparsity=nan"),
        ({"penalty": "l2"}, "l2"),
        ({"weight": -1.0}, "weight=-1.0"),
        ({"penalty": "group", "group_size": 3}, "group_size=3"),
        ({"group_size": 0}, "group_size=0"),
        ({"form": "dual"}, "dual"),
        ({"objective": "risk"}, "risk"),
        ({"optimum_steps": -1}, "optimum_steps=-1"),
        ({"penalty": "l0", "optimum_steps": 5}, "optimum_steps=5"),
        ({"dictionary": "natural_images", "num_measurements": 24}, "num_measurements=24"),
        ({"dictionary": "natural_images", "num_measurements": 25, "num_atoms": 100_000}, "num_atoms=100000"),
    ],
)
def test_arguments_out_of_range_are_quoted(arguments, quoted: str):
    with pytest.raises(ValueError, match=quoted):
        sparse_coding(**arguments)
