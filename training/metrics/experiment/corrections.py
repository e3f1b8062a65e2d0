"""P-values of many questions at once, each adjusted so that it may be held against one alpha.

Next: ``sample_size.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that ANY false finding has at most the chance alpha (Holm, 1979).

    p(i) in ascending order becomes max over j <= i of min(1, (m - j + 1) p(j)). It asks nothing of
    how the questions hang together, and p-values valid at any time stay so.
    """
    order = np.argsort(p_values, kind="stable")
    ranked = np.asarray(p_values, dtype=np.float64)[order]
    scaled = np.maximum.accumulate(ranked * np.arange(len(ranked), 0, -1))
    return _back(np.minimum(scaled, 1.0), order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that of the findings a share of at most alpha is false (1995).

    p(i) in ascending order becomes min over j >= i of min(1, m p(j) / j): for questions that are
    independent, or hang together positively.
    """
    order = np.argsort(p_values, kind="stable")
    ranked = np.asarray(p_values, dtype=np.float64)[order]
    scaled = ranked * len(ranked) / np.arange(1, len(ranked) + 1)
    return _back(np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0), order)


def _back(ranked: np.ndarray, order: np.ndarray) -> list[float]:
    """Ranked values in the order in which the questions were asked."""
    found = np.empty(len(ranked))
    found[order] = ranked
    return [float(value) for value in found]


CORRECTIONS = {"holm": holm, "benjamini-hochberg": benjamini_hochberg}
