"""Networks unrolled from ISTA for one fixed dictionary: LISTA and ALISTA.

Signals come in batches, y f32[B, m], and each layer's codes are f32[B, n].

References:
    Gregor, LeCun, Learning fast approximations of sparse coding, ICML 2010 (LISTA).
    Liu, Chen, Wang, Yin, ALISTA: analytic weights are as good as learned weights in LISTA, ICLR 2019.
    Chen, Liu, Wang, Yin, Theoretical linear convergence of unfolded ISTA and its practical weights and
    thresholds, NeurIPS 2018 (support selection).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core import soft_threshold

Array = jax.Array
Theta = dict[str, Array]

# The share of entries that are trusted and not shrunk grows by so much a layer, up to a limit.
TRUSTED_A_LAYER, MOST_TRUSTED = 0.012, 0.13


class Network(NamedTuple):
    """A network unrolled for one dictionary."""

    init: Callable[[], Theta]
    codes: Callable[[Theta, Any, Array, int], Array]
    fixed: Any = ()  # not trained, passed so that jit does not bake them in


def lista(dictionary: Array, num_layers: int = 16) -> Network:
    """LISTA: `S_theta_k(W1 y + W2 x_k)`, matrices shared by all layers and a learned threshold a layer.

    It starts with ALISTA's weights, `W1 = W^T`, `W2 = I - W^T A`: as ISTA it would train many times as long.
    """
    a = np.asarray(dictionary, np.float64)
    weights = analytic_weights(a)

    def init() -> Theta:
        return {
            "w1": jnp.asarray(weights, jnp.float32),  # transposed, since the batch comes first
            "w2": jnp.asarray(np.eye(a.shape[1]) - a.T @ weights, jnp.float32),
            "log_threshold": jnp.full(num_layers, np.log(0.3), jnp.float32),
        }

    def codes(theta: Theta, fixed: Any, y: Array, num_layers: int) -> Array:
        del fixed
        thresholds = jnp.exp(theta["log_threshold"][:num_layers])
        driven = y @ theta["w1"]

        def layer(x: Array, threshold: Array) -> tuple[Array, Array]:
            x = soft_threshold(driven + x @ theta["w2"], threshold)
            return x, x

        return jax.lax.scan(layer, jnp.zeros_like(driven), thresholds)[1]

    return Network(init, codes)


def alista(dictionary: Array, num_layers: int = 16) -> Network:
    r"""ALISTA: two learned numbers a layer, a step size and a threshold, and analytic weights.

    .. math::

        x_{k+1} = S^{p_k}_{\theta_k}(x_k - \gamma_k W^\top (A x_k - y))

    The `p_k` largest entries, if above the threshold, are not shrunk. `w_i` is `(A A^T)^{-1} a_i`, scaled so
    that `w_i^T a_i = 1`: the least sum of squares of `W^T A`, to which the paper relaxes its coherence.
    """
    a = np.asarray(dictionary, np.float64)
    n = a.shape[1]
    fixed = jnp.asarray(a, jnp.float32), jnp.asarray(analytic_weights(a), jnp.float32)
    shares = np.minimum(TRUSTED_A_LAYER * np.arange(1, num_layers + 1), MOST_TRUSTED)
    trusted = jnp.asarray(np.maximum(n * shares, 1), jnp.int32)
    most_trusted = int(trusted[-1])

    def init() -> Theta:
        return {
            "log_step": jnp.zeros(num_layers, jnp.float32),
            "log_threshold": jnp.full(num_layers, np.log(0.3), jnp.float32),
        }

    def codes(theta: Theta, fixed: tuple[Array, Array], y: Array, num_layers: int) -> Array:
        a, weights = fixed

        def layer(x: Array, parameters: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            log_step, log_threshold, trusted = parameters
            moved = x - jnp.exp(log_step) * ((x @ a.T - y) @ weights)
            shrunk = soft_threshold(moved, jnp.exp(log_threshold))
            size = jnp.abs(jax.lax.stop_gradient(moved))
            least = jnp.take(jax.lax.top_k(size, most_trusted)[0], trusted - 1, axis=1)[:, None]
            x = jnp.where((size >= least) & (shrunk != 0), moved, shrunk)
            return x, x

        layers = theta["log_step"], theta["log_threshold"], trusted
        layers = jax.tree.map(lambda leaf: leaf[:num_layers], layers)
        return jax.lax.scan(layer, jnp.zeros((y.shape[0], n), y.dtype), layers)[1]

    return Network(init, codes, fixed)


def analytic_weights(dictionary: Any) -> np.ndarray:
    """W of ALISTA, f64[m, n]: the least sum of squared inner products with the atoms, 1 with its own."""
    a = np.asarray(dictionary, np.float64)
    # A pseudoinverse, since patches without their mean do not span all measurements.
    w = np.linalg.pinv(a @ a.T, rcond=1e-6, hermitian=True) @ a
    return w / np.sum(w * a, axis=0)


NETWORKS = {"lista": lista, "alista": alista}
