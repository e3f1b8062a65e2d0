"""What the model and every floor say about the same examples of a split.

Rankings are measured chunk by chunk, since all scores of a split need not fit into memory: of each
only the metrics per order stay. Next: ``compare.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from training.datasets.batches import Dataset
from training.floors import FLOORS, ProbabilityFloor, RankingFloor, StepFloor
from training.floors.reading import behaviours, examples_of
from training.metrics.ranking import per_example, target_ranks
from training.metrics.steps import Foreseen

MODEL = "model"
ALL_ITEMS, NEW_ITEMS = "seen items included", "seen items excluded"
CHUNK = 256


class Model(Protocol):
    """A trained network, as the evaluation sees it."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """By head: the probability from which it is served as a yes."""

    def answers(
        self, split: str, rows: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Chunks of `rows`, with scores (m, I), -inf where not existing, and probabilities (m, H).

        Every one of `rows` comes once, in any order.
        """

    def foresee(self, split: str, rows: np.ndarray) -> Foreseen:
        """What comes next after `rows`; asked where the dataset has that task alone."""


@dataclass(slots=True)
class Ranked:
    """Ranking metrics per order of one source: ``values[variant][metric]`` is (n,).

    NaN where the variant leaves no target to an order.
    """

    dataset: Dataset
    split: str
    rows: np.ndarray
    values: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def add(self, place: np.ndarray, scores: np.ndarray) -> None:
        """Measure the orders ``rows[place]`` by their `scores` (m, I)."""
        target, row = self.dataset.examples(self.split).targets(self.rows[place])
        seen = self._seen(self.rows[place], scores.shape)
        self._measure(ALL_ITEMS, place, scores, target, row)
        kept = ~seen[row, target]
        self._measure(NEW_ITEMS, place, np.where(seen, -np.inf, scores), target[kept], row[kept])

    def _seen(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Which items (m, I) the shopper bought before, as far as the history goes back."""
        bought = behaviours(self.dataset, self.split, rows, ("purchase",))
        seen = np.zeros(shape, dtype=bool)
        seen[bought.row, bought.item] = True
        return seen

    def _measure(
        self,
        variant: str,
        place: np.ndarray,
        scores: np.ndarray,
        target: np.ndarray,
        row: np.ndarray,
    ) -> None:
        asked, sizes = np.unique(row, return_counts=True)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        ranks = target_ranks(scores[asked], target, offsets)
        kept = self.values.setdefault(variant, {})
        for metric, values in per_example(ranks, offsets).items():
            column = kept.setdefault(metric, np.full(len(self.rows), np.nan))
            column[place[asked]] = values


@dataclass(frozen=True, slots=True)
class Answers:
    """All sources on one split; every (n,) of a task is in the order of ``rows[task]``."""

    rows: Mapping[str, np.ndarray]
    """Numbers of the examples of each task."""
    ranked: Mapping[str, Ranked]
    """By source, for the task next_item."""
    probability: Mapping[str, np.ndarray]
    """By source, for the task retention: (n, H)."""


def fit_floors(
    dataset: Dataset, chosen: Mapping[str, ProbabilityFloor] | None = None
) -> dict[str, RankingFloor | ProbabilityFloor]:
    """The `chosen` floors, or those that rank or give probabilities for the dataset's tasks."""
    floors: dict[str, RankingFloor | ProbabilityFloor] = {}
    asked: Mapping[str, RankingFloor | ProbabilityFloor | StepFloor]
    asked = chosen or {name: kind() for name, kind in FLOORS.items()}
    for name, floor in asked.items():
        if floor.task in _tasks(dataset) and not isinstance(floor, StepFloor):
            floor.fit(dataset)
            floors[name] = floor
    return floors


def ask(
    dataset: Dataset,
    split: str,
    model: Model,
    floors: Mapping[str, RankingFloor | ProbabilityFloor],
    max_examples: int | None = None,
) -> Answers:
    """Ask the model and the floors about `split`.

    Parameters
    ----------
    max_examples
        Of each task at most so many, evenly spread over the split's time.
    """
    rows = {
        task: _spread(examples_of(dataset, split, task), max_examples) for task in _tasks(dataset)
    }
    orders, snapshots = (rows.get(task, np.zeros(0, int)) for task in ("next_item", "retention"))
    ranked = {MODEL: Ranked(dataset, split, orders)}
    num_heads = sum(map(len, dataset.meta["heads"].values()))
    probability = {MODEL: np.full((len(snapshots), num_heads), np.nan)}
    for asked, scores, chances in model.answers(split, np.concatenate([orders, snapshots])):
        ordered, is_order = _places(orders, asked)
        if is_order.any():
            ranked[MODEL].add(ordered, scores[is_order])
        place, is_snapshot = _places(snapshots, asked)
        probability[MODEL][place] = chances[is_snapshot]
    for name, floor in floors.items():
        if isinstance(floor, RankingFloor):
            ranked[name] = _ranked_floor(floor, dataset, split, orders)
        else:
            probability[name] = floor.probabilities(dataset, split, snapshots)
    return Answers(rows=rows, ranked=ranked, probability=probability)


def _ranked_floor(floor: RankingFloor, dataset: Dataset, split: str, rows: np.ndarray) -> Ranked:
    """Metrics of a floor's ranking, chunk by chunk."""
    found = Ranked(dataset, split, rows)
    for start in range(0, len(rows), CHUNK):
        place = np.arange(start, min(start + CHUNK, len(rows)))
        found.add(place, floor.scores(dataset, split, rows[place]))
    return found


def _tasks(dataset: Dataset) -> list[str]:
    return list(dataset.meta["tasks"])


def _spread(rows: np.ndarray, max_examples: int | None) -> np.ndarray:
    """At most `max_examples` of `rows`, evenly spread."""
    if max_examples is None or len(rows) <= max_examples:
        return rows
    return rows[np.linspace(0, len(rows) - 1, max_examples).astype(np.int64)]


def _places(rows: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where those of `asked` that are among the ascending `rows` stand, and which they are."""
    place = np.searchsorted(rows, asked)
    found = np.zeros(len(asked), dtype=bool)
    inside = place < len(rows)
    found[inside] = rows[place[inside]] == asked[inside]
    return place[found], found
