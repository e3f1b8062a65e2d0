"""What goes together with what this shopper bought, counted over the baskets of training.

The strongest simple rule for items that a shopper never bought: transformers of well-known papers
lose to it on small shops. Next: ``recency.py``.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from training.datasets.batches import Dataset
from training.floors.floor import RankingFloor
from training.floors.popularity import popularity_scores
from training.floors.reading import behaviours, examples_of

NUM_MOMENTS = 50
"""Orders back that count; the k-th back weighs 1 / k."""
TIE_BREAK = 1e-6


class CoOccurrence(RankingFloor):
    """Score of item j for a shopper: Σ_i h_i (N(BᵀB) + N(HᵀB))_ij.

    B holds the training baskets (0 and 1), so BᵀB counts what lies in one basket; its diagonal, how
    often an item is bought. H holds what the same shopper bought before: h_i = Σ 1 / k over the
    times item i was bought, k orders back; HᵀB counts what is bought after what. N is the cosine
    normalisation C_ij / sqrt(C_i. C_.j), with margins. Ties go by popularity.
    """

    def fit(self, dataset: Dataset) -> None:
        """Count over all training orders."""
        rows = examples_of(dataset, "train", "next_item")
        before = self._before(dataset, "train", rows)
        item, row = dataset.examples("train").targets(rows)
        basket = _matrix(np.ones(len(row)), row, item, before.shape)
        self._together = _normalised(basket.T @ basket) + _normalised(before.T @ basket)

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Scores (m, I) by the formula above."""
        called = (self._before(dataset, split, rows) @ self._together).toarray()
        return called + TIE_BREAK * popularity_scores(dataset, split, rows)

    def _before(self, dataset: Dataset, split: str, rows: np.ndarray) -> sparse.csr_matrix:
        """The weights h (m, I) of what was bought before."""
        bought = behaviours(dataset, split, rows, ("purchase",))
        kept = bought.back <= NUM_MOMENTS
        shape = (len(rows), dataset.meta["num_items"])
        return _matrix(1.0 / bought.back[kept], bought.row[kept], bought.item[kept], shape)


def _matrix(
    values: np.ndarray, row: np.ndarray, column: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_matrix:
    """A sparse matrix; values of one cell are added up."""
    return sparse.csr_matrix((values, (row, column)), shape=shape)


def _normalised(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Each count divided by the roots of its row's and its column's sum."""
    left, right = (
        sparse.diags(np.where(sums > 0, 1.0 / np.sqrt(np.maximum(sums, 1e-12)), 0.0))
        for sums in (np.asarray(counts.sum(axis=axis)).ravel() for axis in (1, 0))
    )
    return left @ counts @ right
