"""Small classifiers of images: MNIST and Fashion-MNIST, or the embedded digits in their place."""

import dataclasses
import functools

from benchmarks.comparison.baselines import BASELINES, Optimizer, learned
from benchmarks.comparison.suite import Budget, Case, comparison
from learned_opt import datasets, tasks
from learned_opt.reports import Column

LEARNED = ("lstm-mnist", "lstm-general")
IN_PLACE = " scikit-learn's 8x8 digits stand in for {}, which is not prepared on this machine."
SCALES = (1e-3, 1e-1, 1e1, 1e3)
FIRST_ORDER = ("adam", "nag", "adam-1e-3", *LEARNED, "lstm-mnist:decay", "lstm-general:decay")


@functools.cache
def classification(**arguments):
    """The same task for the same arguments, so that jit knows it again."""
    return tasks.classification(**arguments)


def case(dataset: str, kind: str, what: str, stand_in: str, horizons=(100,), **arguments) -> Case:
    return Case(
        f"{dataset}-{kind}",
        functools.partial(classification, dataset=dataset, **arguments),
        horizons,
        window=9,
        summary=f"{dataset}, {what}.{stand_in}",
    )


def cases(size: str) -> list[Case]:
    dataset = "mnist" if datasets.is_prepared("mnist") else "digits"
    stand_in = "" if dataset == "mnist" else IN_PLACE.format("MNIST")
    make = functools.partial(case, dataset, stand_in=stand_in)
    base_horizons = {"quick": (100,), "default": (100, 1000), "full": (100, 1000, 2000, 10_000)}[size]
    base = make("mlp20", "one hidden layer of 20 sigmoid units, batches of 128", horizons=base_horizons)
    horizons = (100,) if size != "full" else (100, 1000, 10_000)

    def changed(kind: str, change: str, what: str, **arguments) -> Case:
        changed_case = make(kind, what, horizons=horizons, **arguments)
        return dataclasses.replace(changed_case, shift=(base.name, change))

    relu = changed(
        "mlp20-relu", "ReLU units", "one hidden layer of 20 ReLU units, batches of 128", activation="relu"
    )
    if size == "quick":
        return [base, dataclasses.replace(relu, only=("adam", "adam-1e-3", *LEARNED))]
    found = [
        base,
        changed("mlp40", "40 units", "one hidden layer of 40 sigmoid units", hidden_sizes=(40,)),
        changed("mlp20x2", "two layers", "two hidden layers of 20 sigmoid units", hidden_sizes=(20, 20)),
        relu,
        changed(
            "conv",
            "a conv net",
            "two 3x3 convolutions of 8 and 16 channels and ReLU, no hidden layer",
            hidden_sizes=(),
            conv_channels=(8, 16),
            activation="relu",
        ),
    ]
    for batch in (32, 1024) if size == "default" else (32, 64, 256, 512, 1024):
        found.append(
            changed(
                f"mlp20-batch{batch}",
                f"batches of {batch}",
                f"one hidden layer of 20 sigmoid units, batches of {batch}",
                batch_size=batch,
            )
        )
    for scale in SCALES:
        scaled = changed(
            f"mlp20-times-{scale:g}",
            f"gradients x{scale:g}",
            f"the same with losses and gradients {scale:g} times as large, shown divided by it again",
        )
        found.append(dataclasses.replace(scaled, horizons=(100,), only=FIRST_ORDER, loss_scale=scale))
    if datasets.is_prepared("fashion_mnist"):
        fashion = case(
            "fashion_mnist", "mlp20", "one hidden layer of 20 sigmoid units, batches of 128", "", horizons
        )
        found.append(dataclasses.replace(fashion, shift=(base.name, "Fashion-MNIST")))
    return found


def optimizers(size: str) -> tuple[Optimizer, ...]:
    decaying = () if size == "quick" else tuple(f"{name}:decay" for name in LEARNED)
    return (*BASELINES.values(), *(learned(name) for name in (*LEARNED, *decaying)))


SUITE = comparison(
    "mnist",
    cases,
    version=2,
    summary="Small classifiers on MNIST and Fashion-MNIST: width, depth, activation, convolutions, batches "
    "of 32 to 1,024, 100 to 10,000 steps. Problems differ in their starting points and minibatches.",
    budgets={
        "quick": Budget(seeds=2, problems=2, tuning_problems=2),
        "default": Budget(seeds=5, problems=2, tuning_problems=2, chunk=4),
        "full": Budget(seeds=5, problems=4, tuning_problems=4, rates=33, chunk=4),
    },
    optimizers=optimizers,
    metrics={
        "test_accuracy": Column("test accuracy", best="high", digits=4),
        "test_loss": Column("test loss", best="low", digits=3),
    },
)
