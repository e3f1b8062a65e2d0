"""How sure a number is: shoppers are drawn again and again, with replacement, and it is remade.

Shoppers are drawn and not examples, since one shopper's orders resemble each other; drawing orders
would promise more than the data can tell. Next: ``../evaluate``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]


def resamples(
    users: np.ndarray, num_bootstrap: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield row indices of `num_bootstrap` draws: all rows of as many users as there are.

    Parameters
    ----------
    users
        Which user (n,) each row belongs to.
    """
    _, who = np.unique(users, return_inverse=True)
    rows = np.argsort(who, kind="stable")
    counts = np.bincount(who)
    starts = np.cumsum(counts) - counts
    for _ in range(num_bootstrap):
        drawn = rng.integers(len(counts), size=len(counts))
        length = counts[drawn]
        within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        yield rows[np.repeat(starts[drawn], length) + within]


def draw_counts(
    users: np.ndarray, num_bootstrap: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """The same as ``resamples``, told by how often each row (n,) is taken: no row is moved."""
    _, who = np.unique(users, return_inverse=True)
    num = int(who.max()) + 1 if len(who) else 0
    for _ in range(num_bootstrap):
        yield np.bincount(rng.integers(num, size=num), minlength=num)[who]


def replicates(
    statistic: Statistic, users: np.ndarray, num_bootstrap: int, rng: np.random.Generator
) -> np.ndarray:
    """`statistic` of each draw, (num_bootstrap, m): it takes row indices and gives m numbers.

    Numbers of one draw belong together, so differences of columns are paired.
    """
    return np.array([statistic(rows) for rows in resamples(users, num_bootstrap, rng)])


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of replicates (num_bootstrap,) (Efron, 1979).

    NaN replicates stay out; NaN, NaN when no replicate is a number.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
