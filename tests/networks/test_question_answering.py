"""The network that chooses answers."""

import functools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from learned_opt import tasks
from learned_opt.networks.question_answering import _read


def test_padding_leaves_the_state_as_it_is():
    def state_after(words):
        core = hk.LSTM(3)
        embed = hk.Embed(5, 4)
        first = hk.LSTMState(jnp.ones((words.shape[0], 3)), jnp.ones((words.shape[0], 3)))
        return _read(core, embed, words, first).hidden

    net = hk.without_apply_rng(hk.transform(state_after))
    words = jnp.array([[2, 3, 0, 0], [2, 3, 4, 0], [0, 0, 0, 0]])
    params = net.init(jax.random.key(0), words)
    found = net.apply(params, words)
    np.testing.assert_allclose(found[:1], net.apply(params, words[:1, :2]), rtol=1e-6)
    np.testing.assert_allclose(found[1:2], net.apply(params, words[1:2, :3]), rtol=1e-6)
    np.testing.assert_array_equal(found[2], 1)


def test_scores_of_texts_and_of_regions():
    image, words = jnp.zeros((2, 8, 8, 3), jnp.uint8), jnp.ones((2, 15), jnp.int32)
    told = {"image": image, "question": words, "choices": jnp.ones((2, 4, 5), jnp.int32)}
    pointed = {"image": image, "question": words, "regions": jnp.zeros((2, 4, 8, 8, 3), jnp.uint8)}
    for batch in (told, pointed):
        batch |= {"answer": jnp.zeros(2, jnp.int32)}
        task = tasks.question_answerer(20, hidden_size=4, channels=(4, 4, 4, 4))
        params, state = jax.eval_shape(task.init, jax.random.key(0), batch)
        answers = functools.partial(task.answers, is_training=True)
        found, _ = jax.eval_shape(answers, params, state, batch)
        assert found.loss.shape == found.right.shape == (2,)


def test_residual_networks_have_the_published_number_of_params():
    batch = {"image": jnp.zeros((1, 224, 224, 3), jnp.uint8), "label": jnp.zeros(1, jnp.int32)}
    for name, published in (("resnet18", 11_689_512), ("resnet50", 25_557_032)):
        task = tasks.image_classifier(name, 1000)
        params, _ = jax.eval_shape(task.init, jax.random.key(0), batch)
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == published
