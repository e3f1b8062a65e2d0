"""Regression of the retention heads on a few features, as scikit-learn fits it.

Next: ``recency.py``, ``logistic_rfm.py``, which say on which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from sklearn.linear_model import LogisticRegression, TweedieRegressor

from training.datasets.batches import Dataset
from training.floors.floor import ProbabilityFloor
from training.floors.reading import amount_names, examples_of, head_names, user_scalars

Answer = Callable[[np.ndarray], np.ndarray]


class Logistic(ProbabilityFloor):
    """One regression per head on the normalised logs of `columns` and their missing flags."""

    columns: ClassVar[tuple[str, ...]]

    def fit(self, dataset: Dataset) -> None:
        """One regression for each head with labels that differ; else the value there is."""
        rows = examples_of(dataset, "train", self.task)
        inputs = user_scalars(dataset, "train", rows, *self.columns)
        self._heads: list[Answer] = []
        heads, amounts = head_names(dataset), amount_names(dataset)
        for head, label in zip(heads, dataset.examples("train").label[rows].T, strict=False):
            asked = ~np.isnan(label)
            known = label[asked].astype(np.float64)
            regress = amount_of if head in amounts else chance_of
            differ = len(np.unique(known)) > 1
            self._heads.append(regress(inputs[asked], known) if differ else constant(known))

    def probabilities(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Answers (m, H); NaN for heads without labels."""
        inputs = user_scalars(dataset, split, rows, *self.columns)
        return np.stack([head(inputs) for head in self._heads], axis=1)


def constant(known: np.ndarray) -> Answer:
    """The mean of `known` for everybody; NaN of none."""
    value = float(known.mean()) if len(known) else float("nan")
    return lambda inputs: np.full(len(inputs), value)


def chance_of(inputs: np.ndarray, label: np.ndarray) -> Answer:
    """Logistic regression."""
    model = LogisticRegression(max_iter=1_000).fit(inputs, label)
    return lambda asked: np.asarray(model.predict_proba(asked)[:, 1])


def amount_of(inputs: np.ndarray, amount: np.ndarray) -> Answer:
    """Tweedie's regression, between Poisson and Gamma, for what many spend nothing of.

    Its mean is the exponential of a line (Jorgensen, 1987), which has no end: no answer passes the
    largest amount that training saw.
    """
    scale, most = float(amount.mean()), float(amount.max())
    model = TweedieRegressor(power=1.5, alpha=1e-3, link="log", max_iter=2_000)
    model.fit(inputs, amount / scale)
    return lambda asked: np.minimum(model.predict(asked) * scale, most)
