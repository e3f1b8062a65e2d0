"""What this shopper had in hand last, most recent first; the rest by popularity.

Next: ``co_occurrence.py``.
"""

from __future__ import annotations

import numpy as np

from training.datasets.batches import Dataset
from training.floors.floor import RankingFloor
from training.floors.popularity import popularity_scores
from training.floors.reading import behaviours

FAR = 10_000.0
"""Moments back that no history reaches."""
KINDS = ("view", "click", "cart", "purchase")


class LastItems(RankingFloor):
    """Items in the order of their last behaviour; those of one moment by popularity."""

    def fit(self, dataset: Dataset) -> None:
        """Nothing to learn."""

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """10,000 - moments back + popularity (m, I)."""
        scores = popularity_scores(dataset, split, rows)
        seen = behaviours(dataset, split, rows, KINDS)
        place = np.zeros(scores.shape)
        np.maximum.at(place, (seen.row, seen.item), FAR - seen.back)
        return scores + place
