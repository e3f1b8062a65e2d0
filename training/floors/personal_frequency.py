"""What this shopper bought most often; ties, and what was never bought, by popularity.

Shops re-buy: where two fifths of the lines repeat an earlier purchase this is hard to beat.
Next: ``last_items.py``.
"""

from __future__ import annotations

import numpy as np

from training.datasets.batches import Dataset
from training.floors.floor import RankingFloor
from training.floors.popularity import popularity_scores
from training.floors.reading import behaviours


class PersonalFrequency(RankingFloor):
    """Number of earlier purchases of the item within the history that a dataset keeps."""

    def fit(self, dataset: Dataset) -> None:
        """Nothing to learn."""

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Count + popularity (m, I)."""
        scores = popularity_scores(dataset, split, rows)
        bought = behaviours(dataset, split, rows, ("purchase",))
        np.add.at(scores, (bought.row, bought.item), 1.0)
        return scores
