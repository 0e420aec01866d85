"""A wrapper that hands a run over to another optimizer where the first one does harm, and back."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from learned_opt.core.types import Array, Params
from learned_opt.optimizers.watch import FEW, Watch

GROWN_STEP = 1e4  # how much updates may
STILL, STILL_STEPS = 1e-7, 50  # updates smaller than so much of the params, for so many steps, are none
VANISHED = 1e-3  # what is left of the first gradients where it is right to stand still
BACKED_OFF = 0.1  # what a return multiplies the updates by
LONGEST_HOLD = 2**20
TINY, SQUARED_TINY = 1e-37, 1e-15  # of entries, and of norms whose squares are still exact


class SafeguardState(NamedTuple):
    """State of a safeguarded optimizer.

    Attributes:
        inner: that of the optimizer.
        fallback: that of the fallback.
        good: the params where the run was best, leaves like the params'.
        watch: statistics of the run.
        trusted: bool[], whether the optimizer is in charge.
        fresh: bool[], whether what is in charge starts with the next step.
        back: bool[], whether the last update went back to the good params.
        left: i32[], steps for which the fallback stays in charge.
        hold: i32[], the same for the next time.
        scale: f32[], what the optimizer's updates are multiplied by.
        blame: f32[], the signal above which the last change of hands was the loss's own fault.
    """

    inner: Any
    fallback: Any
    good: Params
    watch: Watch
    trusted: Array
    fresh: Array
    back: Array
    left: Array
    hold: Array
    scale: Array
    blame: Array


def safeguard(
    tx: optax.GradientTransformation,
    fallback: optax.GradientTransformation | None = None,
    *,
    patience: int = 500,
    hold: int = 100,
) -> optax.GradientTransformationExtraArgs:
    r"""An optimizer that hands a run over to another one where it does harm, and gets it back later.

    As long as nothing is wrong, updates are those of `tx`. A change of hands follows

    - *divergence*: for ten steps more than not, the loss lies above the lowest mean of ten or so by six
      times its noise and half of what had been gained; or updates are not finite where gradients are. The
      params go back to where the mean loss was lowest, looked at every ten steps, in one update.
    - *stagnation*: after `patience` steps the mean loss is no lower than at first.
    - *frozen params*: fifty updates in a row below 1e-7 of the params, in spite of gradients.

    The fallback then has `hold` steps, the next time twice as many, and so on. The optimizer comes back with
    a fresh state, and, unless it was frozen, with a tenth of its step. Where the loss turns out to be as high
    at the params that were gone back to, the loss itself has changed: the optimizer comes back at once, with
    its step. A fallback that diverges is relieved in the same way. No update that is not finite is made.

    The loss is `update(..., value=)`. Without it, divergence is a gradient a hundred times or an update ten
    thousand times as large as in the first ten steps, and stagnation is not seen. Sizes are Euclidean norms.

    Derivatives go through it in forward mode alone: the fallback runs in a loop of one turn or none.

    Args:
        tx: the optimizer, such as `learned_opt.pretrained()`. A schedule in it starts again when it comes
            back; once one has ended at zero, the params count as frozen.
        fallback: what takes over; `optax.adam(1e-3)` by default.
        patience: steps in which the loss has to begin to fall.
        hold: steps of the fallback before the optimizer is tried again.

    Returns:
        An optax transformation that needs `params`. Its state has a copy of the params, and the states of
        both optimizers.

    Raises:
        ValueError: if `patience` or `hold` is below 1, or `update` is called without `params`.

    Example:
        >>> tx = safeguard(optax.sgd(1e3))
        >>> params = {"w": jnp.ones(3)}
        >>> state = tx.init(params)
        >>> for _ in range(30):
        ...     value, grads = jax.value_and_grad(lambda p: jnp.sum(p["w"] ** 2))(params)
        ...     updates, state = tx.update(grads, state, params, value=value)
        ...     params = optax.apply_updates(params, updates)
        >>> bool(state.trusted), float(jnp.max(params["w"])) <= 1
        (False, True)
    """
    for name, number in (("patience", patience), ("hold", hold)):
        if not number >= 1:
            raise ValueError(f"{name}={number!r}: give a number of steps, at least 1")
    inner = optax.with_extra_args_support(tx)
    other = optax.with_extra_args_support(optax.adam(1e-3) if fallback is None else fallback)

    def init_fn(params: Params) -> SafeguardState:
        return SafeguardState(
            inner=inner.init(params),
            fallback=other.init(params),
            good=jax.tree.map(jnp.copy, params),
            watch=Watch.fresh(),
            trusted=jnp.ones([], bool),
            fresh=jnp.zeros([], bool),
            back=jnp.zeros([], bool),
            left=jnp.zeros([], jnp.int32),
            hold=jnp.full([], hold, jnp.int32),
            scale=jnp.ones([], jnp.float32),
            blame=jnp.full([], jnp.inf, jnp.float32),
        )

    def update_fn(updates, state, params=None, *, value=None, **extra_args):
        if params is None:
            raise ValueError(
                "a safeguarded optimizer may have to go back: call update(updates, state, params)"
            )
        if value is not None:
            extra_args["value"] = value
        proposed, state = _proposed(inner, other, updates, state, params, extra_args)
        sizes = _sizes(updates, proposed, params, state.watch, value, patience)
        return _judged(proposed, state, params, sizes, value, patience)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _proposed(
    inner: optax.GradientTransformationExtraArgs,
    other: optax.GradientTransformationExtraArgs,
    updates: Params,
    state: SafeguardState,
    params: Params,
    extra_args: dict[str, Any],
) -> tuple[Params, SafeguardState]:
    """The updates of whichever is in charge, which starts afresh after a change of hands.

    The optimizer runs outside of any conditional, in which XLA could not join its loops with others. While
    the fallback is in charge it starts at every step, and nothing of it is used.
    """

    def run(tx: optax.GradientTransformationExtraArgs, old: Any, fresh: Array):
        begun = _changed(fresh, lambda _: jax.tree.map(jnp.asarray, tx.init(params)), old)
        new, kept = tx.update(updates, begun, params, **extra_args)
        return new, kept

    own, inner_state = run(inner, state.inner, state.fresh | ~state.trusted)
    own = jax.tree.map(lambda u, g: (u * state.scale.astype(u.dtype)).astype(g.dtype), own, updates)

    def relieved(old: tuple[Params, Any]) -> tuple[Params, Any]:
        new, kept = run(other, old[1], state.fresh)
        return jax.tree.map(lambda u, g: u.astype(g.dtype), new, updates), kept

    new, fallback_state = _changed(~state.trusted, relieved, (own, state.fallback))
    return new, state._replace(inner=inner_state, fallback=fallback_state)


def _changed(whether: Array, change: Callable[[Any], Any], tree: Any) -> Any:
    """The tree, changed or in its place: XLA copies what a conditional returns, not what a loop carries."""
    _, tree = jax.lax.while_loop(
        lambda carry: carry[0], lambda carry: (jnp.zeros([], bool), change(carry[1])), (whether, tree)
    )
    return tree


def _judged(
    proposed: Params, state: SafeguardState, params: Params, sizes: Sequence[Array], value: Any, patience: int
) -> tuple[Params, SafeguardState]:
    """The updates that are made, and who is in charge next."""
    gradient, step, size = sizes
    arrived = ~state.back
    log_gradient, log_step = (jnp.log(jnp.maximum(x, 1e-37)) for x in (gradient, step))
    has_value = value is not None
    signal = jnp.asarray(value).astype(jnp.float32).reshape(()) if has_value else log_gradient
    watch = state.watch.observed(signal, log_gradient, log_step)._replace(size=size)
    limit = watch.limit(has_value)
    finite = step <= _longest_step(params)

    bad = ~jnp.isfinite(signal) | (signal > limit)
    if not has_value:
        bad |= (watch.count > FEW) & (log_step > watch.step + math.log(GROWN_STEP))
    idle = (step <= STILL * size) & (log_gradient > watch.gradient + math.log(VANISHED)) & (gradient > 0)
    watch = watch._replace(
        bad=jnp.maximum(watch.bad + jnp.where(bad, 1, -1), 0), still=jnp.where(idle, watch.still + 1, 0)
    )
    diverged = (watch.bad >= FEW) | (~finite & jnp.isfinite(gradient))
    # On the way back nothing is judged.
    diverged &= arrived
    frozen = watch.still >= STILL_STEPS
    stalled = jnp.bool_(False)
    if has_value:
        no_lower = watch.slow >= watch.start - watch.noise / 4 - 1e-6 * jnp.abs(watch.start)
        stalled = no_lower & (watch.count % patience == 0) & (gradient > 0)
    leaves = arrived & state.trusted & (diverged | stalled | frozen)
    # Where going back to good params did not help, the optimizer was not to blame.
    blameless = arrived & ~state.trusted & (watch.count == FEW) & (watch.start > state.blame)
    returns = arrived & ~state.trusted & (diverged | blameless | (state.left <= 1))
    changes = leaves | returns

    better = (watch.best < watch.kept) & ~bad if has_value else ~bad & (log_gradient <= watch.start + 1)
    better &= watch.due & arrived
    good = _changed(better, lambda _: jax.tree.map(jnp.asarray, params), state.good)
    watch = watch._replace(kept=jnp.where(better, watch.best, watch.kept))
    # From far away an update comes near only; the next one then arrives.
    goes_back = diverged | state.back

    def instead(updates: Params) -> Params:
        """No update, or one that goes back."""
        return jax.tree.map(
            lambda u, p, q: jnp.where(goes_back, (q - p).astype(u.dtype), 0), updates, params, good
        )

    updates = _changed(goes_back | ~finite, instead, proposed)
    backed_off = jnp.where(leaves & ~frozen, jnp.maximum(BACKED_OFF * state.scale, 1e-6), state.scale)
    held = jnp.where(leaves, jnp.minimum(2 * state.hold, LONGEST_HOLD), state.hold)
    return updates, state._replace(
        good=good,
        watch=jax.tree.map(
            lambda new, first: jnp.where(changes | state.back, first, new), watch, Watch.fresh()
        ),
        trusted=jnp.where(changes, returns, state.trusted),
        fresh=changes | state.back,
        back=diverged,
        left=jnp.where(leaves, state.hold, state.left - 1),
        hold=jnp.where(blameless, jnp.maximum(state.hold // 2, 1), held),
        scale=jnp.where(blameless, jnp.minimum(state.scale / BACKED_OFF, 1), backed_off),
        blame=jnp.where(leaves, jnp.where(diverged & has_value, limit, jnp.inf), state.blame),
    )


def _sizes(
    gradients: Params, proposed: Params, params: Params, watch: Watch, value: Any, patience: int
) -> tuple[Array, Array, Array]:
    """Those of the gradients, the updates and the params, of which only the second is needed at every step.

    With a loss to look at, gradients count at the first ten steps and where an alarm may follow; elsewhere
    theirs is given as 1.
    """
    count = watch.count + 1
    step = _size(proposed)
    size = jax.lax.cond(count % FEW == 1, lambda: _size(params), lambda: watch.size)
    if value is None:
        return _size(gradients), step, size
    usual = (STILL * size < step) & (step <= _longest_step(params))
    needed = (count <= FEW) | ~usual | (count % patience == 0)
    return jax.lax.cond(needed, lambda: _size(gradients), lambda: jnp.ones([], jnp.float32)), step, size


def _longest_step(params: Params) -> float:
    """Params that overflow cannot be brought back by any update. No entry is larger than the norm."""
    return min(map(_largest_number, jax.tree.leaves(params)), default=math.inf) / 4


def _largest_number(param: Any) -> float:
    """Of the param's type, or of float32, which steps are measured in."""
    dtype = jnp.result_type(param)
    number = float(jnp.finfo(dtype).max) if jnp.issubdtype(dtype, jnp.floating) else math.inf
    return min(number, float(jnp.finfo(jnp.float32).max))


def _size(tree: Params) -> Array:
    """The root of the sum of a tree's squares, f32[]; NaN or infinite where an entry is."""
    leaves = [x.astype(jnp.float32) for x in jax.tree.leaves(tree)]
    if not leaves:
        return jnp.zeros([], jnp.float32)

    def norm(scale: Array | float) -> Array:
        return jnp.sqrt(jnp.sum(jnp.stack([jnp.sum(jnp.square(x / scale)) for x in leaves]))) * scale

    def scaled() -> Array:
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(x), initial=0) for x in leaves]))
        return jnp.where(jnp.isfinite(largest) & (largest > 0), norm(jnp.maximum(largest, TINY)), largest)

    plain = norm(1.0)
    # Where squares are no numbers of float32, entries may be.
    return jax.lax.cond((plain > SQUARED_TINY) & (plain < math.inf), lambda: plain, scaled)
