"""Rules on params that are sharded over a mesh of explicit axes, and inside `jax.shard_map`.

Run in a process of its own, since it needs several devices; prints a line a rule and case.
"""

import traceback

import jax
import jax.numpy as jnp
import numpy as np

import learned_opt
from tests.conformance.under_test import build

SPECS = {"w": jax.P("x", "y"), "b": jax.P("y")}
SHAPES = {"w": (4, 6), "b": (4,)}
RULES = (
    "lstm-one-layer",
    "lstm-bfloat16-state",
    "averaging-lstm",
    "dnc-coordinate",
    "dnc-tensor",
    "secant-lstm",
    "proximal-lstm",
    "mlp-rule",
    "tensor-controller",
    "tensor-controller-lite",
    "hyperparameters-sgd",
)


def tree(seed):
    keys = jax.random.split(jax.random.key(seed), len(SHAPES))
    return {name: jax.random.normal(k, SHAPES[name]) for name, k in zip(SHAPES, keys, strict=True)}


def put(values, mesh):
    return {name: jax.device_put(v, jax.NamedSharding(mesh, SPECS[name])) for name, v in values.items()}


def follow(tx, params, gradients, init=None):
    """Updates and the last state."""
    state, found = (init or tx.init)(params), []
    for g in gradients:
        updates, state = jax.jit(tx.update)(g, state, params)
        found.append(updates)
    return found, state


def on_an_explicit_mesh(tx, init):
    params, gradients = tree(0), [tree(1), tree(2)]
    expected, _ = follow(tx, params, gradients)
    mesh = jax.make_mesh((2, 2), ("x", "y"))
    with jax.set_mesh(mesh):
        found, state = follow(tx, put(params, mesh), [put(g, mesh) for g in gradients], init)
    for updates in found:
        for name, u in updates.items():
            assert u.sharding.is_equivalent_to(jax.NamedSharding(mesh, SPECS[name]), u.ndim)
    like_w = [leaf for leaf in jax.tree.leaves(state) if leaf.shape[:2] == SHAPES["w"]]
    assert not any(leaf.sharding.is_fully_replicated for leaf in like_w)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected)


def in_shard_map(tx):
    """One member of an ensemble a device."""
    each = [tree(i) for i in range(4)]
    members = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    gradients = jax.tree.map(lambda m: jnp.stack([m, 2 * m], 1), members)

    def updates(params, gradients):
        def step(state, g):
            updates, state = tx.update(g, state, params)
            return state, updates

        return jax.lax.scan(step, tx.init(params), gradients)[1]

    def share(params, gradients):
        one = updates(*jax.tree.map(lambda leaf: leaf[0], (params, gradients)))
        return jax.tree.map(lambda leaf: leaf[None], one)

    mesh = jax.make_mesh((4,), ("member",))
    spec = jax.P("member")
    mapped = jax.jit(jax.shard_map(share, mesh=mesh, in_specs=spec, out_specs=spec))
    found = mapped(*jax.device_put((members, gradients), jax.NamedSharding(mesh, spec)))
    found = jax.tree.map(np.asarray, found)
    for i, one in enumerate(each):
        for t, expected in enumerate(follow(tx, one, [one, jax.tree.map(lambda p: 2 * p, one)])[0]):
            here = jax.tree.map(lambda leaf, i=i, t=t: leaf[i, t], found)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), here, expected)


def cases():
    rules = {name: build(name) for name in RULES}
    rules["smorms3"] = learned_opt.optimizers.smorms3(0.1)
    for name, tx in rules.items():
        yield f"{name} init", lambda tx=tx: on_an_explicit_mesh(tx, tx.init)
        yield f"{name} jitted init", lambda tx=tx: on_an_explicit_mesh(tx, jax.jit(tx.init))
        yield f"{name} shard_map", lambda tx=tx: in_shard_map(tx)


if __name__ == "__main__":
    assert jax.device_count() == 4
    for case, check in cases():
        try:
            check()
            print(f"{case}: ok", flush=True)
        except Exception as error:
            traceback.print_exc()
            print(f"{case}: {type(error).__name__}: {str(error)[:300]}", flush=True)
