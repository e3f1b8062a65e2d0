"""S-learner: a single model that has the action among its features (Kunzel et al., 2019).

It shrinks effects towards none, which is good where there are few, and with a straight line as
base everybody gets the same effect. Next: ``t_learner.py``.
"""

from __future__ import annotations

import numpy as np

from training.effects.base import Base
from training.effects.log import Log, Predict, over_nothing


def s_learner(log: Log, base: Base, rng: np.random.Generator) -> Predict:
    """tau_a(x) = mu(x, a) - mu(x, nothing)."""
    num = len(log.actions)
    model = base(_with(log.features, log.action, num), log.outcome)

    def effects(asked: np.ndarray) -> np.ndarray:
        means = [model(_with(asked, np.full(len(asked), number), num)) for number in range(num)]
        return over_nothing(np.column_stack(means))

    return effects


def _with(features: np.ndarray, action: np.ndarray, num: int) -> np.ndarray:
    """Features with a column of 0 and 1 for each action but nothing, (n, d + A - 1)."""
    return np.column_stack([features, action[:, None] == np.arange(1, num)])
