"""What sold most in the last 30 days, as of the start of the week; ties go by 90 days.

Next: ``personal_frequency.py``.
"""

from __future__ import annotations

import numpy as np

from training.datasets.batches import Dataset
from training.floors.floor import RankingFloor
from training.floors.reading import by_week, item_scalar


class Popularity(RankingFloor):
    """The same list for everybody. Nothing is learnt: the items' own numbers say it."""

    def fit(self, dataset: Dataset) -> None:
        """Nothing to learn."""

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """See :func:`popularity_scores`."""
        return popularity_scores(dataset, split, rows)


def popularity_scores(dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
    """Scores (m, I) in [0, 1), equal where both counts are equal; -inf where not existing.

    Below one, so that floors that count in whole numbers can break their ties by it.
    """

    def of_week(week: int) -> np.ndarray:
        recent, longer = (
            np.unique(item_scalar(dataset, week, f"num_purchases_{days}d"), return_inverse=True)[1]
            for days in (30, 90)
        )
        place = recent * (longer.max() + 1) + longer
        return np.where(dataset.items(week).exists_I, place / (place.max() + 1), -np.inf)

    return by_week(dataset, split, rows, of_week)
