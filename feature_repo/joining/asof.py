"""As-of reads: the newest row known at a moment, or the last N, as numbers of rows.

Rows are put in order once, by (key, time, created, order columns); "position" means a place in that
order. All times are microseconds since 1970 (UTC). Used by ``source.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from feature_repo.joining.times import Ints

Flags = np.ndarray[Any, np.dtype[np.bool_]]
_PIECE = 1 << 19  # list elements gathered at once: bounds what is needed beside the result


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """Rows in order; arrays have one entry per position, `starts` two more than there are keys."""

    starts: Ints
    number: Ints
    time: Ints
    known: Ints | None
    """When each row became known; None where that is its time."""
    place: Ints
    """Where each position stands in `row`."""
    row: Ints
    """Numbers of the rows, in order of the files."""

    @classmethod
    def order(
        cls,
        packed: Ints,
        time: Ints,
        row: Ints,
        known: Ints | None = None,
        *,
        bits: int,
        num_keys: int,
        ties: Callable[[Ints], pl.DataFrame] | None,
    ) -> AsOf:
        """Order rows that come in order of the files.

        Parameters
        ----------
        packed
            The key's number and the place of each row, by :func:`pack` with `bits`; it is changed.
        ties
            Gives the columns that part rows of one key and time, for some rows.
        """
        place, number, since = _ordered(packed, bits, time)
        if ties is not None:
            place = place[_untied(number, since, row, place, ties)]
        if known is not None:
            known = None if np.array_equal(known, time) else known[place]
        return cls(
            starts=np.append(0, np.cumsum(np.bincount(number, minlength=num_keys + 1))),
            number=number,
            time=since,
            known=known,
            place=place,
            row=row,
        )

    def rows(self, positions: Ints) -> Ints:
        """The numbers of the rows there."""
        return self.row[self.place[positions]]

    def last(self, numbers: Ints, moments: Ints) -> Ints:
        """Position of the newest row of each key known at each moment, -1 for none.

        Rows may become known out of order: the highest position among those known is the newest.
        """
        if self.known is None or not len(self.known):
            return self._upto(numbers, moments, self.time)
        bits = len(self.known).bit_length()
        order, _, known = _ordered(pack(self.number, 0, bits), bits, self.known)
        newest = np.maximum.accumulate(order)
        found = self._upto(numbers, moments, known)
        return np.where(found < 0, -1, newest[found])

    def first(self, numbers: Ints, moments: Ints, ttl: int = 0) -> Ints:
        """Lowest position of each key that is not older than `ttl` at each moment; 0: no limit."""
        starts = self.starts[self._runs(numbers)]
        if ttl <= 0:
            return starts
        return np.maximum(starts, self._upto(numbers, moments - ttl - 1, self.time) + 1)

    def closes_stamp(self) -> Flags:
        """Whether a position is the last one of its key and time."""
        return np.append(~_same(self.number, self.time), True)[: len(self.time)]

    def windows(
        self, first: Ints, last: Ints, moments: Ints, num: int
    ) -> Iterator[tuple[slice, Ints, Ints]]:
        """Positions of the last `num` rows known at each moment, and how many they are for each.

        Where `last` lies before `first` there are none. Oldest first, in pieces of bounded size,
        each with the slice of moments that it is about.
        """
        for part in _parts(np.clip(last - first + 1, 0, num)):
            yield part, *self._window(first[part], last[part], moments[part], num)

    def _runs(self, numbers: Ints) -> Ints:
        """Where in `starts` the rows of each key begin; an unknown one, -1, has none."""
        return numbers % (len(self.starts) - 1)

    def _upto(self, numbers: Ints, moments: Ints, times: Ints) -> Ints:
        """Highest position of each key whose time is not after the moment, or -1: halving."""
        run = self._runs(numbers)
        start = self.starts[run]
        low, high = start, self.starts[run + 1]
        while (is_open := low < high).any():
            middle = (low + high) >> 1
            is_upto = times[np.minimum(middle, len(times) - 1)] <= moments
            low = np.where(is_open & is_upto, middle + 1, low)
            high = np.where(is_open & ~is_upto, middle, high)
        return np.where(low > start, low - 1, -1)

    def _window(self, first: Ints, last: Ints, moments: Ints, num: int) -> tuple[Ints, Ints]:
        """Rows that were not known yet may lie between: runs double until they hold enough."""
        start = np.maximum(first, last - num + 1)
        while True:
            lengths = np.maximum(last - start + 1, 0)
            positions = _runs(start, lengths)
            if self.known is None:
                return positions, lengths
            known = self.known[positions] <= np.repeat(moments, lengths)
            if known.all():
                return positions, lengths
            total = offsets(known.astype(np.int64))
            ends = total[offsets(lengths)]
            counts = np.diff(ends)
            short = (counts < num) & (start > first)
            if not short.any():
                break
            start = np.where(short, np.maximum(first, start - lengths), start)
        after = np.repeat(ends[1:], lengths) - total[:-1]
        return positions[known & (after <= num)], np.minimum(counts, num)


def offsets(lengths: Ints) -> Ints:
    """Where each run of these lengths begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def union(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """All positions of runs from `first` to `last`, each once and rising.

    The second array tells what to add to a position of each run to have its place in the first.
    """
    runs = np.flatnonzero(last >= first)
    runs = runs[np.argsort(first[runs])]
    begin, reach = first[runs], np.maximum.accumulate(last[runs])
    is_new = np.append(True, begin[1:] > reach[:-1])[: len(runs)]
    start, end = begin[is_new], reach[np.append(is_new[1:], True)[: len(runs)]]
    lengths = end - start + 1
    shift = np.zeros(len(first), dtype=np.int64)
    shift[runs] = (offsets(lengths)[:-1] - start)[np.cumsum(is_new) - 1]
    return _runs(start, lengths), shift


def pack(number: Ints, start: int, bits: int) -> Ints:
    """Number and place, counted from `start`, as one whole number, which sorts fastest."""
    packed = number.astype(np.int64)
    packed <<= bits
    packed |= np.arange(start, start + len(number))
    return packed


def _ordered(packed: Ints, bits: int, time: Ints) -> tuple[Ints, Ints, Ints]:
    """Places in order of number, then time, then place, with number and time in that order.

    Where times rise within each number, as in files that grow, one sort is all.
    """
    packed.sort()
    kind: Any = np.int32 if bits < 32 else np.int64
    place = np.empty(len(packed), dtype=kind)
    np.bitwise_and(packed, (1 << bits) - 1, out=place, casting="unsafe")
    packed >>= bits
    number, since = packed, time[place]
    if ((number[1:] != number[:-1]) | (since[1:] >= since[:-1])).all():
        return place, number, since
    by_time = np.argsort(since, kind="stable")
    packed = pack(number[by_time], 0, bits)
    packed.sort()
    by_both = by_time[packed & ((1 << bits) - 1)]
    return place[by_both], number, since[by_both]


def _same(number: Ints, time: Ints) -> Flags:
    """Whether each position but the last has the key and the time of the next."""
    return (number[1:] == number[:-1]) & (time[1:] == time[:-1])


def _untied(
    number: Ints, time: Ints, row: Ints, place: Ints, ties: Callable[[Ints], pl.DataFrame]
) -> Ints | slice:
    """Positions with those of one key and time in order of what `ties` gives for their rows."""
    same = _same(number, time)
    if not same.any():
        return slice(None)
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    stamp = np.cumsum(np.append(True, ~same))[tied]
    rows = row[place[tied]]
    by_row = np.argsort(rows)
    columns = ties(rows[by_row])
    frame = columns.with_columns(_place=tied[by_row], _stamp=stamp[by_row])
    found = np.arange(len(place))
    found[tied] = frame.sort("_stamp", *columns.columns, "_place")["_place"].to_numpy()
    return found


def _parts(lengths: Ints) -> Iterator[slice]:
    """Slices of rows that hold about as many list elements as one piece may."""
    piece = offsets(lengths)[:-1] // _PIECE
    edges = [*np.flatnonzero(np.diff(piece, prepend=-1)), len(lengths)]
    for start, end in pairwise(edges):
        yield slice(start, end)


def _runs(starts: Ints, lengths: Ints) -> Ints:
    """start, start + 1, ... for each run, one after the other."""
    ends = offsets(lengths)
    return np.arange(ends[-1]) + np.repeat(starts - ends[:-1], lengths)
