"""Mean outcomes under each action, one model for each. Next: ``pseudo.py``."""

from __future__ import annotations

import numpy as np

from training.effects.base import Base
from training.effects.log import Log, Predict


def outcome_model(log: Log, base: Base) -> Predict:
    """mu_a(x) = E[y | x, action a], (n, A), each fitted on the rows of its action."""
    models = [
        base(log.features[log.action == number], log.outcome[log.action == number])
        for number in range(len(log.actions))
    ]
    return lambda asked: np.column_stack([model(asked) for model in models])
