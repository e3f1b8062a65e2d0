"""Estimates with intervals for one policy or several, by every estimator that can be asked.

Next: ``../../effects/log.py`` for the effects of actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from training.metrics.bootstrap import interval, replicates
from training.metrics.clustered import mean_error
from training.metrics.offpolicy.estimators import ESTIMATORS, WITHOUT_MODEL, Estimator
from training.metrics.offpolicy.support import Support, check_log, support


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value per decision, with the normal interval that its influence values give."""

    value: float
    error: float
    """Standard error."""
    low: float
    high: float
    influence: np.ndarray
    """(n,)"""
    users: np.ndarray | None = None
    """Whose decision each was (n,), where it matters; see :func:`estimate`."""

    def minus(self, other: Estimate) -> Estimate:
        """The difference of two policies on the same log, row by row: what they share cancels."""
        return estimate(self.influence - other.influence, users=self.users)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one policy would have earned, and whether this log can tell."""

    support: Support
    estimates: dict[str, Estimate]
    """By estimator; they stand here for the plot even where ``support`` refuses."""

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why the estimates must not be used; empty when they may."""
        return self.support.refusals


def estimate(
    influence: np.ndarray, level: float = 0.95, *, users: np.ndarray | None = None
) -> Estimate:
    """The mean of influence values (n,) and its normal interval.

    With `users` (n,), whose decision each was, it is that of shoppers (``../clustered.py``).
    """
    value, error = float(influence.mean()), mean_error(influence, users)
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return Estimate(value, error, value - reach, value + reach, influence, users)


def evaluate_policy(
    rewards: np.ndarray,
    actions: np.ndarray,
    propensities: np.ndarray,
    target: np.ndarray,
    model: np.ndarray | None = None,
    *,
    users: np.ndarray | None = None,
) -> Evaluation:
    """Ask all estimators about the policy `target` (n, A); without a `model` IPS and SNIPS alone.

    With `users` (n,) the intervals are those of shoppers and not of rows: see :func:`estimate`.

    Raises
    ------
    ValueError
        When the arrays are no log; a policy that the log can't judge is no error: ``refusals``.
    """
    check_log(rewards, actions, propensities, target)
    asked = WITHOUT_MODEL if model is None else ESTIMATORS
    return Evaluation(
        support(actions, propensities, target),
        {
            name: estimate(estimator(rewards, actions, propensities, target, model), users=users)
            for name, estimator in asked.items()
        },
    )


def bootstrap_interval(
    estimator: Estimator,
    log: Mapping[str, np.ndarray],
    *,
    users: np.ndarray | None = None,
    num_bootstrap: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval by drawing decisions again, for few rows or skewed rewards.

    Parameters
    ----------
    log
        The estimator's arrays by the names of its parameters.
    users
        Whose decision each was (n,): then users are drawn, with all their decisions.
    """
    num = len(log["rewards"])

    def value(rows: np.ndarray) -> np.ndarray:
        return np.array([estimator(**{name: column[rows] for name, column in log.items()}).mean()])

    drawn = replicates(
        value,
        np.arange(num) if users is None else users,
        num_bootstrap,
        np.random.default_rng(seed),
    )
    return interval(drawn[:, 0])
