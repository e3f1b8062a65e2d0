"""How much an item gains by each time that its shopper bought it, set on validation.

Training sees the same shoppers and items again and again, and finds more in them than how often;
the weight of the plain count beside it is therefore chosen by orders that training did not see.
Next: ``calibrate.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.datasets.examples import Examples
from training.datasets.histories import Ints
from training.datasets.normalise import Floats
from training.metrics.ranking import per_example, target_ranks
from training.models.sequence import PURCHASE

HABITS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""In nats; the first of the best is taken."""
CHOSEN_BY = "ndcg@10"


class Habits:
    """Ranking metrics of the orders of a split, for each of the habits `among` which one is."""

    def __init__(self, among: Sequence[float] = HABITS) -> None:
        self._found: dict[float, list[dict[str, Floats]]] = {habit: [] for habit in among}

    def add(self, examples: Examples, rows: Ints, score_SI: np.ndarray) -> None:
        """Measure the orders among `rows`, (S, I) of them scored without habit."""
        targets, row = examples.targets(rows)
        asked, sizes = np.unique(row, return_counts=True)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        gain_SI = _log_counts(examples, rows[asked], score_SI.shape)
        for habit, found in self._found.items():
            ranks = target_ranks(score_SI + habit * gain_SI, targets, offsets)
            found.append(per_example(ranks, offsets))

    def best(self) -> tuple[float, dict[str, float]]:
        """The habit of the best NDCG, and the means of its metrics; 0 and none without orders."""
        means = {
            habit: {
                name: float(np.concatenate([one[name] for one in found]).mean())
                for name in sorted(found[0])
            }
            for habit, found in self._found.items()
            if found
        }
        if not means:
            return 0.0, {}
        habit = max(means, key=lambda one: means[one][CHOSEN_BY])
        return habit, means[habit]


def _log_counts(examples: Examples, rows: Ints, shape: tuple[int, ...]) -> Floats:
    """log(1 + times bought) of each item (S, I), as far as the histories of `rows` go back."""
    history = examples.history.take(rows)
    owner = np.repeat(np.arange(len(rows)), np.diff(history.offsets))
    bought = (np.asarray(history.kind) == PURCHASE) & (np.asarray(history.item) > 0)
    counts = np.zeros(shape, dtype=np.float32)
    np.add.at(counts, (owner[bought], np.asarray(history.item)[bought]), 1.0)
    return np.log1p(counts)
