"""Average effects with intervals, of everybody and by segment. Next: ``targeting.py``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from training.effects.log import Log, over_nothing
from training.effects.overlap import MIN_IN_SEGMENT, effective_size
from training.metrics.clustered import mean_error


@dataclass(frozen=True, slots=True)
class Effect:
    """What one action adds over nothing per row, on average over some rows."""

    action: str
    segment: str
    num_rows: int
    value: float
    low: float
    high: float
    p_value: float
    """Of no effect, by itself: among twenty segments one is below .05 by chance."""
    refusal: str = ""
    """Why the numbers are NaN."""


def average_effects(
    log: Log,
    pseudo: np.ndarray,
    segment: np.ndarray | None = None,
    level: float = 0.95,
    *,
    users: np.ndarray | None = None,
) -> list[Effect]:
    """Effects of all actions but nothing, for each label of `segment` (n,), or for all together.

    The mean of pseudo-outcomes' differences with its normal interval (AIPW): as sharp as any
    estimate can be in large tables (Hahn, 1998).

    Parameters
    ----------
    pseudo
        (n, A) of :func:`training.effects.pseudo.pseudo_outcomes`.
    users
        Whose row each is (n,), where somebody has several: intervals are then those of users.
    """
    labels = np.full(len(log.outcome), "everybody") if segment is None else segment.astype(str)
    gained, found = over_nothing(pseudo), []
    for label in np.unique(labels):
        inside = labels == label
        for number, name in enumerate(log.actions[1:], start=1):
            refusal = _thin(log, inside, number) if segment is not None else ""
            own = None if users is None else users[inside]
            found.append(_effect(gained[inside, number], own, name, str(label), refusal, level))
    return found


def _effect(
    values: np.ndarray,
    users: np.ndarray | None,
    action: str,
    segment: str,
    refusal: str,
    level: float,
) -> Effect:
    num = len(values)
    if refusal or num < 2:
        return Effect(action, segment, num, *(math.nan,) * 4, refusal or "one row")
    mean, error = float(values.mean()), mean_error(values, users)
    normal = NormalDist()
    reach = normal.inv_cdf((1 + level) / 2) * error
    p_value = 2 * (1 - normal.cdf(abs(mean) / error)) if error else float(mean == 0)
    return Effect(action, segment, num, mean, mean - reach, mean + reach, p_value)


def _thin(log: Log, inside: np.ndarray, number: int) -> str:
    """Why the segment can't tell this action from nothing, or nothing."""
    for wanted in (0, number):
        own = log.propensity[inside & (log.action == wanted)]
        if effective_size(own) < MIN_IN_SEGMENT:
            return f"{len(own)} rows with {log.actions[wanted]!r}"
    return ""
