"""Chances of the actions where nobody logged them: shares of an experiment, or estimated.

Next: ``overlap.py``.
"""

from __future__ import annotations

import math

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.effects.crossfit import NUM_FOLDS, folds
from training.metrics.probability import auc

ALARM = 4.0
"""Standard errors above chance from which features are said to foretell the action."""
LEAST = 0.52
"""And the least AUC at which it matters."""


def shares(action: np.ndarray, num_actions: int) -> np.ndarray:
    """The same chances (n, A) for all: what share of the rows got each action."""
    counts = np.bincount(action, minlength=num_actions)
    return np.tile(counts / len(action), (len(action), 1))


def estimated(
    features: np.ndarray, action: np.ndarray, num_actions: int, rng: np.random.Generator
) -> np.ndarray:
    """Chances (n, A) by a cross-fitted logistic regression of the action on the features."""
    place, found = folds(action, NUM_FOLDS, rng), np.zeros((len(action), num_actions))
    for fold in range(NUM_FOLDS):
        asked = place == fold
        fill = SimpleImputer(keep_empty_features=True)
        model = make_pipeline(fill, StandardScaler(), LogisticRegression(max_iter=1_000))
        model.fit(features[~asked], action[~asked])
        found[np.ix_(asked, model.classes_)] = model.predict_proba(features[asked])
    return found


def foretold(
    features: np.ndarray, action: np.ndarray, num_actions: int, rng: np.random.Generator
) -> dict[int, float]:
    """Actions that features foretell, with the AUC of it: then they were not drawn at random.

    An AUC counts when it is above chance by ``ALARM`` standard errors, which under no relation are
    sqrt((m + k + 1) / (12 m k)) for m and k rows (Mann and Whitney, 1947).
    """
    chances, found = estimated(features, action, num_actions, rng), {}
    for number in range(num_actions):
        own = action == number
        m, k = int(own.sum()), int((~own).sum())
        value = auc(chances[:, number], own.astype(float))
        error = math.sqrt((m + k + 1) / (12 * m * k)) if m and k else math.inf
        if value > max(LEAST, 0.5 + ALARM * error):
            found[number] = value
    return found
