"""How often each kind comes at each step, whoever is asked about. Next: ``repeat_last.py``."""

from __future__ import annotations

import numpy as np

from training.datasets.batches import Dataset
from training.floors.floor import StepFloor
from training.floors.reading import examples_of, step_labels
from training.metrics.steps import OUTCOMES, Foreseen
from training.models.config import MAX_CATEGORIES


class StepFrequency(StepFloor):
    """Shares of training, median days and shares of categories: the same for everybody."""

    def fit(self, dataset: Dataset) -> None:
        """Count over all training examples."""
        rows = examples_of(dataset, "train", self.task)
        kind, days, category = step_labels(dataset, "train", rows)
        self.kinds = np.stack([frequencies(one, len(OUTCOMES)) for one in kind.T])
        self.days = np.array([median(one) for one in days.T])
        known = category[~np.isnan(category)]
        self.categories = frequencies(known.astype(np.int64), MAX_CATEGORIES)

    def foresee(self, dataset: Dataset, split: str, rows: np.ndarray) -> Foreseen:
        """The same for each of `rows`."""
        num, steps = len(rows), len(self.days)
        return Foreseen(
            kinds=np.broadcast_to(self.kinds, (num, *self.kinds.shape)),
            days=np.broadcast_to(self.days, (num, steps)),
            categories=np.broadcast_to(self.categories, (num, steps, MAX_CATEGORIES)),
        )


def frequencies(values: np.ndarray, num: int) -> np.ndarray:
    """Shares (num,) of the whole numbers `values`, each counted once more than it came."""
    counts = np.bincount(values, minlength=num) + 1.0
    return np.asarray(counts / counts.sum())


def median(days: np.ndarray) -> float:
    """Of the days that are known; 0 when none is."""
    known = days[~np.isnan(days)]
    return float(np.median(known)) if len(known) else 0.0
