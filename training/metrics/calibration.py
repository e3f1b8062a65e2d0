"""Platt scaling, and the like for amounts: answers come true as often, or as much, as they say.

Platt 1999, "Probabilistic outputs for support vector machines"; the smoothed targets are his.
Next: ``probability.py``, which measures the calibration.
"""

from __future__ import annotations

import numpy as np

NUM_STEPS = 50
RIDGE = 1e-6
MOST = 50.0
"""Largest exponent on the way to the optimum."""


def platt(logit: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Slope a and shift b of the probability sigmoid(a logit + b), by Newton's method.

    Rows whose label is NaN (not asked) are left out. With no row at all nothing changes: (1, 0).
    """
    asked = ~np.isnan(label)
    z, yes = logit[asked].astype(np.float64), label[asked] == 1
    if not len(z):
        return 1.0, 0.0
    num_yes, num_no = yes.sum(), (~yes).sum()
    target = np.where(yes, (num_yes + 1) / (num_yes + 2), 1 / (num_no + 2))
    features = np.stack([z, np.ones_like(z)], axis=1)
    found = np.array([1.0, 0.0])
    for _ in range(NUM_STEPS):
        p = _sigmoid(features @ found)
        curvature = (features * (p * (1 - p))[:, None]).T @ features + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, features.T @ (p - target))
        # Far from the optimum a full Newton step overshoots.
        found = found - step / max(1.0, float(np.abs(step).max()))
    return float(found[0]), float(found[1])


def log_line(log_amount: np.ndarray, amount: np.ndarray) -> tuple[float, float]:
    """Slope a and shift b of the expected amount exp(a log_amount + b), by Newton's method.

    Likeliest as if amounts were Poisson, whatever their scale (Gourieroux, Monfort and Trognon,
    1984): they sum to the real ones, and large ones are as large as they come true. Rows whose
    amount is NaN are left out. With no row, or nothing spent, nothing changes: (1, 0).
    """
    asked = ~np.isnan(amount)
    total = float(amount[asked].sum())
    if total <= 0:
        return 1.0, 0.0
    middle, scale = float(log_amount[asked].mean()), total / int(asked.sum())
    z, y = log_amount[asked].astype(np.float64) - middle, amount[asked] / scale
    features = np.stack([z, np.ones_like(z)], axis=1)
    found = np.array([1.0, 0.0])
    for _ in range(NUM_STEPS):
        m = np.exp(np.minimum(features @ found, MOST))
        curvature = (features * m[:, None]).T @ features + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, features.T @ (m - y))
        found = found - step / max(1.0, float(np.abs(step).max()))
    return float(found[0]), float(found[1] - found[0] * middle + np.log(scale))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    values: np.ndarray = 0.5 * (1.0 + np.tanh(0.5 * x))
    return values
