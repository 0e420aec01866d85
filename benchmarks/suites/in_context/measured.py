"""What is measured on a set of functions: shipped learners, references, and networks trained for it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.comparison.learners import judge
from benchmarks.harness.suite import Load
from benchmarks.suites.in_context import descent as descents
from benchmarks.suites.in_context import ensembles
from benchmarks.suites.in_context.descent import DESCENTS
from benchmarks.suites.in_context.sets import Budget, Set
from learned_opt import in_context, zoo
from learned_opt.core.types import Theta
from learned_opt.in_context.functions import learners
from learned_opt.in_context.functions.bayes import Predictor
from learned_opt.in_context.functions.evaluation import running_means
from learned_opt.in_context.functions.learners import FunctionLearner
from learned_opt.meta.settings import Settings, settings_of

FIRST_SEED = 1000  # of the sequences that shipped learners and references are judged on
VALIDATION_SEED = 0x5E1  # of the sequences that the best of several starts is chosen on


def shipped(what: Set, name: str, budget: Budget, load: Load) -> dict[str, Any]:
    del load
    stored = zoo.load(name, "function learner")
    settings = settings_of(stored.config)
    return {
        "epochs": settings.num_meta_steps * settings.estimator.epochs_per_step,
        "learning_rate": settings.learning_rate,
        **_judged(stored.model, lambda seed: stored.theta, what, budget),
    }


def mean(what: Set, budget: Budget, load: Load) -> dict[str, Any]:
    del load
    return _reference(lambda x, y: running_means(y, what.num_functions), what, budget)


def untold(what: Set, budget: Budget, load: Load) -> dict[str, Any]:
    del load
    switching = what.make().switching
    assert switching is not None
    return _reference(switching(1 / what.length), what, budget)


def _reference(predictor: Predictor, what: Set, budget: Budget) -> dict[str, Any]:
    """What a predictor of x and y before each example does."""
    says = learners.lstm()._replace(
        predict=lambda theta, inputs: predictor(inputs[:, :2], jnp.append(inputs[1:, 2], 0.0))
    )  # the last target is not seen
    return {"epochs": 0, "learning_rate": None, **_judged(says, lambda seed: (), what, budget)}


def descent(what: Set, label: str, budget: Budget, load: Load) -> dict[str, Any]:
    """Gradient descent in the place of a learner, each seed from a start of its own."""
    del load
    found = descents.best_rate(DESCENTS[label], what.make(), what.length, what.num_functions)
    learner = descents.learner(DESCENTS[label], found.best)
    return {
        "epochs": 0,
        "learning_rate": found.best,
        "tried": found.points.tolist(),
        **_judged(learner, lambda seed: learner.init(jax.random.key(seed)), what, budget),
    }


def _judged(
    learner: FunctionLearner, theta: Callable[[int], Theta], what: Set, budget: Budget
) -> dict[str, Any]:
    """The figures on a set of sequences for each seed; of several functions also the errors in time."""
    chosen: dict[str, Any] = {
        "length": what.length,
        "num_functions": what.num_functions,
        "num_sequences": budget.num_sequences,
    }
    found = [
        in_context.evaluate_learner(learner, theta(seed), what.make(), seed=FIRST_SEED + seed, **chosen)
        for seed in range(budget.seeds)
    ]
    seeds = [evaluation.summary() for evaluation in found]
    if what.num_functions == 1:
        return {"seeds": seeds}
    return {"seeds": seeds, "absolute": np.mean([np.abs(e.errors).mean(0) for e in found], 0).round(5)}


def trained(what: Set, learner: FunctionLearner, budget: Budget, load: Load) -> dict[str, Any]:
    del load
    sequences = in_context.Sequences(length=what.training_length, batch_size=budget.batch_size)
    settings = Settings(
        estimator=sequences,
        num_meta_steps=budget.num_steps,
        warmup_steps=budget.num_steps // 40,
        steps_per_call=budget.num_steps // 40 or 1,
    )
    family = what.make()
    thetas, rate, tried = ensembles.train(
        learner, family, settings, num_seeds=what.starts or budget.seeds, rates=budget.rates
    )
    judged = functools.partial(
        judge, learner, thetas, what.make, length=what.length, num_sequences=budget.num_sequences
    )
    epochs = budget.num_steps * sequences.epochs_per_step
    found = {"epochs": epochs, "learning_rate": rate, "tried": tried, "seeds": judged()}
    if not what.starts:
        return found
    errors = np.array([figures["mse"] for figures in judged(seed=VALIDATION_SEED)], np.float64)
    return found | {"chosen": int(np.argmin(errors))}
