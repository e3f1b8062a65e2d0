"""Which behaviour of a history has which words, and the texts that words are numbered among.

A shopper's last messages come beside the history, in the same order. The last of them belongs to
the last behaviour of kind ``message``, the one before to the one before, as far as their times
agree: a live row may be read between the writing of the two, and then says less, never something
else. Numpy only. Next: ``encode.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.datasets.histories import Histories, Ints


class Texts:
    """The texts of a dataset in order: those it begins with, then others as they are met."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._number = {text: number for number, text in enumerate(texts, 1)}

    def numbers(self, texts: Iterable[str]) -> Ints:
        """The number of each of `texts` from 1 on, 0 for an empty one."""
        number = self._number
        found = [number.setdefault(text, len(number) + 1) if text else 0 for text in texts]
        return np.array(found, dtype=np.int64)

    def __iter__(self) -> Iterator[str]:
        return iter(self._number)


class Messages(NamedTuple):
    """The last messages of n shoppers, one after the other, oldest first, as ``Histories``."""

    at: Ints
    number: Ints
    """Of each one's text; 0 = without words."""
    offsets: Ints


def with_words(histories: Histories, messages: Messages) -> Histories:
    """`histories` with the number of its words at each behaviour, of the same shoppers."""
    # Here: whoever reads a dataset needs no Polars, which the vocabulary brings.
    from feature_repo.events import KIND_CODES

    place = np.flatnonzero(histories.kind == KIND_CODES["message"])
    row = np.searchsorted(histories.offsets, place, side="right") - 1
    from_end = np.searchsorted(row, row, side="right") - np.arange(len(row))
    found = messages.offsets[row + 1] - from_end
    is_told = found >= messages.offsets[row]
    place, found = place[is_told], found[is_told]
    agrees = histories.at[place] == messages.at[found]
    words = np.zeros(len(histories.kind), dtype=np.int32)
    words[place[agrees]] = messages.number[found[agrees]]
    return histories.having(words)


def told_apart(words: NDArray) -> tuple[Ints, Ints]:
    """`words` numbered anew from 1 on, and the row among all texts of each new number."""
    rows, number = np.unique(words[words > 0], return_inverse=True)
    fresh = np.zeros(words.shape, dtype=np.int64)
    fresh[words > 0] = number + 1
    return fresh, rows.astype(np.int64) - 1
