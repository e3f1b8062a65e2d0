"""Behaviours of many shoppers as flat arrays, and laid out as the network eats them.

Numpy only. Next: ``encode.py``, which makes them of feature rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.datasets.normalise import Floats

DAY = 86_400_000_000

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Histories:
    """Behaviours of n shoppers, one after the other, oldest first: row i is
    ``offsets[i] : offsets[i + 1]``."""

    item: NDArray[np.int32]
    kind: NDArray[np.int8]
    quantity: Floats
    amount: Floats
    at: Ints
    """Microseconds, UTC."""
    offsets: Ints
    words: NDArray[np.int32] | None = None
    """Number of each behaviour's words among the texts, from 1 on, 0 = none; None = not asked."""

    def having(self, words: NDArray[np.int32]) -> Histories:
        """The same histories with `words`."""
        return replace(self, words=words)

    def take(self, rows: Ints) -> Histories:
        """The histories of `rows`, in that order."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        offsets = offsets_of(lengths)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Histories(
            item=self.item[places],
            kind=self.kind[places],
            quantity=self.quantity[places],
            amount=self.amount[places],
            at=self.at[places],
            offsets=offsets,
            words=None if self.words is None else self.words[places],
        )


class Positions(NamedTuple):
    """Behaviours as the network eats them, flat; units are those of ``models.batch.Batch``."""

    item: Ints
    kind: Ints
    gap: Floats
    quantity: Floats
    amount: Floats
    words: Ints | None


def positions(histories: Histories, width_B: Ints) -> Positions:
    """Histories one after the other, each padded on the right to its width."""
    lengths = np.diff(histories.offsets)
    starts = np.cumsum(width_B) - width_B
    place = np.arange(histories.offsets[-1]) + np.repeat(starts - histories.offsets[:-1], lengths)
    gaps = np.diff(histories.at, prepend=0) / DAY
    gaps[histories.offsets[:-1][lengths > 0]] = 0.0

    def spread(values: NDArray, kind: type) -> Any:
        array: NDArray = np.zeros(width_B.sum(), dtype=kind)
        array[place] = values
        return array

    return Positions(
        item=spread(histories.item, np.int64),
        kind=spread(histories.kind, np.int64),
        gap=spread(gaps, np.float32),
        quantity=spread(histories.quantity, np.float32),
        amount=spread(histories.amount, np.float32),
        words=None if histories.words is None else spread(histories.words, np.int64),
    )


def time_to_now(histories: Histories, asked_at: Ints) -> Floats:
    """Days from each history's last behaviour to the moment of asking; 0 without behaviour."""
    some = np.diff(histories.offsets) > 0
    days_B = np.zeros(len(some), dtype=np.float32)
    days_B[some] = (asked_at[some] - histories.at[histories.offsets[1:][some] - 1]) / DAY
    return days_B


def offsets_of(lengths: Ints) -> Ints:
    """Where each of several runs starts, and where the last one ends."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])
