"""Sample-ratio mismatch: did each arm get the share of users it was meant to get?

If not, whatever lost or moved users did so unequally, and no effect can be trusted. Once by
chi-square, or at every look by a mixture over all wrong shares. Next: ``conversions.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.special import gammaln

ALARM = 0.001
"""p-value below which a mismatch is told: it is looked for in every experiment (Fabijan, 2019)."""
WEIGHT = 600.0
"""Of the mixture, in users: sharpest where a share of .50 has become .52 or so."""


def chi_square_p_value(counts: Sequence[int], shares: Sequence[float]) -> float:
    """P-value that users fell into the arms by `shares`, for one look (Pearson, 1900).

    Raises
    ------
    ValueError
        When the shares do not fit the counts.
    """
    expected = _checked(counts, shares) * sum(counts)
    return float(stats.chisquare(counts, expected).pvalue) if sum(counts) else 1.0


def p_value(counts: Sequence[int], shares: Sequence[float]) -> float:
    """The same at any time of stopping, exact for any number of users.

    1 / p is the likelihood of the counts under shares drawn from a Dirichlet distribution around
    `shares`, against `shares` themselves (Lindon and Malek, 2022).
    """
    return min(1.0, float(np.exp(-log_evidence(counts, list(_checked(counts, shares)), WEIGHT))))


def log_evidence(counts: Sequence[int], shares: Sequence[float], weight: float) -> float:
    """log of B(a + counts) / (B(a) · prod(shares ** counts)), a = `weight` · `shares`."""
    num, given = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    prior = weight * given
    told = float(np.sum(gammaln(prior + num) - gammaln(prior)))
    told += float(gammaln(prior.sum()) - gammaln(prior.sum() + num.sum()))
    return told - float(num @ np.log(given))


def _checked(counts: Sequence[int], shares: Sequence[float]) -> np.ndarray:
    found = np.asarray(shares, dtype=np.float64)
    if len(counts) != len(found) or (found <= 0).any() or (np.asarray(counts) < 0).any():
        raise ValueError(
            f"{len(counts)} counts and shares {list(shares)} do not fit; give each arm a count of "
            "at least 0 and a share above 0"
        )
    return np.asarray(found / found.sum())
