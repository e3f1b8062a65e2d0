"""What treating only some would earn: those with the greatest effects, up to a share of all.

Judged on rows that the effects were not learnt from, by their pseudo-outcomes (``pseudo.py``).
Profit is an outcome like others: value minus cost, row by row. Next: ``../policies``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.effects.log import over_nothing
from training.metrics.clustered import mean_error


@dataclass(frozen=True, slots=True)
class Gain:
    """What a way of treating earns over doing nothing, per row of the table."""

    share: float
    """Of the rows that are treated."""
    value: float
    error: float


def profit(value: np.ndarray, action: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Profit (n,) of rows with a `value` (n,) each, when action a costs `costs` (A,)."""
    return np.asarray(value - costs[action])


def best_actions(effects: np.ndarray, share: float = 1.0) -> np.ndarray:
    """The best action (n,) of the `share` of rows with the greatest effects above 0, else 0."""
    best = effects.argmax(axis=1)
    order = np.argsort(-effects.max(axis=1), kind="stable")
    chosen = np.zeros(len(effects), dtype=np.int64)
    first = order[: round(share * len(effects))]
    chosen[first] = best[first]
    return chosen


def gain(chosen: np.ndarray, pseudo: np.ndarray, users: np.ndarray | None = None) -> Gain:
    """What `chosen` actions (n,) earn over nothing, by pseudo-outcomes (n, A), per row.

    `users` (n,) as in :func:`training.effects.average.average_effects`.
    """
    values = over_nothing(pseudo)[np.arange(len(chosen)), chosen]
    return Gain(float((chosen > 0).mean()), float(values.mean()), mean_error(values, users))


def pehe(effects: np.ndarray, truth: np.ndarray) -> float:
    """Root of the mean squared error of effects, (n, A) or (n,) (Hill, 2011): truth is known."""
    return float(np.sqrt(np.mean((effects - truth) ** 2)))
