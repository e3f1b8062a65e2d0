"""The models that learners are made of: boosted trees, or a straight line with a small penalty.

A base takes features (n, d) and targets (n,) and gives a function from features to means (n,).
Targets of 0 and 1 get a classifier and its probabilities, all others a regression. Next:
``crossfit.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Base = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]

TREES: dict[str, Any] = {
    "max_iter": 100,
    "learning_rate": 0.05,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 50,
    "early_stopping": False,
    "random_state": 0,
}
"""Small trees: an effect is a small difference of outcomes, and large ones learn the noise."""
PENALTIES = np.logspace(-2, 4, 13)


def boosting(features: np.ndarray, target: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Gradient boosting on histograms, as scikit-learn has it; knows missing values."""
    if is_binary(target):
        return _classifier(HistGradientBoostingClassifier(**TREES), features, target)
    return _regressor(HistGradientBoostingRegressor(**TREES), features, target)


def linear(features: np.ndarray, target: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Logistic or ridge regression on scaled features; missing values are the mean."""
    if is_binary(target):
        return _classifier(_scaled(LogisticRegression(max_iter=1_000)), features, target)
    return _regressor(_scaled(RidgeCV(PENALTIES)), features, target)


BASES: dict[str, Base] = {"boosting": boosting, "linear": linear}


def is_binary(target: np.ndarray) -> bool:
    """Whether all values are 0 or 1."""
    return bool(np.isin(target, (0, 1)).all())


def _scaled(model: Any) -> Any:
    # A column that is empty in one fold must stay where it is.
    fill = SimpleImputer(keep_empty_features=True)
    return make_pipeline(fill, StandardScaler(), model)


def _classifier(
    model: Any, features: np.ndarray, target: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    if len(np.unique(target)) < 2:
        return _constant(float(target[0]))
    fitted = model.fit(features, target)
    return lambda asked: np.asarray(fitted.predict_proba(asked)[:, 1])


def _regressor(
    model: Any, features: np.ndarray, target: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    fitted = model.fit(features, target)
    return lambda asked: np.asarray(fitted.predict(asked))


def _constant(value: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda asked: np.full(len(asked), value)
