import jax
import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt import datasets
from learned_opt.tasks import classification
from learned_opt.tasks.classification import ACTIVATIONS

NUMPY_ACTIVATIONS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "gelu": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_is_the_cross_entropy_of_the_network(activation: str):
    task = classification("digits", hidden_sizes=(6, 5), activation=activation, batch_size=16)
    params = task.init(jax.random.key(0), ())
    images, labels = task.batch(jax.random.key(1), (), task.data)
    x = np.asarray(images, np.float64).reshape(16, 64) / 255
    layers = [params[name] for name in sorted(params)]
    assert [layer["w"].shape for layer in layers] == [(64, 6), (6, 5), (5, 10)]
    for i, layer in enumerate(layers):
        x = x @ np.asarray(layer["w"], np.float64) + np.asarray(layer["b"])
        x = NUMPY_ACTIVATIONS[activation](x) if i < 2 else x
    log_probabilities = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    expected = -np.mean(log_probabilities[np.arange(16), np.asarray(labels)])
    np.testing.assert_allclose(task.loss(params, (), (images, labels)), expected, rtol=1e-5)


def test_an_equal_chance_for_all_classes_is_log_of_their_number():
    task = classification("digits", hidden_sizes=())
    params = jax.tree.map(jnp.zeros_like, task.init(jax.random.key(0), ()))
    metrics = task.metrics(params, (), task.data)
    np.testing.assert_allclose(metrics["test_loss"], np.log(10), rtol=1e-5)
    share_of_zeros = np.mean(np.asarray(task.data.test_labels) == 0)
    np.testing.assert_allclose(metrics["test_accuracy"], share_of_zeros, rtol=1e-5)


def test_weights_start_with_deviation_one_over_root_of_inputs():
    task = classification("digits", hidden_sizes=(200,))
    params = task.init(jax.random.key(0), ())
    (first, second) = (params[name] for name in sorted(params))
    assert float(first["w"].std()) == pytest.approx(1 / 8, rel=0.15)
    assert float(second["w"].std()) == pytest.approx(200**-0.5, rel=0.15)
    assert not np.any(first["b"])
    other = task.init(jax.random.key(1), ())
    assert not np.allclose(other[sorted(params)[0]]["w"], first["w"])


def test_convolutions_come_first_and_the_second_has_stride_two():
    task = classification("digits", hidden_sizes=(7,), conv_channels=(3, 5), activation="relu")
    shapes = jax.tree.map(jnp.shape, task.init(jax.random.key(0), ()))
    weights = sorted((layer["w"] for layer in shapes.values()), key=len)
    assert weights == [(4 * 4 * 5, 7), (7, 10), (3, 3, 1, 3), (3, 3, 3, 5)]


def test_minibatches_are_drawn_from_the_split_with_replacement():
    task = classification("digits", split="train[:30]", batch_size=200)
    assert task.data.images.shape == (30, 8, 8, 1)
    assert task.data.images.dtype == jnp.uint8
    images, labels = task.batch(jax.random.key(0), (), task.data)
    known = {
        (image.tobytes(), int(label)) for image, label in zip(*map(np.asarray, task.data[:2]), strict=True)
    }
    drawn = {
        (image.tobytes(), int(label))
        for image, label in zip(np.asarray(images), np.asarray(labels), strict=True)
    }
    assert drawn <= known
    assert len(drawn) > 25  # of 30, in 200 draws


def test_metrics_are_of_the_whole_test_set_and_training_never_sees_it():
    task = classification("digits", split="train[:30]")
    test = datasets.load("digits", "test")
    np.testing.assert_array_equal(task.data.test_images, test.images)
    np.testing.assert_array_equal(task.data.test_labels, test.labels)
    params = task.init(jax.random.key(0), ())
    changed = task.data._replace(test_images=jnp.zeros_like(task.data.test_images))
    batches = [task.batch(jax.random.key(0), (), data) for data in (task.data, changed)]
    np.testing.assert_array_equal(batches[0][0], batches[1][0])
    before, after = (task.metrics(params, (), data) for data in (task.data, changed))
    assert before["test_loss"] != after["test_loss"]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("hidden_sizes", (20, 0)),
        ("hidden_sizes", (2.5,)),
        ("conv_channels", (-1,)),
        ("activation", "swish"),
        ("batch_size", 0),
    ],
)
def test_arguments_out_of_range_are_quoted(argument: str, value):
    with pytest.raises(ValueError, match=rf"^{argument}=") as error:
        classification("digits", **{argument: value})
    assert repr(value) in str(error.value)


def test_unknown_data_set_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="'digit'; did you mean 'digits'"):
        classification("digit")
