"""The seam of the floors: fit on training rows, then answer like a model, without its targets.

Letters in shapes: m rows asked for, I items of the dataset (0 is no item), H heads. Rows are asked
for in chunks, since (n, I) of a whole split need not fit. Next: ``reading.py``.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from training.datasets.batches import Dataset
from training.metrics.steps import Foreseen


@runtime_checkable
class RankingFloor(Protocol):
    """Ranks all items for the shopper's next order."""

    task: ClassVar[str] = "next_item"

    def fit(self, dataset: Dataset) -> None:
        """Learn what there is to learn, from the split "train" alone."""

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Scores (m, I) for examples number `rows` (m,); -inf for items that did not exist."""


@runtime_checkable
class ProbabilityFloor(Protocol):
    """Answers the heads of the retention task: chances, and expected amounts."""

    task: ClassVar[str] = "retention"

    def fit(self, dataset: Dataset) -> None:
        """Learn from the split "train" alone."""

    def probabilities(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Probabilities (m, H) for examples number `rows` (m,); NaN for heads of other tasks."""


@runtime_checkable
class StepFloor(Protocol):
    """Foresees next actions."""

    task: ClassVar[str] = "next_actions"

    def fit(self, dataset: Dataset) -> None:
        """Learn from the split "train" alone."""

    def foresee(self, dataset: Dataset, split: str, rows: np.ndarray) -> Foreseen:
        """What comes after examples number `rows` (m,)."""
