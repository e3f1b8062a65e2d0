"""How well a ranking of all items meets a basket: recall, NDCG, hit rate and reciprocal rank.

Numbers are per example, so that whoever asks can average, resample or compare them. Letters in
shapes: n examples, I items, T targets of all examples together, ragged by `offsets` (n + 1,): the
targets of example i are ``[offsets[i] : offsets[i + 1]]``.

A score of -inf takes an item out of the ranking. **Ties count against**: among equal scores the
items that are no targets come first, so a constant score earns nothing. Next: ``probability.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

CUTOFFS = (10,)


def target_ranks(scores: np.ndarray, targets: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Rank (T,) of each target among all allowed items of its row; the best rank is 1.

    Parameters
    ----------
    scores
        (n, I); -inf where an item may not be ranked.
    targets, offsets
        Item indices (T,), distinct within a row, and where each row's begin (n + 1,).

    Raises
    ------
    ValueError
        When a score is NaN or a target has the score -inf.
    """
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} scores are NaN; a ranking needs numbers")
    row = np.repeat(np.arange(len(scores)), np.diff(offsets))
    found = scores[row, targets]
    if np.isneginf(found).any():
        outside = targets[np.isneginf(found)].tolist()
        raise ValueError(f"targets {outside} may not be ranked (score -inf); drop them first")
    above = [
        one.searchsorted(found[start:end])
        for one, (start, end) in zip(np.sort(scores, axis=1), pairwise(offsets), strict=True)
    ]
    at_least = scores.shape[1] - np.concatenate([np.zeros(0, dtype=np.int64), *above])
    return np.asarray(at_least - _later_mates(row, found))


def _later_mates(row: np.ndarray, found: np.ndarray) -> np.ndarray:
    """How many later targets (T,) of its row score as each: they take the last places of a tie."""
    order = np.lexsort((found, row))
    row, found = row[order], found[order]
    is_last = np.append((np.diff(row) != 0) | (np.diff(found) != 0), True)[: len(row)]
    ends = np.flatnonzero(is_last)
    later = np.empty(len(row), dtype=np.int64)
    later[order] = np.repeat(ends, np.diff(ends, prepend=-1)) - np.arange(len(row))
    return later


def recall(ranks: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """recall@k (n,): the share of the basket among the first k, |top-k ∩ basket| / |basket|.

    A basket of more than k items cannot reach 1 (Manning et al., Introduction to Information
    Retrieval, 8.4).
    """
    return _sums(ranks <= k, offsets) / _sizes(offsets)


def hit(ranks: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """hit@k (n,): 1 when at least one item of the basket is among the first k."""
    return (_sums(ranks <= k, offsets) > 0).astype(float)


def ndcg(ranks: np.ndarray, offsets: np.ndarray, k: int) -> np.ndarray:
    """NDCG@k (n,) with gain 1 for items of the basket.

    DCG = Σ_{targets with rank ≤ k} 1 / log2(1 + rank), divided by that of a perfect ranking,
    Σ_{i = 1}^{min(k, |basket|)} 1 / log2(1 + i) (Järvelin and Kekäläinen, 2002).
    """
    gains = np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])
    return _sums(gains, offsets) / ideal[np.minimum(_sizes(offsets), k)]


def reciprocal_rank(ranks: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """1 / rank (n,) of the best-ranked item of the basket; its mean is MRR (Voorhees, 1999)."""
    _sizes(offsets)
    return 1.0 / np.minimum.reduceat(ranks, offsets[:-1]) if len(offsets) > 1 else np.zeros(0)


def per_example(
    ranks: np.ndarray, offsets: np.ndarray, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, np.ndarray]:
    """All ranking metrics by name, each (n,)."""
    found: dict[str, np.ndarray] = {}
    for k in cutoffs:
        found[f"recall@{k}"] = recall(ranks, offsets, k)
        found[f"ndcg@{k}"] = ndcg(ranks, offsets, k)
        found[f"hit@{k}"] = hit(ranks, offsets, k)
    return found | {"mrr": reciprocal_rank(ranks, offsets)}


def ranking_metrics(
    scores: np.ndarray, baskets: Sequence[np.ndarray] | np.ndarray, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, float]:
    """Mean ranking metrics of `scores` (n, I) for `baskets` (n arrays of distinct item indices)."""
    offsets = np.cumsum([0, *(len(basket) for basket in baskets)])
    targets = np.concatenate([np.zeros(0, dtype=np.int64), *map(np.asarray, baskets)])
    ranks = target_ranks(scores, targets, offsets)
    return {
        name: float(values.mean()) for name, values in per_example(ranks, offsets, cutoffs).items()
    }


def _sizes(offsets: np.ndarray) -> np.ndarray:
    """Number of targets (n,) of each example, which must have one."""
    sizes = np.diff(offsets)
    assert (sizes > 0).all(), "examples without a target must be dropped before they are measured"
    return sizes


def _sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sum (n,) of ragged `values` (T,) over each example, which must have one."""
    _sizes(offsets)
    if len(offsets) == 1:
        return np.zeros(0)
    sums: np.ndarray = np.add.reduceat(values.astype(float), offsets[:-1])
    return sums
