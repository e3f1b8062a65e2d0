"""What is bought after what this shopper bought: counted over training orders, cosine-normalised.

The strongest simple rule: transformers of well-known papers lose to it on small shops.
Next: ``recency.py``.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from training.datasets.batches import Dataset
from training.floors.floor import RankingFloor
from training.floors.popularity import popularity_scores
from training.floors.reading import behaviours, examples_of

NUM_MOMENTS = 10
"""Orders back that count; the k-th back weighs 1 / k."""
TIE_BREAK = 1e-6


class CoOccurrence(RankingFloor):
    """Score of item j for a shopper: Σ_i h_i C_ij / sqrt(C_i. C_.j).

    h_i = 1 / k when item i was last bought k orders back. C = Hᵀ T over training orders, with the
    rows h of H and the baskets that followed in T (0 and 1); C_i. and C_.j are its margins. The
    diagonal counts how often an item is bought again. Ties go by popularity.
    """

    def fit(self, dataset: Dataset) -> None:
        """Count over all training orders."""
        rows = examples_of(dataset, "train", "next_item")
        before = self._before(dataset, "train", rows)
        item, row = dataset.examples("train").targets(rows)
        after = _matrix(np.ones(len(row)), row, item, before.shape)
        counts = (before.T @ after).tocsr()
        given = np.asarray(counts.sum(axis=1)).ravel()
        follows = np.asarray(counts.sum(axis=0)).ravel()
        self._next = _inverse_root(given) @ counts @ _inverse_root(follows)

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Scores (m, I) by the formula above."""
        called = (self._before(dataset, split, rows) @ self._next).toarray()
        return called + TIE_BREAK * popularity_scores(dataset, split, rows)

    def _before(self, dataset: Dataset, split: str, rows: np.ndarray) -> sparse.csr_matrix:
        """The weights h (m, I) of what was bought before."""
        bought = behaviours(dataset, split, rows, ("purchase",))
        kept = bought.back <= NUM_MOMENTS
        row, item, back = bought.row[kept], bought.item[kept], bought.back[kept]
        order = np.lexsort((back, item, row))
        row, item, back = row[order], item[order], back[order]
        latest = np.ones(len(row), dtype=bool)
        latest[1:] = (row[1:] != row[:-1]) | (item[1:] != item[:-1])
        shape = (len(rows), dataset.meta["num_items"])
        return _matrix(1.0 / back[latest], row[latest], item[latest], shape)


def _matrix(
    values: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_matrix:
    return sparse.csr_matrix((values, (row, column)), shape=shape)


def _inverse_root(margin: np.ndarray) -> sparse.dia_matrix:
    """Diagonal matrix of 1 / sqrt, 0 where the margin is 0."""
    return sparse.diags(np.where(margin > 0, 1.0 / np.sqrt(np.maximum(margin, 1e-12)), 0.0))
