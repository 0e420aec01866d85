import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.meta.alarms import Alarms

FINE = np.ones(10, np.float32)


def test_silent_where_all_is_well():
    alarms = Alarms({"w": jnp.zeros(2)})
    with warnings.catch_warnings(record=True, action="always") as caught:
        for step in range(1, 4):
            alarms.look({"w": jnp.full(2, float(step))}, FINE, 0.4)
    assert not caught


def test_theta_that_stands_still_is_told_once():
    alarms = Alarms(jnp.zeros(2))
    with pytest.warns(UserWarning, match=r"not moved in 10 meta-steps; `learned-opt doctor`"):
        alarms.look(jnp.zeros(2), FINE, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alarms.look(jnp.zeros(2), FINE, 0.0)


def test_short_periods_are_judged_together():
    alarms = Alarms(jnp.zeros(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alarms.look(jnp.zeros(2), FINE[:6] * np.nan, 1.0)
    with pytest.warns(UserWarning, match="6 of the last 10 meta-gradients"):
        alarms.look(jnp.zeros(2), FINE[:4], 0.0)


def test_most_problems_diverged():
    with pytest.warns(UserWarning, match="75% of the validation problems diverged"):
        Alarms(jnp.zeros(2)).look(jnp.ones(2), FINE, 0.75)
