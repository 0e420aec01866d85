"""The next character of a text, by a small recurrent or attention network."""

from typing import Literal, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from learned_opt.core.errors import check_at_least
from learned_opt.core.types import Array, Key, Params, Task
from learned_opt.datasets.text import ALPHABET, docstrings, load_text
from learned_opt.tasks.registry import registry

NUM_SYMBOLS = len(ALPHABET) + 1
TEST_SHARE = 0.1
_TEST_PIECES = 256  # at most


class TextSplits(NamedTuple):
    """A text of the user's, resident on the device.

    Attributes:
        train: u8[n], what minibatches are drawn from.
        test: u8[m], its last tenth, for the metric only.
    """

    train: Array
    test: Array


@registry.register
def characters(
    network: Literal["attention", "gru", "lstm"] = "attention",
    width: int = 8,
    hidden_size: int = 16,
    num_layers: int = 1,
    length: int = 8,
    batch_size: int = 4,
    text: str | None = None,
) -> Task:
    r"""Cross-entropy of the next character in pieces of a text.

    .. math::

        f(x) = -\frac{1}{B L} \sum_{i=1}^{B} \sum_{t=1}^{L}
            \log \operatorname{softmax}(\mathrm{net}_x(c_{i,1}, \dots, c_{i,t}))_{c_{i,t+1}}

    The characters are embedded. The attention network has blocks of one causal head and a
    GELU layer, each behind a normalisation and beside a residual connection, and learned positions; the
    others are one recurrent layer. All problems share the text; they differ in their starting points and
    pieces.

    Args:
        network: `"attention"`, `"gru"` or `"lstm"`.
        width: of the embedding, and of the residual connections.
        hidden_size: of the GELU layers, or of the recurrent one.
        num_layers: blocks of the attention network.
        length: L, characters of a piece.
        batch_size: B, pieces in a minibatch, from random places.
        text: a text file in UTF-8, as in `datasets.load_text`; the documentation of Python's standard
            library, in 32 different characters, by default.

    Returns:
        The task; params as haiku makes them; its data is the text, u8[n]. With a file, the metric `test_loss`
        is on at most 256 pieces of the file's last tenth, which minibatches are not drawn from.

    Raises:
        ValueError: if an argument is out of its range, or the text is too short.
        FileNotFoundError: if there is no such file.

    Example:
        >>> task = characters()
        >>> keys = jax.random.split(jax.random.key(0), 2)
        >>> x, batch = jax.jit(task.init)(keys[0], ()), jax.jit(task.batch)(keys[1], (), task.data)
        >>> batch.shape, bool(2 < jax.jit(task.loss)(x, (), batch) < 6)
        ((4, 9), True)
    """
    if network not in ("attention", "gru", "lstm"):
        raise ValueError(f"network={network!r}: choose 'attention', 'gru' or 'lstm'")
    check_at_least(
        1, width=width, hidden_size=hidden_size, num_layers=num_layers, length=length, batch_size=batch_size
    )
    data, num_symbols = _text(text, length)
    cores = {"gru": hk.GRU, "lstm": hk.LSTM}

    def logits(symbols: Array) -> Array:
        x = hk.Embed(num_symbols, width)(symbols)
        if network == "attention":
            x = _attention(x, hidden_size, num_layers)
        else:
            core = cores[network](hidden_size)
            x, _ = hk.dynamic_unroll(core, x, core.initial_state(x.shape[0]), time_major=False)
        return hk.Linear(num_symbols, name="next")(x)

    net = hk.without_apply_rng(hk.transform(logits))

    def init(key: Key, problem: tuple[()]) -> Params:
        del problem
        return net.init(key, jnp.zeros((1, length), jnp.int32))

    def batch(key: Key, problem: tuple[()], data: Array | TextSplits) -> Array:
        del problem
        symbols = data.train if isinstance(data, TextSplits) else data
        starts = jax.random.randint(key, (batch_size, 1), 0, symbols.shape[0] - length)
        return _pieces(symbols, starts, length)

    def loss(params: Params, problem: tuple[()], batch: Array) -> Array:
        del problem
        predicted = net.apply(params, batch[:, :-1])
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(predicted, batch[:, 1:]))

    def metrics(params: Params, problem: tuple[()], data: TextSplits) -> dict[str, Array]:
        last = data.test.shape[0] - length - 1
        starts = jnp.linspace(0, last, min(_TEST_PIECES, last + 1)).astype(jnp.int32)
        return {"test_loss": loss(params, problem, _pieces(data.test, starts[:, None], length))}

    return Task(lambda key: (), init, batch, loss, data, None if text is None else metrics)


def _text(path: str | None, length: int) -> tuple[Array | TextSplits, int]:
    """The data, and how many symbols there are."""
    if path is None:
        return jnp.asarray(docstrings()), NUM_SYMBOLS
    symbols, characters = load_text(path)
    cut = round(len(symbols) * (1 - TEST_SHARE))
    if len(symbols) - cut <= length:
        raise ValueError(
            f"{path} has {len(symbols)} characters; its last tenth, which is for the test, must hold more "
            f"than length={length!r}"
        )
    return TextSplits(jnp.asarray(symbols[:cut]), jnp.asarray(symbols[cut:])), len(characters) + 1


def _pieces(symbols: Array, starts: Array, length: int) -> Array:
    return symbols[starts + jnp.arange(length + 1)[None]].astype(jnp.int32)


def _attention(x: Array, hidden_size: int, num_layers: int) -> Array:
    """Blocks of causal attention f32[B, L, width] -> f32[B, L, width]."""
    _, length, width = x.shape
    x = x + hk.get_parameter("positions", (1, length, width), init=hk.initializers.RandomNormal(0.1))
    causal = jnp.tril(jnp.ones((1, length, length), bool))
    for _ in range(num_layers):
        z = _normalized(x)
        query, key, value = (hk.Linear(width, with_bias=False, name=n)(z) for n in ("query", "key", "value"))
        scores = jnp.einsum("bid,bjd->bij", query, key) / jnp.sqrt(jnp.float32(width))
        read = jax.nn.softmax(jnp.where(causal, scores, -1e9)) @ value
        x = x + hk.Linear(width, with_bias=False, name="read")(read)
        z = jax.nn.gelu(hk.Linear(hidden_size, name="wide")(_normalized(x)))
        x = x + hk.Linear(width, with_bias=False, name="narrow")(z)
    return x


def _normalized(x: Array) -> Array:
    return hk.LayerNorm(axis=-1, create_scale=True, create_offset=False)(x)
