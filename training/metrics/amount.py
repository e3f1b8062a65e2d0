"""How good expected amounts are: their order, their distance and their sum.

`expected` and `actual` are (n,), not below 0, in one currency. Next: ``bootstrap.py``.
"""

from __future__ import annotations

import numpy as np

_TINY = 1e-9


def gini(expected: np.ndarray, actual: np.ndarray) -> float:
    """Order by money: area between the gain curve by `expected` and chance, over the best one's.

    1 where those who spend most come first, 0 by chance; ties share what they spent. NaN where
    nobody or everybody spends alike.
    """

    def area(score: np.ndarray) -> float:
        _, place, counts = np.unique(-score, return_inverse=True, return_counts=True)
        sums = np.bincount(place, weights=actual)
        gained = np.concatenate([[0.0], np.cumsum(sums)])
        widths = counts / len(actual)
        return float((widths * (gained[1:] + gained[:-1]) / 2).sum() / max(actual.sum(), _TINY))

    best = area(actual) - 0.5
    return (area(expected) - 0.5) / best if best > _TINY else float("nan")


def deviance(expected: np.ndarray, actual: np.ndarray) -> float:
    """Mean Poisson deviance 2 (y log(y / m) - y + m) by the mean of y: least where m is its mean.

    Scale-free, and whoever spends nothing costs 2 m.
    """
    m = np.maximum(expected.astype(np.float64), _TINY)
    y = actual.astype(np.float64)
    logs = np.where(y > 0, y * np.log(np.maximum(y, _TINY) / m), 0.0)
    return float(2 * (logs - y + m).mean() / max(y.mean(), _TINY))


def amount_metrics(expected: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """All of them by name. Rows whose `actual` is NaN (not asked) are left out.

    ``total_error`` is how far the sum is from the real one, as a share of it.
    """
    asked = ~np.isnan(actual)
    m, y = expected[asked].astype(np.float64), actual[asked].astype(np.float64)
    if not len(y):
        return dict.fromkeys(("gini", "deviance", "rmse", "mae", "total_error", "mean"), np.nan)
    return {
        "gini": gini(m, y),
        "deviance": deviance(m, y),
        "rmse": float(np.sqrt(((m - y) ** 2).mean())),
        "mae": float(np.abs(m - y).mean()),
        "total_error": float(abs(m.sum() - y.sum()) / max(y.sum(), _TINY)),
        "mean": float(y.mean()),
    }
