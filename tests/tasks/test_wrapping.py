import jax
import jax.numpy as jnp
import numpy as np

from learned_opt.core import Task
from learned_opt.tasks import convex_term, gradient_noise, normalized_loss, quadratic, random_scaling
from learned_opt.tasks.wrapping import wrap

KEY = jax.random.key(0)


def test_functions_are_given_the_given_tasks_params_and_problem():
    given = Task(
        sample=lambda key: 2.0,
        init=lambda key, problem: problem,
        batch=lambda key, problem, data: problem + data,
        loss=lambda params, problem, batch: params + 10 * problem + 100 * batch,
        data=3.0,
        metrics=lambda params, problem, data: {"sum": params + problem + data},
        smooth=lambda params, problem, batch: params - problem,
    )
    task = wrap(given, params_of=lambda p, problem: p["x"], problem_of=lambda problem: problem["given"])
    params, problem = {"x": 1.0}, {"given": 2.0}
    assert task.batch(KEY, problem, 3.0) == 5.0
    assert task.loss(params, problem, 5.0) == 521.0
    assert task.metrics(params, problem, 3.0) == {"sum": 6.0}
    assert task.smooth(params, problem, 5.0) == -1.0
    assert task.data == 3.0


def test_fields_that_a_wrapper_does_not_name_are_the_given_tasks():
    def prox(params, step_size):
        return params

    given = quadratic(dim=2)._replace(data=jnp.ones(2), prox=prox)
    for task in (wrap(given), gradient_noise(given), normalized_loss(given, scale=2.0)):
        assert task.prox is prox
        assert task.sample is given.sample
        assert task.data is given.data
        assert task.metrics is None
    assert convex_term(given).data is given.data
    assert random_scaling(given._replace(prox=None)).data is given.data


def test_a_wrapper_of_wrappers_reaches_the_innermost():
    plain = quadratic(dim=2)
    task = convex_term(random_scaling(gradient_noise(plain), log_range=1.0))
    problem = task.sample(KEY)
    params, batch = task.init(KEY, problem), task.batch(KEY, problem, task.data)
    inner = problem.given
    expected = plain.loss(params.given * inner.scales, inner.problem, ())
    term = jnp.mean(jnp.square(params.convex - problem.convex))
    np.testing.assert_allclose(task.loss(params, problem, batch), expected + term, rtol=1e-6)
