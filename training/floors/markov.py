"""A Markov chain over kinds, whose first step also knows how long the shopper has been away.

Next: ``../evaluate``.
"""

from __future__ import annotations

import numpy as np

from training.datasets.batches import Dataset
from training.floors.floor import StepFloor
from training.floors.last_steps import NONE, LastSteps, last_steps
from training.floors.reading import examples_of, step_labels
from training.floors.step_frequency import frequencies, median
from training.metrics.steps import LEAVE, OUTCOMES, Foreseen
from training.models.config import MAX_CATEGORIES

AWAY_DAYS = (1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 90.0, 180.0)
"""Ends of the spans of time away that are told apart."""


class Markov(StepFloor):
    """Counts of training: the first step by last kind and time away, the others by the step before.

    Days are medians by time away and step, a category follows the last one as often as it did.
    """

    def fit(self, dataset: Dataset) -> None:
        """Count over all training examples; what never came counts once."""
        rows = examples_of(dataset, "train", self.task)
        kind, days, category = step_labels(dataset, "train", rows)
        last = last_steps(dataset, "train", rows)
        state, away = _state(last), _away(last)
        num_states, num_away = (len(OUTCOMES)) * (len(AWAY_DAYS) + 2), len(AWAY_DAYS) + 2
        first = state * len(OUTCOMES) + kind[:, 0]
        counts = np.bincount(first, minlength=num_states * len(OUTCOMES)).reshape(num_states, -1)
        usual = frequencies(kind[:, 0], len(OUTCOMES))
        self.first = (counts + usual) / (counts.sum(axis=1, keepdims=True) + 1.0)
        before, after = kind[:, :-1].ravel(), kind[:, 1:].ravel()
        self.then = np.stack(
            [frequencies(after[before == one], len(OUTCOMES)) for one in range(len(OUTCOMES))]
        )
        self.then[LEAVE] = np.eye(len(OUTCOMES))[LEAVE]
        self.days = np.array(
            [[median(one) for one in days[away == span].T] for span in range(num_away)]
        )
        self.follows = np.stack(
            [_category_shares(category[last.category == one]) for one in range(MAX_CATEGORIES)]
            + [_category_shares(category)]
        )

    def foresee(self, dataset: Dataset, split: str, rows: np.ndarray) -> Foreseen:
        """p_1 by the shopper's last kind and time away, p_t = p_{t-1} A."""
        last = last_steps(dataset, split, rows)
        chances = [self.first[_state(last)]]
        for _ in range(1, self.days.shape[1]):
            chances.append(chances[-1] @ self.then)
        categories = self.follows[last.category]  # NONE is the last row, which is of everybody
        return Foreseen(
            kinds=np.stack(chances, axis=1),
            days=self.days[_away(last)],
            categories=np.repeat(categories[:, None], len(chances), axis=1),
        )


def _away(last: LastSteps) -> np.ndarray:
    """The span (m,) of time away; the highest number is "did nothing yet"."""
    span = np.searchsorted(AWAY_DAYS, np.nan_to_num(last.days_since), side="right")
    return np.where(last.kind == NONE, len(AWAY_DAYS) + 1, span)


def _state(last: LastSteps) -> np.ndarray:
    """Last kind and time away as one number (m,)."""
    return np.maximum(last.kind, 0) * (len(AWAY_DAYS) + 2) + _away(last)


def _category_shares(category: np.ndarray) -> np.ndarray:
    """Shares (C,) among the known ones of `category` (m, U)."""
    return frequencies(category[~np.isnan(category)].astype(np.int64), MAX_CATEGORIES)
