"""T-learner: two models, one for each side, and their difference (Kunzel et al., 2019).

Simple and without bias of its own; noisy, since the errors of both models add up. Next:
``x_learner.py``.
"""

from __future__ import annotations

import numpy as np

from training.effects.base import Base
from training.effects.log import Log, Predict, over_nothing
from training.effects.outcomes import outcome_model


def t_learner(log: Log, base: Base, rng: np.random.Generator) -> Predict:
    """tau_a(x) = mu_a(x) - mu_nothing(x)."""
    means = outcome_model(log, base)
    return lambda asked: over_nothing(means(asked))
