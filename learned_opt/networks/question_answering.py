"""Answering questions on pictures by choosing one of several answers.

Reference:
    Zhu, Groth, Bernstein, Fei-Fei, Visual7W: grounded question answering in images, CVPR 2016: an LSTM that
    is shown the picture first, then the words. Deviations: no attention over the picture; the conv net is
    trained with the rest; the score of a text is read off the state after its words.
"""

import haiku as hk
import jax
import jax.numpy as jnp

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array


class QuestionAnswerer(hk.Module):
    r"""The score of each answer to a question on a picture.

    .. math::

        h_0 = \mathrm{LSTM}(W_v v(I)), \qquad h_t = \mathrm{LSTM}(e(q_t), h_{t-1}), \qquad
        s_j = u^\top h_{q,a_j} \quad\text{or}\quad s_j = h_q^\top W_v v(I_j)

    :math:`v` are the features of a residual network, ResNet-18, of a picture I or of a region; the LSTM reads
    the picture, the question q and, for each choice on its own, the answer's words a.

    Args:
        num_words: that have numbers; 0 fills up.
        hidden_size: of the LSTM and of the embedding.
        channels: of the four stages of the residual network.
        name: of the module.

    Raises:
        ValueError: if a size is below 1.

    Example:
        >>> def scores(image, question, choices):
        ...     net = QuestionAnswerer(10, hidden_size=8, channels=(4, 4, 4, 4))
        ...     return net(image, question, choices, is_training=True)
        >>> net = hk.transform_with_state(scores)
        >>> image, words = jnp.zeros((2, 32, 32, 3), jnp.uint8), jnp.ones((2, 4, 5), jnp.int32)
        >>> with jax.numpy_dtype_promotion("standard"):  # which haiku's batch normalisation counts on
        ...     like = jax.eval_shape(net.init, jax.random.key(0), image, words[:, 0], words)
        ...     jax.eval_shape(net.apply, *like, None, image, words[:, 0], words)[0].shape
        (2, 4)

    Reference:
        Zhu et al., Visual7W, CVPR 2016, section 5.
    """

    def __init__(
        self,
        num_words: int,
        *,
        hidden_size: int = 512,
        channels: tuple[int, ...] = (64, 128, 256, 512),
        name: str | None = None,
    ):
        super().__init__(name=name)
        check_at_least(1, num_words=num_words, hidden_size=hidden_size)
        self.num_words, self.hidden_size, self.channels = num_words, hidden_size, tuple(channels)

    def __call__(self, image: Array, question: Array, choices: Array, *, is_training: bool) -> Array:
        """Scores f32[B, K].

        Args:
            image: u8[B, H, W, 3].
            question: i32[B, L], words.
            choices: i32[B, K, M], words; or u8[B, K, H, W, 3], regions.
            is_training: whether the residual network takes statistics from the batch.
        """
        count = choices.shape[1]
        pointing = choices.ndim == 5
        images = image[:, None]
        if pointing:
            images = jnp.concatenate([images, choices], axis=1)
        features = self._features(images, is_training)
        embed, core = hk.Embed(self.num_words, self.hidden_size), hk.LSTM(self.hidden_size)
        _, state = core(features[:, 0], core.initial_state(image.shape[0]))
        state = _read(core, embed, question, state)
        if pointing:
            return jnp.einsum("bh,bkh->bk", state.hidden, features[:, 1:]) / jnp.sqrt(
                jnp.float32(self.hidden_size)
            )
        state = jax.tree.map(lambda leaf: jnp.repeat(leaf, count, axis=0), state)
        state = _read(core, embed, choices.reshape(-1, choices.shape[-1]), state)
        return hk.Linear(1, name="score")(state.hidden).reshape(-1, count)

    def _features(self, images: Array, is_training: bool) -> Array:
        """u8[B, N, H, W, 3] -> f32[B, N, hidden_size]."""
        flat = images.reshape(-1, *images.shape[2:])
        net = hk.nets.ResNet(
            blocks_per_group=(2, 2, 2, 2),
            num_classes=self.hidden_size,
            bottleneck=False,
            channels_per_group=self.channels,
            use_projection=(False, True, True, True),
            initial_conv_config={"output_channels": self.channels[0]},
            logits_config={"w_init": None, "name": "features"},
        )
        features = net(flat.astype(jnp.float32) / 127.5 - 1, is_training=is_training)
        return features.reshape(*images.shape[:2], -1)


def _read(core: hk.LSTM, embed: hk.Embed, words: Array, state: hk.LSTMState) -> hk.LSTMState:
    """The state after words i32[B, L]; padding leaves it as it is."""
    _, states = hk.dynamic_unroll(core, embed(words), state, time_major=False, return_all_states=True)
    # Padding comes last: the state after the last word, or the first one where there is none.
    last = jnp.sum(words > 0, axis=1)

    def chosen(states: Array, first: Array) -> Array:
        every = jnp.concatenate([first[:, None], states], axis=1)
        return jnp.take_along_axis(every, last[:, None, None], axis=1)[:, 0]

    return jax.tree.map(chosen, states, state)
