"""Logistic regression of the retention heads on a few features, as scikit-learn fits it.

Next: ``recency.py``, ``logistic_rfm.py``, which say on which.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.linear_model import LogisticRegression

from training.datasets.batches import Dataset
from training.floors.floor import ProbabilityFloor
from training.floors.reading import examples_of, user_scalars


class Logistic(ProbabilityFloor):
    """One regression per head on the normalised logs of `columns` and their missing flags."""

    columns: ClassVar[tuple[str, ...]]

    def fit(self, dataset: Dataset) -> None:
        """One regression per head with labels of both kinds; else the rate of the one there is."""
        rows = examples_of(dataset, "train", self.task)
        inputs = user_scalars(dataset, "train", rows, *self.columns)
        self._heads: list[LogisticRegression | float] = []
        num_heads = sum(map(len, dataset.meta["heads"].values()))
        for column in dataset.examples("train").label[rows, :num_heads].T:
            asked = ~np.isnan(column)
            known = column[asked]
            if len(np.unique(known)) < 2:
                self._heads.append(float(known.mean()) if len(known) else float("nan"))
            else:
                self._heads.append(LogisticRegression(max_iter=1_000).fit(inputs[asked], known))

    def probabilities(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Probabilities (m, H); NaN for heads without labels."""
        inputs = user_scalars(dataset, split, rows, *self.columns)
        columns = [
            np.full(len(rows), head)
            if isinstance(head, float)
            else head.predict_proba(inputs)[:, 1]
            for head in self._heads
        ]
        return np.stack(columns, axis=1)
