"""scikit-learn's classifiers on small binary problems: k-fold hyperparameters, calibrated probabilities."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVC

FOLDS = 5
PENALTIES = np.logspace(-3, 3, 7)
LINEAR = tuple({"C": c} for c in np.logspace(-2, 1, 4))
RBF = tuple({"C": c, "gamma": g} for c in np.logspace(-1, 2, 4) for g in (0.05, 0.15, 0.5))

Classifier = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _guarded(classifier: Callable[..., np.ndarray]) -> Classifier:
    """Predicts the classes' frequencies where there are too few samples of one for two folds."""

    def classify(inputs: np.ndarray, targets: np.ndarray, queries: np.ndarray) -> np.ndarray:
        rarer = int(min(targets.sum(), len(targets) - targets.sum()))
        if rarer < 2:
            return np.full(len(queries), (targets.sum() + 1) / (len(targets) + 2))
        folds = StratifiedKFold(min(FOLDS, rarer), shuffle=True, random_state=0)
        return classifier(inputs, targets.astype(int), queries, folds)

    return classify


def _logistic(l1_ratio: float, inputs: Any, targets: Any, queries: Any, folds: Any) -> np.ndarray:
    model = LogisticRegression(l1_ratio=l1_ratio, solver="liblinear", max_iter=100_000, random_state=0)
    search = GridSearchCV(model, {"C": PENALTIES}, scoring="neg_log_loss", cv=folds)
    return search.fit(inputs, targets).predict_proba(queries)[:, 1]


def _quadratic_logistic(inputs: Any, targets: Any, queries: Any, folds: Any) -> np.ndarray:
    """Logistic regression on all monomials of degree 1 and 2: what a quadric separates."""
    model = make_pipeline(
        PolynomialFeatures(2, include_bias=False), StandardScaler(), LogisticRegression(max_iter=10_000)
    )
    grid = {"logisticregression__C": PENALTIES}
    search = GridSearchCV(model, grid, scoring="neg_log_loss", cv=folds)
    return search.fit(inputs, targets).predict_proba(queries)[:, 1]


def _svm(
    kernel: str, grid: Sequence[Mapping[str, float]], inputs: Any, targets: Any, queries: Any, folds: Any
) -> np.ndarray:
    def loss(parameters: Mapping[str, float]) -> float:
        """Cross entropy of a sigmoid of the decision values that each fold has of the others' models."""
        model = SVC(kernel=kernel, **parameters)  # type: ignore[arg-type]
        values = cross_val_predict(model, inputs, targets, cv=folds, method="decision_function")
        values = np.asarray(values).reshape(-1, 1)
        sigmoid = LogisticRegression().fit(values, targets)
        p = sigmoid.predict_proba(values)[np.arange(len(targets)), targets]
        return float(-np.log(p).mean())

    best = SVC(kernel=kernel, **min(grid, key=loss))  # type: ignore[arg-type]
    calibrated = CalibratedClassifierCV(best, cv=folds, ensemble=False)  # type: ignore[arg-type]
    return calibrated.fit(inputs, targets).predict_proba(queries)[:, 1]


# By name: `classify(inputs, targets, queries) -> probabilities of class 1`.
CLASSIFIERS: dict[str, Classifier] = {
    "class frequencies": lambda inputs, targets, queries: np.full(
        len(queries), (targets.sum() + 1) / (len(targets) + 2)
    ),
    "logistic regression, L2": _guarded(functools.partial(_logistic, 0.0)),
    "logistic regression, L1": _guarded(functools.partial(_logistic, 1.0)),
    "logistic regression, degree 2": _guarded(_quadratic_logistic),
    "linear SVM": _guarded(functools.partial(_svm, "linear", LINEAR)),
    "RBF SVM": _guarded(functools.partial(_svm, "rbf", RBF)),
}


def losses(name: str, inputs: np.ndarray, targets: np.ndarray, num_train: np.ndarray) -> np.ndarray:
    """A classifier's mean cross entropy over the test samples of each data set, which follow `num_train`."""
    found = []
    for x, y, n in zip(inputs, targets, num_train, strict=True):
        p = CLASSIFIERS[name](x[:n], y[:n], x[n:])
        likelihood = np.where(y[n:] == 1, p, 1 - p)
        found.append(-np.log(np.maximum(likelihood, np.finfo(np.float32).tiny)).mean())
    return np.array(found)
