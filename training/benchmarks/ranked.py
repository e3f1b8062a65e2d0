"""What a ranking of all items is worth: accuracy, and what an average over shoppers hides.

Shapes: n shoppers, K places of a list. Next: ``next_item.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from training.benchmarks.sequence_floors import known
from training.datasets.batches import Dataset

PLACES = 10
CHUNK = 2048
"""Shoppers whose scores of all items are held at one time."""
POPULARITY_FROM = (0, 1, 5, 10, 25)
"""Where groups of targets begin, by how often training bought them."""
LENGTH_FROM = (0, 5, 7, 10, 20)
"""Where groups of shoppers begin, by how many behaviours are known of them."""
Score = Callable[[np.ndarray], np.ndarray]
"""Row numbers (m,) of a split to scores (m, I)."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """The answers of one source to all shoppers of a split."""

    rank: np.ndarray
    """(n,), place of the target; the best is 1."""
    top: np.ndarray
    """(n, K), the first items."""

    @property
    def hit(self) -> np.ndarray:
        """HR@K (n,), see ``hit``."""
        return hit(self.rank)

    @property
    def ndcg(self) -> np.ndarray:
        """NDCG@K (n,), see ``ndcg``."""
        return ndcg(self.rank)


def hit(rank: np.ndarray) -> np.ndarray:
    """HR@K: whether a target of such a `rank` is among the first K."""
    return (rank <= PLACES).astype(float)


def ndcg(rank: np.ndarray) -> np.ndarray:
    """NDCG@K of one target: 1 / log2(1 + rank) among the first K, else 0."""
    return np.where(rank <= PLACES, 1.0 / np.log2(1.0 + rank), 0.0)


def rank(dataset: Dataset, split: str, score: Score, *, keeps_seen: bool) -> Ranked:
    """Rank all items for every shopper; ties count against the target.

    Without `keeps_seen` the items of a shopper's history stand behind all others, and a target
    among them is a miss.
    """
    examples = dataset.examples(split)
    ranks, tops = [], []
    for rows, scores in _scored(dataset, split, score, keeps_seen, np.arange(len(examples))):
        ranks.append(_target_ranks(scores, examples.targets(rows)[0]))
        tops.append(_first(scores, min(PLACES, scores.shape[1] - 1)))
    return Ranked(np.concatenate(ranks), np.concatenate(tops))


def ranks_with(
    dataset: Dataset,
    split: str,
    score: Score,
    beside: Score,
    weights: Sequence[float],
    *,
    keeps_seen: bool,
) -> np.ndarray:
    """Ranks (n, w) of all targets by `score` with each of `weights` of the scores `beside` it."""
    examples = dataset.examples(split)
    ranks = []
    for rows, scores in _scored(dataset, split, score, keeps_seen, np.arange(len(examples))):
        target = examples.targets(rows)[0]
        scores, added = (one.astype(np.float32) for one in (scores, beside(rows)))
        by_weight = [_target_ranks(scores + weight * added, target) for weight in weights]
        ranks.append(np.stack(by_weight, axis=1))
    return np.concatenate(ranks)


def room(
    dataset: Dataset, split: str, score: Score, first: int, *, keeps_seen: bool, asked: np.ndarray
) -> np.ndarray:
    """What items `first` and up may gain before the target leaves the first K (n,).

    For shoppers `asked` about, whose targets lie below `first`; -inf where a target is not among
    the first K in the first place.
    """
    examples, rooms = dataset.examples(split), []
    for rows, scores in _scored(dataset, split, score, keeps_seen, asked):
        found = scores[np.arange(len(rows)), examples.targets(rows)[0]]
        free = PLACES - (scores[:, :first] >= found[:, None]).sum(axis=1)
        none = np.full((len(rows), PLACES), -np.inf)
        later = np.concatenate([scores[:, first:], none], axis=1)
        # Of the later items, the first that there is no place for before the target.
        over = _first(later, PLACES)[np.arange(len(rows)), np.maximum(free, 0)]
        gap = found - later[np.arange(len(rows)), over]
        rooms.append(np.where(free >= 0, gap, -np.inf))
    return np.concatenate(rooms)


def _scored(
    dataset: Dataset, split: str, score: Score, keeps_seen: bool, asked: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows (m,) and their scores (m, I), a chunk at a time; -inf for what is not ranked."""
    examples = dataset.examples(split)
    for start in range(0, len(asked), CHUNK):
        rows = asked[start : start + CHUNK]
        scores = score(rows)
        scores[:, 0] = -np.inf
        if not keeps_seen:
            history = examples.history.take(rows)
            owner = np.repeat(np.arange(len(rows)), np.diff(history.offsets))
            scores[owner, history.item] = -np.inf
        yield rows, scores


def coverage(ranked: Ranked, dataset: Dataset) -> float:
    """Share of the catalogue that stands in anybody's list."""
    return len(np.unique(ranked.top)) / (dataset.meta["num_items"] - 1)


def novelty(ranked: Ranked, dataset: Dataset) -> float:
    """Mean of -log2(share of training's purchases) over all places, in bits; unseen counts once.

    Self-information (Castells, Hurley and Vargas, Recommender Systems Handbook, 2015).
    """
    bought = popularity(dataset)
    return float(-np.log2(np.maximum(bought, 1) / bought.sum())[ranked.top].mean())


def diversity(ranked: Ranked, dataset: Dataset) -> float:
    """Mean distance of two items of a list: 1 - cosine of who bought them in training.

    Intra-list distance (Ziegler et al. 2005). Items that nobody bought are at distance 1.
    """
    item, after = known(dataset)
    owner = np.cumsum(after == 0) - (after == 0)
    shape = (int((after == 0).sum()), dataset.meta["num_items"])
    had = sparse.csr_matrix((np.ones(len(item)), (owner, item)), shape=shape)
    had.data[:] = 1.0
    num = np.asarray(had.sum(axis=0)).ravel()
    had = had @ sparse.diags(1.0 / np.sqrt(np.maximum(num, 1.0)))
    alike = (had.T @ had).tocsr()
    first, second = np.triu_indices(ranked.top.shape[1], 1)
    pairs = (ranked.top[:, first].ravel(), ranked.top[:, second].ravel())
    return float(1.0 - np.asarray(alike[pairs]).mean()) if len(first) else 0.0


def popularity(dataset: Dataset) -> np.ndarray:
    """How often training bought each item (I,)."""
    return np.bincount(known(dataset)[0], minlength=dataset.meta["num_items"])


def by_popularity(dataset: Dataset, split: str) -> Iterator[tuple[str, np.ndarray]]:
    """Names and rows of groups of shoppers, by how often training bought their target."""
    targets, _ = dataset.examples(split).targets(np.arange(len(dataset.examples(split))))
    yield from _groups(popularity(dataset)[targets], POPULARITY_FROM)


def by_length(dataset: Dataset, split: str) -> Iterator[tuple[str, np.ndarray]]:
    """Names and rows of groups of shoppers, by the length of their history."""
    yield from _groups(np.diff(dataset.examples(split).history.offsets), LENGTH_FROM)


def _groups(value: np.ndarray, starts: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
    for start, end in pairwise([*starts, np.inf]):
        rows = np.flatnonzero((value >= start) & (value < end))
        name = f"{start} and more" if end == np.inf else f"{start} to {end - 1:.0f}"
        if len(rows):
            yield (str(start) if end == start + 1 else name), rows


def _target_ranks(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rank (m,) of each row's target; ties count against it."""
    found = scores[np.arange(len(target)), target]
    return np.asarray((scores >= found[:, None]).sum(axis=1))


def _first(scores: np.ndarray, num: int) -> np.ndarray:
    """The `num` best items (m, num) of each row, best first."""
    some = np.argpartition(-scores, num - 1, axis=1)[:, :num]
    order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)
