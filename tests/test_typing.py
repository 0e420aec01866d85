"""A type checker in a user's project accepts right use of the package and refuses wrong use."""

import json
import subprocess
import sys
import typing
from dataclasses import fields
from pathlib import Path

import pytest

from learned_opt.meta import Settings
from learned_opt.meta.fields import Fields
from learned_opt.training import estimators

USE = """\
import jax
import jax.numpy as jnp
import optax
import learned_opt
from learned_opt import optimizers, tasks
from learned_opt.training.estimators import Pes

tx = learned_opt.pretrained(num_steps=1000, weight_decay=0.1)
tx = learned_opt.pretrained("lstm-mnist", num_steps=jnp.int32(10), learning_rate=optax.constant_schedule(0.5))
params = {"w": jnp.ones(3)}
updates, state = tx.update(params, tx.init(params), params)
both = optax.chain(optax.clip(1.0), tx)
lopt, task = optimizers.lstm(hidden_sizes=(4,)), tasks.quadratic(dim=2)
run = learned_opt.meta_train(lopt, task, horizon=20, truncation=10, learning_rate=1e-3, quiet=True)
run = learned_opt.meta_train(lopt, task, estimator=Pes(sigma=0.1), weights="linear", directory="run")
tx = lopt.build(run.theta, num_steps=100)
curves = learned_opt.evaluate(tx, task, num_steps=20)
learned_opt.pretrained(num_steps="10")  # wrong
learned_opt.pretrained(weight_decay="no")  # wrong
learned_opt.pretrained(steps=10)  # wrong
learned_opt.meta_train(lopt, task, horizn=20)  # wrong
learned_opt.meta_train(lopt, task, horizon="20")  # wrong
learned_opt.meta_train(lopt, task, weights="quadratic")  # wrong
learned_opt.evaluate(tx, task, num_steps="20")  # wrong
optimizers.lstm(hidden_sizes=4)  # wrong
"""


def test_right_use_is_accepted_and_wrong_use_refused(tmp_path: Path):
    pytest.importorskip("pyright")
    (tmp_path / "use.py").write_text(USE)
    config = {"extraPaths": [str(Path(__file__).parents[1])], "typeCheckingMode": "standard"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    found = {one["range"]["start"]["line"] for one in json.loads(done.stdout)["generalDiagnostics"]}
    assert found == {i for i, line in enumerate(USE.splitlines()) if line.endswith("# wrong")}, done.stdout


def test_the_keywords_are_the_fields_of_the_settings_and_of_all_estimators():
    expected: dict[str, object] = {}
    for one in (Settings, *estimators.registry.configs.values()):
        hints = typing.get_type_hints(one)
        for field in fields(one):
            kind = hints[field.name]
            assert expected.setdefault(field.name, kind) == kind, field.name
    assert typing.get_type_hints(Fields) == expected
