"""Predictions about rows by models that never saw them (Chernozhukov et al., 2018).

Next: ``outcomes.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from training.effects.log import Log, Predict

NUM_FOLDS = 5


def folds(
    action: np.ndarray,
    num_folds: int,
    rng: np.random.Generator,
    users: np.ndarray | None = None,
) -> np.ndarray:
    """Which fold (n,) each row is in, each action spread evenly; rows of a user stay together."""
    if users is not None:
        _, who = np.unique(users, return_inverse=True)
        return np.asarray(rng.permutation(who.max() + 1)[who] % num_folds)
    place = np.empty(len(action), dtype=np.int64)
    order = rng.permutation(len(action))
    order = order[np.argsort(action[order], kind="stable")]
    place[order] = np.arange(len(action)) % num_folds
    return place


def cross_fit(
    log: Log,
    fit: Callable[[Log], Predict],
    rng: np.random.Generator,
    num_folds: int = NUM_FOLDS,
    users: np.ndarray | None = None,
) -> np.ndarray:
    """What `fit` predicts (n, A) for each fold, fitted on the others."""
    place = folds(log.action, num_folds, rng, users)
    found = np.empty((len(log.outcome), len(log.actions)))
    for fold in range(num_folds):
        asked = place == fold
        found[asked] = fit(log.take(~asked))(log.features[asked])
    return found
