"""X-learner: each side's outcomes are held against the other side's model (Kunzel et al., 2019).

Good where one side is much smaller, and effects simpler than outcomes. Next: ``dr_learner.py``.
"""

from __future__ import annotations

import numpy as np

from training.effects.base import Base
from training.effects.log import Log, Predict
from training.effects.outcomes import outcome_model


def x_learner(log: Log, base: Base, rng: np.random.Generator) -> Predict:
    """tau_a(x) = g tau_0(x) + (1 - g) tau_1(x), g the action's share among its rows and nothing's.

    tau_1 is learnt on rows with the action from y - mu_nothing(x), tau_0 on rows with nothing from
    mu_a(x) - y.
    """
    means = outcome_model(log, base)(log.features)
    usual = log.action == 0
    pairs = []
    for number in range(1, len(log.actions)):
        acted = log.action == number
        gained = base(log.features[acted], log.outcome[acted] - means[acted, 0])
        missed = base(log.features[usual], means[usual, number] - log.outcome[usual])
        pairs.append((acted.sum() / (acted.sum() + usual.sum()), missed, gained))

    def effects(asked: np.ndarray) -> np.ndarray:
        columns = [share * one(asked) + (1 - share) * other(asked) for share, one, other in pairs]
        return np.column_stack([np.zeros(len(asked)), *columns])

    return effects
