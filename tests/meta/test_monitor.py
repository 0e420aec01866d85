import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from learned_opt.meta.diagnosis.monitor import Monitor

FINE = np.ones(10, np.float32)


def test_silent_where_all_is_well():
    monitor = Monitor({"w": jnp.zeros(2)})
    with warnings.catch_warnings(record=True, action="always") as caught:
        for step in range(1, 4):
            monitor.check({"w": jnp.full(2, float(step))}, FINE, 0.4)
    assert not caught


def test_theta_that_stands_still_is_told_once():
    monitor = Monitor(jnp.zeros(2))
    with pytest.warns(UserWarning, match=r"not moved in 10 meta-steps; `learned-opt doctor`"):
        monitor.check(jnp.zeros(2), FINE, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor.check(jnp.zeros(2), FINE, 0.0)


def test_short_periods_are_checked_together():
    monitor = Monitor(jnp.zeros(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor.check(jnp.zeros(2), FINE[:6] * np.nan, 1.0)
    with pytest.warns(UserWarning, match="6 of the last 10 meta-gradients"):
        monitor.check(jnp.zeros(2), FINE[:4], 0.0)


def test_most_problems_diverged():
    with pytest.warns(UserWarning, match="75% of the validation problems diverged"):
        Monitor(jnp.zeros(2)).check(jnp.ones(2), FINE, 0.75)
