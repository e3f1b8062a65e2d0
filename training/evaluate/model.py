"""A finished run as the evaluation's model: restored weights, calibrated probabilities.

Next: ``answers.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from training.ahead import foresee
from training.bundle import Bundle
from training.datasets.batches import Dataset
from training.metrics.steps import Foreseen
from training.network import restore

MAX_POSITIONS, MAX_ROWS = 16_384, 512


class Trained:
    """The network of the run in `folder`, asked about any examples of its dataset."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self.run, self._network = restore(folder, dataset)
        self._dataset = dataset
        self._texts_ND = torch.as_tensor(np.array(dataset.text_vectors))
        self.bundle = Bundle.load(folder / "bundle")

    @property
    def thresholds(self) -> dict[str, float]:
        """By head: the probability from which it is served as a yes."""
        return dict(self.bundle.manifest["thresholds"])

    def answers(
        self, split: str, rows: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """See :class:`training.evaluate.answers.Model`."""
        for planned in self._dataset.plan(split, MAX_POSITIONS, among=rows):
            for start in range(0, len(planned), MAX_ROWS):
                chunk = planned[start : start + MAX_ROWS]
                yield (chunk, *self._answer(split, chunk))

    def foresee(self, split: str, rows: np.ndarray) -> Foreseen:
        """See :class:`training.evaluate.answers.Model`."""
        return foresee(self._network, self._dataset, split, rows)

    @torch.no_grad()
    def _answer(self, split: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (m, I) and probabilities (m, H) of examples of one week."""
        batch = self._dataset.batch(split, rows)
        catalogue = self._dataset.items(batch.week).to("cpu")
        output = self._network(batch.to("cpu"), catalogue, self._texts_ND)
        chances = self._network.probabilities(output.logit_BH)
        return output.score_BI.numpy(), chances.numpy()
