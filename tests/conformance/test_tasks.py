"""What every task must do. A task takes part by being in the table."""

import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from learned_opt.core.types import Task
from learned_opt.tasks import (
    associative_recall,
    autoencoder,
    characters,
    classification,
    convex_term,
    copy,
    function_fit,
    gradient_noise,
    low_rank_adapters,
    matrix_factorization,
    mixture,
    neural_programmer,
    normalized_loss,
    physics_informed,
    quadratic,
    random_scaling,
    registry,
    regression,
    repeat_copy,
    resnet,
    rosenbrock,
    rotations,
    sparse_coding,
    style_transfer,
    vae,
)
from learned_opt.training import evaluate_with_metrics

DIGITS_BYTES = 1e5  # of the data set; what a compiled loss bakes in is far below

# A task, and a learning rate of Adam that lowers its loss.
UNDER_TEST = {
    "quadratic": (lambda: quadratic(dim=4), 0.1),
    "quadratic-conditioned": (lambda: quadratic(dim=4, condition_number=100.0), 0.1),
    "classification-mlp": (lambda: classification("digits"), 0.03),
    "classification-linear": (lambda: classification("digits", hidden_sizes=()), 0.03),
    "classification-conv": (
        lambda: classification(
            "digits", hidden_sizes=(8,), conv_channels=(4, 4), activation="relu", batch_size=32
        ),
        0.01,
    ),
    "classification-tanh": (
        lambda: classification("digits", hidden_sizes=(16, 8), activation="tanh"),
        0.01,
    ),
    "classification-few": (
        lambda: classification("digits", num_samples=24, label_noise=0.2, num_components=20, batch_size=8),
        0.03,
    ),
    "autoencoder": (autoencoder, 0.01),
    "characters-attention": (lambda: characters(num_layers=2, batch_size=16), 0.03),
    "characters-gru": (lambda: characters("gru", batch_size=16), 0.03),
    "characters-lstm": (lambda: characters("lstm", batch_size=16), 0.03),
    "function-fit": (function_fit, 0.02),
    "low-rank-adapters": (low_rank_adapters, 0.03),
    "matrix-factorization": (lambda: matrix_factorization(observed=0.8, noise=0.1), 0.03),
    "regression": (lambda: regression(noise=0.1, batch_size=16), 0.1),
    "regression-logistic": (lambda: regression(kind="logistic", num_samples=32), 0.3),
    "copy": (lambda: copy(2, 2, 4, hidden_size=16, num_slots=4, word_size=4), 0.03),
    "repeat-copy": (lambda: repeat_copy(2, 1, 2, hidden_size=16, num_slots=3, word_size=4), 0.03),
    "associative-recall": (
        lambda: associative_recall(2, 1, 2, hidden_size=16, num_slots=4, word_size=4, num_reads=1),
        0.03,
    ),
    "rosenbrock": (lambda: rosenbrock(dim=4, log_range=3.0), 0.03),
    "convex-term": (lambda: convex_term(quadratic(dim=4)), 0.1),
    "gradient-noise": (lambda: gradient_noise(quadratic(dim=4), deviation=0.1), 0.1),
    "mixture-quadratic": (
        lambda: mixture((quadratic(dim=4), quadratic(dim=4, condition_number=100.0))),
        0.1,
    ),
    "normalized-loss": (lambda: normalized_loss(classification("digits", hidden_sizes=(8,))), 0.03),
    "random-scaling-loss": (
        lambda: random_scaling(quadratic(dim=4), log_range=1.0, level="all", loss_log_range=2.0),
        0.1,
    ),
    "random-scaling-quadratic": (lambda: random_scaling(quadratic(dim=4), log_range=1.0), 0.1),
    "random-scaling-classification": (
        lambda: random_scaling(classification("digits", hidden_sizes=(8,)), log_range=3.0),
        0.03,
    ),
    "sparse-coding": (sparse_coding, 0.1),
    "sparse-coding-subgradient": (lambda: sparse_coding(snr_db=20.0, form="subgradient"), 0.1),
    "sparse-coding-group": (
        lambda: sparse_coding(dictionary="ill_conditioned", penalty="group", group_size=5, optimum_steps=9),
        0.1,
    ),
    "sparse-coding-recovery": (
        lambda: sparse_coding(40, 20, penalty="l0", objective="recovery", dictionary_seed=1),
        0.1,
    ),
    "sparse-coding-patches": (
        lambda: sparse_coding(16, 30, dictionary="natural_images", snr_db=30.0),
        0.1,
    ),
    "neural-programmer": (lambda: neural_programmer(num_columns=2, num_rows=4, width=8), 0.03),
    "physics-informed": (lambda: physics_informed(hidden_sizes=(16,), num_frequencies=1), 0.03),
    "resnet": (lambda: resnet(widths=(4, 8), groups=2), 0.03),
    "rotations": (lambda: rotations(widths=(4, 8)), 0.02),
    "style-transfer": (lambda: style_transfer(size=16), 0.03),
    "vae": (lambda: vae(hidden_sizes=(16,), num_latents=2), 0.03),
}
# What the tasks report beside the loss.
METRICS = {
    "classification": {"test_loss", "test_accuracy"},
    "neural_programmer": {"exact_answers"},
    "physics_informed": {"relative_error"},
    "resnet": {"test_loss", "test_accuracy"},
    "rotations": {"test_accuracy"},
    **{
        name: {"bit_errors", "bit_errors_at_twice", "bit_errors_at_twice_with_room"}
        for name in ("copy", "repeat_copy", "associative_recall")
    },
    "sparse_coding": {"nmse_db", "support_f1", "objective"},
    "style_transfer": {"content_loss", "style_loss"},
    "vae": {"test_loss"},
}
# Of its first loss that a task is at least brought down to. Text and pixels keep an entropy that no network
# gets below; programs, differential equations and deep networks take longer.
SHARES = {
    "characters": 0.75,
    "neural-programmer": 0.8,
    "physics-informed": 0.75,
    "resnet": 0.7,
    "vae": 0.75,
}
NUM_PROBLEMS = 3

every = pytest.mark.parametrize("name", UNDER_TEST)


@functools.cache
def task_of(name: str) -> Task:
    return UNDER_TEST[name][0]()


def draw(task: Task, key, data):
    """One problem, a starting point, a batch, the loss there and its gradient."""
    sample_key, init_key, batch_key = jax.random.split(key, 3)
    problem = task.sample(sample_key)
    params = task.init(init_key, problem)
    batch = task.batch(batch_key, problem, data)
    loss, grad = jax.value_and_grad(task.loss)(params, problem, batch)
    return problem, params, batch, loss, grad


@functools.cache
def draw_one(name: str):
    return jax.jit(functools.partial(draw, task_of(name)))


@functools.cache
def draw_many(name: str):
    """The same for several problems side by side."""
    return jax.jit(jax.vmap(functools.partial(draw, task_of(name)), in_axes=(0, None)))


def draws(name: str, seed: int = 0):
    keys = jax.random.split(jax.random.key(seed), NUM_PROBLEMS)
    return draw_many(name)(keys, task_of(name).data)


def test_every_registered_task_is_under_test():
    tested = {task_of(name).config.name for name in UNDER_TEST}
    assert tested == set(registry.names()), "put every registered task into UNDER_TEST"


@every
def test_problems_are_drawn_under_jit_and_vmap(name: str):
    problems, params, batches, losses, gradients = draws(name)
    chex.assert_tree_shape_prefix((problems, params, batches), (NUM_PROBLEMS,))
    chex.assert_shape(losses, (NUM_PROBLEMS,))
    chex.assert_type(losses, jnp.float32)
    chex.assert_trees_all_equal_shapes_and_dtypes(gradients, params)
    chex.assert_tree_all_finite((problems, params, losses, gradients))
    if task_of(name).config.name == "low_rank_adapters":
        gradients = [layer["after"] for layer in gradients]  # those of the others are zero at the start
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(gradients))


@every
def test_key_decides(name: str):
    first, other = draws(name), draws(name, seed=1)
    chex.assert_trees_all_equal(draws(name), first)
    sizes = np.concatenate([jax.vmap(optax.tree.norm)(draw[4]) for draw in (first, other)])
    assert len(np.unique(sizes)) == 2 * NUM_PROBLEMS  # every key gives another problem
    starts = np.concatenate([jax.tree.leaves(draw[1])[-1] for draw in (first, other)])
    if task_of(name).config.name == "sparse_coding":
        assert not starts.any()  # a code is sought from zero on
        return
    assert len(np.unique(starts, axis=0)) == 2 * NUM_PROBLEMS


@every
def test_data_is_passed_and_not_closed_over(name: str):
    task = task_of(name)
    sizes = [
        np.asarray(c).nbytes
        for c in jax.make_jaxpr(functools.partial(draw, task))(jax.random.key(0), task.data).consts
    ]
    assert sum(sizes) < 4096
    data_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(task.data))
    assert data_bytes == 0 or data_bytes > DIGITS_BYTES
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(task.data))


@every
def test_one_problem_alone_is_the_first_of_many(name: str):
    key = jax.random.split(jax.random.key(0), NUM_PROBLEMS)[0]
    alone = draw_one(name)(key, task_of(name).data)
    first = jax.tree.map(lambda leaf: leaf[0], draws(name))
    chex.assert_trees_all_close(alone, first, rtol=1e-4, atol=1e-5)


@every
def test_other_data_does_not_recompile(name: str):
    task, draw, key = task_of(name), draw_one(name), jax.random.key(3)
    here, there = draw(key, task.data)[3], draw(key, jax.tree.map(jnp.zeros_like, task.data))[3]
    assert draw._cache_size() == 1
    assert bool(here == there) == (not jax.tree.leaves(task.data))


@every
def test_gradient_descent_lowers_the_loss(name: str, request):
    if name == "style-transfer":
        request.getfixturevalue("optimized")
    task, learning_rate = task_of(name), UNDER_TEST[name][1]
    curves, metrics = evaluate_with_metrics(
        optax.adam(learning_rate), task, num_steps=60, num_problems=NUM_PROBLEMS
    )
    assert np.all(np.isfinite(curves))
    share = next((share for family, share in SHARES.items() if name.startswith(family)), 0.6)
    assert curves[:, -5:].mean() < share * curves[:, 0].mean()
    for value in metrics.values():
        chex.assert_shape(value, (NUM_PROBLEMS,))
        assert np.all(np.isfinite(value))


@every
def test_small_step_along_the_gradient_lowers_every_problems_loss(name: str):
    task = task_of(name)
    problems, params, batches, losses, gradients = draws(name)
    square = jax.vmap(lambda g: optax.tree.norm(g, squared=True))(gradients)

    def along(p, g, size):
        return jax.tree.map(lambda x, d: x - size * d, p, g)

    sizes = 1e-2 * losses / square  # a predicted fall of 1 %
    moved = jax.vmap(along)(params, gradients, sizes)
    fall = losses - jax.jit(jax.vmap(task.loss))(moved, problems, batches)
    np.testing.assert_allclose(fall, 1e-2 * losses, rtol=0.3)


@every
def test_metrics_are_finite_scalars(name: str):
    task = task_of(name)
    innermost = getattr(task.config, "task", task.config)
    expected = METRICS.get(innermost.name, set())
    assert (task.metrics is not None) == bool(expected)
    if task.metrics is not None:
        problems, params, *_ = draws(name)
        metrics = jax.jit(jax.vmap(task.metrics, in_axes=(0, 0, None)))(params, problems, task.data)
        assert set(metrics) == expected | ({"gap"} if getattr(innermost, "optimum_steps", 0) else set())
        chex.assert_shape(list(metrics.values()), (NUM_PROBLEMS,))
        chex.assert_tree_all_finite(metrics)
        for fraction in {"test_accuracy", "support_f1"} & set(metrics):
            assert np.all((metrics[fraction] >= 0) & (metrics[fraction] <= 1))


@every
def test_config_makes_the_same_task(name: str):
    task = task_of(name)
    again = registry.from_json(json.loads(json.dumps(registry.to_json(task.config)))).make()
    assert again.config == task.config
    key = jax.random.key(3)
    ours = draw_one(name)(key, task.data)
    theirs = jax.jit(functools.partial(draw, again))(key, again.data)
    chex.assert_trees_all_equal(theirs, ours)
