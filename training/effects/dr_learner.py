"""DR-learner: a regression on doubly robust pseudo-outcomes (Kennedy, 2023).

Right where either the propensities or the models of the outcomes are; with known propensities it is
the one to trust, at the price of more noise. Next: ``propensities.py``.
"""

from __future__ import annotations

import numpy as np

from training.effects.base import Base
from training.effects.crossfit import cross_fit
from training.effects.log import Log, Predict, over_nothing
from training.effects.outcomes import outcome_model
from training.effects.pseudo import pseudo_outcomes

NUM_FOLDS = 3
"""Within which the models of the outcomes are fitted on other rows."""


def dr_learner(log: Log, base: Base, rng: np.random.Generator) -> Predict:
    """tau_a(x) = E[pseudo_a - pseudo_nothing | x], with cross-fitted models of the outcomes."""
    means = cross_fit(log, lambda rest: outcome_model(rest, base), rng, NUM_FOLDS)
    gained = over_nothing(pseudo_outcomes(log, means))
    models = [base(log.features, gained[:, number]) for number in range(1, len(log.actions))]

    def effects(asked: np.ndarray) -> np.ndarray:
        return np.column_stack([np.zeros(len(asked)), *(model(asked) for model in models)])

    return effects
