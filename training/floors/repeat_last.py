"""What a shopper did last, again and again, in the rhythm of the last two steps.

Next: ``markov.py``.
"""

from __future__ import annotations

import numpy as np

from training.datasets.batches import Dataset
from training.floors.floor import StepFloor
from training.floors.last_steps import NONE, last_steps
from training.floors.reading import examples_of, step_labels
from training.floors.step_frequency import StepFrequency
from training.metrics.steps import OUTCOMES, Foreseen


class RepeatLast(StepFloor):
    """The last kind, with the share of training in which a step repeats it; the rest by frequency.

    Step n comes n gaps after the last one, and not before now; its category is the last one.
    """

    def fit(self, dataset: Dataset) -> None:
        """Count how often each step repeats the last kind."""
        self.frequency = StepFrequency()
        self.frequency.fit(dataset)
        rows = examples_of(dataset, "train", self.task)
        kind, _, _ = step_labels(dataset, "train", rows)
        last = last_steps(dataset, "train", rows).kind
        some = last != NONE
        self.repeats = ((kind == last[:, None])[some].sum(axis=0) + 1.0) / (some.sum() + 2.0)

    def foresee(self, dataset: Dataset, split: str, rows: np.ndarray) -> Foreseen:
        """Of whoever did nothing yet, the frequencies."""
        usual, last = self.frequency.foresee(dataset, split, rows), last_steps(dataset, split, rows)
        some = last.kind != NONE
        is_last = np.eye(len(OUTCOMES), dtype=bool)[np.where(some, last.kind, 0)][:, None]
        rest = np.where(is_last, 0.0, usual.kinds)
        rest *= (1.0 - self.repeats[None, :, None]) / rest.sum(axis=2, keepdims=True)
        kinds = np.where(is_last, self.repeats[None, :, None], rest)
        number = np.arange(1, kinds.shape[1] + 1)
        days = np.maximum(last.gap_days[:, None] * number - last.days_since[:, None], 0.0)
        categories = np.array(usual.categories)
        told = np.flatnonzero(last.category != NONE)
        categories[told, :, last.category[told]] = 1.0
        return Foreseen(
            kinds=np.where(some[:, None, None], kinds, usual.kinds),
            days=np.where(np.isnan(days), usual.days, days),
            categories=categories / categories.sum(axis=2, keepdims=True),
        )
