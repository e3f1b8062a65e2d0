"""What a model of sequences must beat: rules that are counted in seconds.

All are fitted on the training part of the sequences alone; asked about the test, they know the
history that a model knows, the validation item included. Shapes: m shoppers asked about, I items
of the dataset (0 is no item). Next: ``next_item.py``.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from training.datasets.batches import Dataset
from training.datasets.histories import Histories

TIE_BREAK = 1e-6
BACKWARDS = 0.5
"""Weight of what was bought before an item, beside what was bought after it."""
OUTGOING, INCOMING = 0.7, 0.3
"""Powers of the sums by which counts are divided: of the first item, and of the second."""


class Popularity:
    """How often each item was bought in training: the same list for everybody."""

    name = "popularity"

    def fit(self, dataset: Dataset) -> None:
        """Count."""
        item, _ = known(dataset)
        counts = np.bincount(item, minlength=dataset.meta["num_items"])
        self._share = counts / counts.max()

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Scores (m, I) in [0, 1]."""
        return np.tile(self._share, (len(rows), 1))


class CoOccurrence:
    """What goes with what a shopper had: Σ_k 1/k N(C)_{i_k j}, k behaviours back; ties by sales.

    C_ij is the sum over pairs of one training sequence of d^-1/2 where j came d places after i,
    and half of it where j came before. N divides by the row's sum to the power .7 and the column's
    to .3. Weights, direction and powers were chosen on Beauty's validation.
    """

    name = "co_occurrence"

    def fit(self, dataset: Dataset) -> None:
        """Count over the training sequences."""
        total = followed(dataset)
        total = total + BACKWARDS * total.T
        out, into = (np.asarray(total.sum(axis=axis)).ravel() for axis in (1, 0))
        left, right = (
            sparse.diags(np.where(sums > 0, np.maximum(sums, 1e-9) ** -power, 0.0))
            for sums, power in ((out, OUTGOING), (into, INCOMING))
        )
        self._calls = (left @ total @ right).tocsr()
        self._popularity = Popularity()
        self._popularity.fit(dataset)

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Scores (m, I) by the formula above."""
        weights = recent(dataset.examples(split).history.take(rows), dataset.meta["num_items"])
        called = (weights @ self._calls).toarray()
        return called + TIE_BREAK * self._popularity.scores(dataset, split, rows)


class ContentNeighbours:
    """What is like what a shopper had: Σ_k 1/k cosine(c_{i_k}, c_j), k behaviours back.

    c is an item's vector of what frozen encoders say (text, image) beside its attributes, each part
    of length 1, rare attributes counting more (inverse document frequency).
    """

    name = "content_neighbours"

    def fit(self, dataset: Dataset) -> None:
        """Make the items' vectors."""
        items = dataset.items(1)
        text = np.asarray(dataset.text_vectors)[np.maximum(items.text_I, 0)]
        text = text * (items.text_I >= 0)[:, None]
        num, attribute = len(text), items.attribute_A
        owner = np.repeat(np.arange(num), np.diff(items.attribute_start_I, append=len(attribute)))
        shape = (num, int(attribute.max(initial=0)) + 1)
        rarity = np.log(num / np.maximum(np.bincount(attribute, minlength=shape[1]), 1))
        has = sparse.csr_matrix((rarity[attribute], (owner, attribute)), shape=shape)
        squares = (text**2).sum(axis=1), np.asarray(has.multiply(has).sum(axis=1)).ravel()
        parts = np.maximum(sum((square > 0).astype(float) for square in squares), 1.0)
        text_size, has_size = (np.sqrt(np.maximum(square, 1e-18) * parts) for square in squares)
        self._text = (text / text_size[:, None]).astype(np.float32)
        self._has = (sparse.diags(1.0 / has_size) @ has).tocsr().astype(np.float32)

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Scores (m, I) by the formula above."""
        weights = recent(dataset.examples(split).history.take(rows), dataset.meta["num_items"])
        weights = weights.astype(np.float32)
        by_text = (weights @ self._text) @ self._text.T
        return np.asarray(by_text + (self._has @ (weights @ self._has).toarray().T).T)


class NewItems:
    """One for an item that training never saw: no answer by itself, a lead beside a model's."""

    name = "new_items"

    def fit(self, dataset: Dataset) -> None:
        """Nothing to learn."""

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Scores (m, I), 0 or 1."""
        is_new = np.arange(dataset.meta["num_items"]) >= dataset.meta["num_vocabulary"]
        return np.tile(is_new.astype(np.float64), (len(rows), 1))


def known(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Items (k,) of the training sequences in order, and how many of the same come after each."""
    examples = dataset.examples("train")
    history = examples.history
    ends = np.asarray(history.offsets[1:])
    item = np.insert(np.asarray(history.item, dtype=np.int64), ends, np.asarray(examples.target))
    lengths = np.diff(history.offsets) + 1
    return item, np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(len(item))


def followed(dataset: Dataset) -> sparse.csr_matrix:
    """How often each item came after each (I, I) in training, as d^-1/2 at d places' distance."""
    num = dataset.meta["num_items"]
    item, after = known(dataset)
    total = sparse.csr_matrix((num, num))
    for distance in range(1, int(after.max(initial=0)) + 1):
        place = np.flatnonzero(after >= distance)
        pair = (item[place], item[place + distance])
        weight = np.full(len(place), distance**-0.5)
        total = total + sparse.csr_matrix((weight, pair), shape=(num, num))
    return total


def recent(history: Histories, num_items: int) -> sparse.csr_matrix:
    """Weights (m, I) of what each shopper had: 1 / k of the behaviour k back, added up."""
    lengths = np.diff(history.offsets)
    back = np.repeat(history.offsets[1:], lengths) - np.arange(history.offsets[-1])
    row = np.repeat(np.arange(len(lengths)), lengths)
    shape = (len(lengths), num_items)
    return sparse.csr_matrix((1.0 / back, (row, history.item)), shape=shape)
