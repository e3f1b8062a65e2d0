"""Doubly robust pseudo-outcomes: what each row says about the outcome under every action.

They are the influence values of average effects, the target of the DR-learner, and the currency in
which any way of treating people is judged (``targeting.py``). Next: ``s_learner.py``.
"""

from __future__ import annotations

import numpy as np

from training.effects.log import Log


def pseudo_outcomes(log: Log, means: np.ndarray) -> np.ndarray:
    """mu_a(x) + [a was taken] (y - mu_a(x)) / p, (n, A): its mean given x is that of y under a.

    Robins, Rotnitzky and Zhao, 1994. Right in the mean where the propensities are, however wrong
    `means` (n, A) is; it must come from models that did not see the row (``crossfit.py``).
    """
    found, rows = means.copy(), np.arange(len(log.outcome))
    missed = log.outcome - means[rows, log.action]
    found[rows, log.action] += missed / log.propensity
    return found
