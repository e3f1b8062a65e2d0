"""A trained network as a source of scores, and what validation sets beside it.

Next: ``answers.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from training.benchmarks.ranked import Ranked, Score, ndcg, rank, ranks_with, room
from training.datasets.batches import Dataset
from training.network import Network

WEIGHTS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Of a rule beside a model's scores; validation chooses one."""
LEADS = tuple(round(0.05 * step, 2) for step in range(41))
"""That new items may get before the others, in the scores' own unit (nats)."""
WARM_LOSS = 0.02
"""Share of their hits that the other items may lose by it, on validation."""


class Rule(Protocol):
    """A floor for sequences: see ``sequence_floors.py``."""

    name: str

    def fit(self, dataset: Dataset) -> None:
        """Learn from the split "train" alone."""

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Scores (m, I) for examples number `rows` (m,) of `split`."""


Added = tuple[tuple[Rule, float], ...]
"""Rules beside a network, with their weights."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A network as a source of scores."""

    network: Network
    dataset: Dataset
    cpu_s: float

    def score(self, split: str) -> Score:
        """Scores (m, I) of all items for rows of `split`."""
        texts_ND = torch.as_tensor(np.array(self.dataset.text_vectors))

        def of(rows: np.ndarray) -> np.ndarray:
            lengths = np.diff(self.dataset.examples(split).history.offsets)[rows]
            order = np.argsort(lengths, kind="stable")  # blocks hold histories of like length
            batch = self.dataset.batch(split, rows[order]).to("cpu")
            items = self.dataset.items(batch.week).to("cpu")
            with torch.no_grad():
                found = self.network(batch, items, texts_ND).scores.whole().numpy()
            return np.asarray(found[np.argsort(order)])

        return of

    def rank(self, added: Added, split: str, keeps_seen: bool) -> Ranked:
        """Rank by the sum of the network's scores and those of rules, each times its weight."""
        total = self._total(added, split)
        return rank(self.dataset, split, total, keeps_seen=keeps_seen)

    def room(self, added: Added, split: str, keeps_seen: bool, asked: np.ndarray) -> np.ndarray:
        """What items that training never saw may gain before the targets of `asked` lose (n,)."""
        total, first = self._total(added, split), self.dataset.meta["num_vocabulary"]
        return room(self.dataset, split, total, first, keeps_seen=keeps_seen, asked=asked)

    def ranks_with(self, added: Added, rule: Rule, split: str, keeps_seen: bool) -> np.ndarray:
        """Ranks (n, w) of all targets for each of ``WEIGHTS`` of `rule`, beside those `added`."""
        return ranks_with(
            self.dataset,
            split,
            self._total(added, split),
            lambda rows: rule.scores(self.dataset, split, rows),
            WEIGHTS,
            keeps_seen=keeps_seen,
        )

    def _total(self, added: Added, split: str) -> Score:
        """Scores (m, I) of the network and of rules, each times its weight."""
        score = self.score(split)

        def total(rows: np.ndarray) -> np.ndarray:
            found = score(rows)
            for rule, weight in added:
                found = found + weight * rule.scores(self.dataset, split, rows)
            return found

        return total


def best_added(
    trained: Trained,
    rules: Sequence[Rule],
    keeps_seen: bool,
    worth: Callable[[np.ndarray], np.ndarray] = ndcg,
) -> Added:
    """Each of `rules` with the weight whose ranks are of most `worth` on validation, on average.

    One after another: a rule's weight is chosen beside those before it, and one without use is
    left out.
    """
    added: Added = ()
    for rule in rules:
        ranks = trained.ranks_with(added, rule, "valid", keeps_seen)
        weight = WEIGHTS[int(np.argmax(worth(ranks).mean(axis=0)))]
        added = (*added, (rule, weight)) if weight else added
    return added


def longest_lead(trained: Trained, added: Added, keeps_seen: bool) -> float:
    """The longest lead that costs the other items no more than ``WARM_LOSS`` on validation.

    The longer it is the more they lose.
    """
    examples = trained.dataset.examples("valid")
    target, _ = examples.targets(np.arange(len(examples)))
    others = np.flatnonzero(target < trained.dataset.meta["num_vocabulary"])
    gaps = trained.room(added, "valid", keeps_seen, others)
    hits = np.array([(gaps > lead).sum() for lead in LEADS])
    return LEADS[np.flatnonzero(hits >= (1.0 - WARM_LOSS) * hits[0])[-1]]
