"""Regressions on all that is known of a shopper: what somebody with one table tries first.

The page of a user's own snapshots sets them beside the network (``../benchmarks/snapshots.py``).
"""

from __future__ import annotations

import numpy as np

from training.datasets.batches import Dataset
from training.effects.base import Base
from training.floors.floor import ProbabilityFloor
from training.floors.logistic import Answer, constant
from training.floors.reading import examples_of, head_names


class AllFeatures(ProbabilityFloor):
    """One model of `base` for each chance with labels."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def fit(self, dataset: Dataset) -> None:
        """Learn each head from the training rows that have its label."""
        examples = dataset.examples("train")
        rows = examples_of(dataset, "train", self.task)
        scalars = np.asarray(examples.scalars[rows], dtype=np.float64)
        self._heads: list[Answer] = []
        for label in np.asarray(examples.label[rows], dtype=np.float64).T[
            : len(head_names(dataset))
        ]:
            known = label[~np.isnan(label)]
            learn = len(np.unique(known)) > 1
            found = self._base(scalars[~np.isnan(label)], known) if learn else constant(known)
            self._heads.append(found)

    def probabilities(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Answers (m, H); NaN for heads without labels."""
        scalars = np.asarray(dataset.examples(split).scalars[rows], dtype=np.float64)
        return np.stack([head(scalars) for head in self._heads], axis=1)
