"""What a tensor controller does with each tensor, read off its state."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from learned_opt.optimizers.tensor_controller import TensorControllerState
from learned_opt.optimizers.tensor_statistics import AGREEMENT, RECENT, TensorStatistics


class TensorReadout(NamedTuple):
    """What was last done with a tensor.

    Attributes:
        relative_step: root mean square of the last update over that of the tensor.
        log_step: what the controller has added to the log of the step since the start.
        orthogonal: share of the orthogonalised direction in the last update.
        adam: share of Adam's direction.
        momentum: share of the momentum itself.
        fast_agreement: mean cosine of gradients with the momentum before them; below 0 steps are too long.
        slow_agreement: mean cosine of gradients with the trail of updates; above 0 steps are too short.
        size: root mean square of the tensor.
        age: updates whose gradient was not all zeros.
    """

    relative_step: float
    log_step: float
    orthogonal: float
    adam: float
    momentum: float
    fast_agreement: float
    slow_agreement: float
    size: float
    age: int


class Readout(dict[str, TensorReadout]):
    """By path of a parameter what was last done with it; `print` shows a table.

    Args:
        rows: of the parameters.

    Example:
        >>> row = TensorReadout(0.003, 0.0, 0.98, 0.01, 0.01, 0.5, 0.2, 1.0, 7)
        >>> print(str(Readout({"layer/w": row})).splitlines()[1].split()[:2])
        ['layer/w', '3.00e-03']
    """

    def __init__(self, rows: Mapping[str, TensorReadout] | None = None):
        super().__init__(rows or {})

    def __str__(self) -> str:
        heads = (
            "parameter",
            "relative step",
            "log step",
            "orthogonal",
            "adam",
            "momentum",
            "fast",
            "slow",
            "age",
        )
        rows = [
            (
                path,
                f"{r.relative_step:.2e}",
                *(f"{x:+.2f}" for x in (r.log_step,)),
                *(f"{x:.0%}" for x in (r.orthogonal, r.adam, r.momentum)),
                *(f"{x:+.2f}" for x in (r.fast_agreement, r.slow_agreement)),
                str(r.age),
            )
            for path, r in self.items()
        ]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines = [
            [
                head.ljust(w) if i == 0 else head.rjust(w)
                for i, (head, w) in enumerate(zip(row, widths, strict=True))
            ]
            for row in (heads, *rows)
        ]
        return "\n".join("  ".join(line) for line in lines)


def diagnose(state: Any) -> Readout:
    """What the tensor controller in an optimizer's state does with each parameter.

    Args:
        state: of `optimizers.tensor_controller`, alone or inside whatever wraps it: `optax.chain`,
            `partition`, `masked`, `inject_hyperparams`, `MultiSteps`, `safeguard`, a training loop's own.

    Returns:
        A `TensorReadout` for each parameter by its path, such as `"layer/w"`, on the host. Of parameters that
        two controllers update, one after the other, the second has " (2)" behind its path.

    Raises:
        ValueError: if there is no such state.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from learned_opt.optimizers import tensor_controller
        >>> lopt = tensor_controller()
        >>> tx = optax.chain(lopt.build(lopt.init(jax.random.key(0))), optax.scale(1.0))
        >>> params = {"w": jnp.ones((2, 2))}
        >>> _, state = tx.update({"w": jnp.eye(2)}, tx.init(params), params)
        >>> readout = diagnose(state)
        >>> round(readout["w"].relative_step, 4), readout["w"].age
        (0.003, 1)
    """
    found = Readout()
    for part in jax.tree.leaves(state, is_leaf=_is_controller):
        if not _is_controller(part):
            continue
        rows = jax.tree.structure(part.mu).flatten_up_to(part.statistics)
        for (path, _), row in zip(jax.tree.leaves_with_path(part.mu), jax.device_get(rows), strict=True):
            name = base = jax.tree_util.keystr(path, simple=True, separator="/") or "params"
            number = 1
            while name in found:
                number += 1
                name = f"{base} ({number})"
            found[name] = _readout(TensorStatistics(*np.moveaxis(np.asarray(row), -1, 0)))
    if not found:
        raise ValueError(
            "there is no state of a tensor controller in it; give the state that tx.update returned"
        )
    return found


def _is_controller(part: Any) -> bool:
    return isinstance(part, TensorControllerState)


def _readout(s: TensorStatistics) -> TensorReadout:
    # Means that start at zero, over the weights that they have had.
    fast, slow = (
        x / max(1 - decay**age, 1 - decay)
        for x, decay, age in ((s.fast, RECENT, s.age), (s.slow, AGREEMENT, s.age))
    )
    numbers = (
        s.relative,
        s.log_step,
        s.gate_orthogonal,
        s.gate_adam,
        s.gate_momentum,
        fast,
        slow,
        s.size,
    )
    return TensorReadout(*map(float, numbers), age=int(s.age))
