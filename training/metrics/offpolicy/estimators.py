"""What a policy would have earned, from the log of another: IPS, SNIPS, doubly robust and kin.

Letters: n decisions of the log, A actions, r reward, a action, p the chance with which the log took
it, pi(a|x) the chance with which the policy in question would have, w = pi(a|x) / p, and q(x, a) a
model's reward, fitted on other rows than those it is asked about (``training/effects``).

Every estimator takes ``rewards (n,)``, ``actions (n,)`` (numbers below A), ``propensities (n,)`` of
what was logged, ``target (n, A)`` and ``model (n, A)``, and gives n numbers whose mean is the
estimate: its influence values, from which come intervals and paired differences. They promise
nothing where the log never did what the policy would do: ``support.py`` is asked first. Next:
``support.py``.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

CONFIDENCE = 0.05
"""Chance with which the bound of the bias behind switch and shrinkage may fail."""
NUM_TRIED = 24
"""Thresholds, and strengths of shrinkage, that are tried."""


class Estimator(Protocol):
    """See the module."""

    def __call__(
        self,
        rewards: np.ndarray,
        actions: np.ndarray,
        propensities: np.ndarray,
        target: np.ndarray,
        model: np.ndarray | None = None,
    ) -> np.ndarray:
        """Influence values (n,)."""


def weights(actions: np.ndarray, propensities: np.ndarray, target: np.ndarray) -> np.ndarray:
    """w (n,): how much more often the policy takes what was taken."""
    return np.asarray(target[np.arange(len(actions)), actions] / propensities)


def ips(
    rewards: np.ndarray,
    actions: np.ndarray,
    propensities: np.ndarray,
    target: np.ndarray,
    model: np.ndarray | None = None,
) -> np.ndarray:
    """Inverse propensity score: mean of w r. Unbiased (Horvitz and Thompson, 1952)."""
    return weights(actions, propensities, target) * rewards


def snips(
    rewards: np.ndarray,
    actions: np.ndarray,
    propensities: np.ndarray,
    target: np.ndarray,
    model: np.ndarray | None = None,
) -> np.ndarray:
    """Self-normalised IPS: sum of w r over sum of w; moves with a constant added to all rewards.

    Swaminathan and Joachims, 2015. Influence values by linearisation, v + w (r - v) / mean(w). NaN
    where no weight is above 0.
    """
    w = weights(actions, propensities, target)
    mean = w.mean()
    if mean == 0:
        return np.full(len(w), np.nan)
    value = (w * rewards).mean() / mean
    return np.asarray(value + w * (rewards - value) / mean)


def direct_method(
    rewards: np.ndarray,
    actions: np.ndarray,
    propensities: np.ndarray,
    target: np.ndarray,
    model: np.ndarray | None = None,
) -> np.ndarray:
    """The model alone: mean of sum_a pi(a|x) q(x, a).

    As wrong as the model is, and its interval does not know of that.
    """
    return np.asarray((target * _given(model)).sum(axis=1))


def doubly_robust(
    rewards: np.ndarray,
    actions: np.ndarray,
    propensities: np.ndarray,
    target: np.ndarray,
    model: np.ndarray | None = None,
) -> np.ndarray:
    """The model, mended by what it missed: sum_a pi q + w (r - q) (Dudik, Langford and Li, 2011).

    Right where the propensities are, whatever the model; sharper the better the model.
    """
    w = weights(actions, propensities, target)
    return _mended(rewards, actions, target, model, w)


def switch_dr(
    rewards: np.ndarray,
    actions: np.ndarray,
    propensities: np.ndarray,
    target: np.ndarray,
    model: np.ndarray | None = None,
) -> np.ndarray:
    """Doubly robust where w is at most a threshold, the model beyond (Wang, Agarwal, Dudik, 2017).

    The threshold is the one with the least estimated error: see :func:`least_error`.
    """
    w = weights(actions, propensities, target)
    bounds = np.unique(np.quantile(w, np.linspace(0.0, 1.0, NUM_TRIED)))
    tried = [np.where(w <= bound, w, 0.0) for bound in bounds]
    best = least_error(rewards, actions, target, _given(model), w, tried)
    return _mended(rewards, actions, target, model, best)


def shrunk_dr(
    rewards: np.ndarray,
    actions: np.ndarray,
    propensities: np.ndarray,
    target: np.ndarray,
    model: np.ndarray | None = None,
) -> np.ndarray:
    """Doubly robust with optimistic shrinkage: weights become lambda w / (w^2 + lambda).

    Su, Dimakopoulou, Krishnamurthy and Dudik, "Doubly robust off-policy evaluation with shrinkage",
    2020. lambda = 0 is the model alone, lambda without end is doubly robust; the one with the least
    estimated error is taken.
    """
    w = weights(actions, propensities, target)
    most = max(float((w**2).max()), 1e-12)
    tried = [strength * w / (w**2 + strength) for strength in most * np.logspace(-6, 2, NUM_TRIED)]
    best = least_error(rewards, actions, target, _given(model), w, [*tried, w])
    return _mended(rewards, actions, target, model, best)


def least_error(
    rewards: np.ndarray,
    actions: np.ndarray,
    target: np.ndarray,
    model: np.ndarray,
    w: np.ndarray,
    tried: list[np.ndarray],
) -> np.ndarray:
    """Of the `tried` weights (n,) those with the least variance / n + bias bound squared.

    The bias of weights v is the mean of (w - v)(r - q); its bound adds what that mean may be off,
    sqrt(2 log(2 / delta) Var / n), so that few rows do not pass for none (Su et al., 2020, 5).
    """
    missed, num = rewards - model[np.arange(len(actions)), actions], len(rewards)
    reach = 2.0 * np.log(2.0 / CONFIDENCE) / num

    def error(v: np.ndarray) -> float:
        lost = (w - v) * missed
        bias = abs(lost.mean()) + np.sqrt(reach * lost.var())
        return float(_mended(rewards, actions, target, model, v).var() / num + bias**2)

    return min(tried, key=error)


def _mended(
    rewards: np.ndarray,
    actions: np.ndarray,
    target: np.ndarray,
    model: np.ndarray | None,
    w: np.ndarray,
) -> np.ndarray:
    """sum_a pi q + w (r - q), (n,)."""
    q = _given(model)
    return np.asarray((target * q).sum(axis=1) + w * (rewards - q[np.arange(len(w)), actions]))


def _given(model: np.ndarray | None) -> np.ndarray:
    if model is None:
        raise ValueError("this estimator needs a model of the reward; give model (n, actions)")
    return model


WITHOUT_MODEL: dict[str, Estimator] = {"ips": ips, "snips": snips}
WITH_MODEL: dict[str, Estimator] = {
    "direct_method": direct_method,
    "doubly_robust": doubly_robust,
    "switch_dr": switch_dr,
    "shrunk_dr": shrunk_dr,
}
ESTIMATORS = {**WITHOUT_MODEL, **WITH_MODEL}
