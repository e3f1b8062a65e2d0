"""As-of reads over sorted rows: the newest row known at a moment, or the last N.

Rows are in order of (key, time, created, order columns); "position" means a place in that order.
All times are microseconds since 1970 (UTC). It works on arrays; ``parquet.py`` brings columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the columns of a source mean; with `collect`, its rows are read as lists of the last."""

    keys: tuple[str, ...]
    time: str
    created: str | None = None
    order: tuple[str, ...] = ()
    collect: int | None = None

    def __post_init__(self) -> None:
        if not self.keys:
            raise ValueError("a view without an entity has no key to join; give it an entity")
        if self.collect is not None and self.collect < 1:
            raise ValueError(f"collect is {self.collect}; name the rows to keep, at least 1")

    @property
    def stamps(self) -> tuple[str, ...]:
        """The columns that say when."""
        return (self.time,) if self.created in (None, self.time) else (self.time, self.created)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that say who, when and in which order."""
        return (*self.keys, *self.stamps, *self.order)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """Rows of a source in order; arrays have one entry per position, `starts` one per key and one.

    Attributes
    ----------
    row
        Place of each position's row in its source.
    number
        Number of its key, ascending.
    known
        When it became known; `_NEVER` for a row that never did.
    """

    starts: Ints
    row: Ints
    number: Ints
    time: Ints
    known: Ints

    @classmethod
    def sort(
        cls,
        index: Index,
        order: Callable[[Ints], Sequence[pl.Series]],
        *,
        only_created: bool,
    ) -> AsOf:
        """Order the rows of `index` by key and time.

        Parameters
        ----------
        order
            Gives what decides between rows of one key and time, for some rows of the source; it is
            asked for ties alone.
        only_created
            A row is known from its created time on, and never without one.
        """
        places = _by_key_and_time(index.number, index.time, index.num_keys)
        ties = _ties(index.number[places], index.time[places])
        if len(ties):
            places[ties] = _settled(places[ties], index, order)
        counts = np.bincount(index.number, minlength=index.num_keys)
        time = known = index.time[places]
        if only_created and index.created is not None:
            created = index.created.fill_null(_NEVER).to_numpy()
            known = np.maximum(time, created[places])
        return cls(
            starts=offsets(counts),
            row=index.row[places],
            number=np.repeat(np.arange(index.num_keys), counts),
            time=time,
            known=known,
        )

    def last(self, numbers: Ints, moments: Ints) -> Ints:
        """Position of the newest row of each key known at each moment; -1 for none.

        Parameters
        ----------
        numbers
            The number of a key (n,), -1 for one that has no row.
        moments
            (n,).
        """
        if self._is_punctual:
            return self._latest(numbers, moments, self.known)
        # Known out of order: the newest row by a moment is the highest position known until then.
        num_keys = len(self.starts) - 1
        places = _by_key_and_time(self.number, self.known, num_keys)
        found = self._latest(numbers, moments, self.known[places])
        return (
            np.where(found < 0, -1, np.maximum.accumulate(places)[found]) if len(places) else found
        )

    def first(self, numbers: Ints, moments: Ints, ttl: int = 0) -> Ints:
        """Lowest position of each key that is not older than `ttl` at each moment; 0: no limit."""
        starts = self.starts[numbers]
        if ttl <= 0:
            return starts
        return np.maximum(starts, self._latest(numbers, moments - ttl - 1, self.time) + 1)

    def closes_stamp(self) -> Bools:
        """Whether a position is the last one of its key and time."""
        changes = (np.diff(self.number) != 0) | (np.diff(self.time) != 0)
        return np.append(changes, True)[: len(self.time)]

    def window(self, first: Ints, last: Ints, moments: Ints, num: int) -> tuple[Ints, Ints]:
        """Positions of the last `num` rows known at each moment, oldest first, run after run.

        Gives them with the length of each run. Rows that were not known yet may lie between: runs
        double until they hold enough.
        """
        start = np.maximum(first, last - num + 1)
        while True:
            lengths = np.maximum(last - start + 1, 0)
            positions = runs(start, lengths)
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
        keep = known & (after <= num)
        return positions[keep], np.minimum(counts, num)

    @property
    def _is_punctual(self) -> bool:
        """Whether rows of a key became known in their order."""
        ascends = np.diff(self.known) >= 0
        return bool((ascends | (np.diff(self.number) != 0)).all())

    def _latest(self, numbers: Ints, moments: Ints, times: Ints) -> Ints:
        """Highest place of each key whose time in `times` is not after the moment, or -1.

        `times` ascend within each key. All are looked for at once, by halving.
        """
        first = self.starts[numbers]
        low, high = first.copy(), np.where(numbers < 0, first, self.starts[numbers + 1])
        searching = np.flatnonzero(low < high)
        while len(searching):
            middle = (low[searching] + high[searching]) >> 1
            fits = times[middle] <= moments[searching]
            low[searching[fits]] = middle[fits] + 1
            high[searching[~fits]] = middle[~fits]
            searching = searching[low[searching] < high[searching]]
        return np.where(low > first, low - 1, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Rows of a source that can matter, in its order: who, when, and where each stands."""

    row: Ints
    number: Ints
    """Of the row's key, 0 .. num_keys - 1."""
    num_keys: int
    time: Ints
    created: pl.Series | None
    """Null where unknown; None when it says nothing that `time` does not, or was not asked for."""


def runs(starts: Ints, lengths: Ints) -> Ints:
    """start, start + 1, ... for each run, one after the other."""
    places = offsets(lengths)
    return np.arange(places[-1]) + np.repeat(starts - places[:-1], lengths)


def offsets(lengths: Ints) -> Ints:
    """Where each run begins, and the end of the last."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _by_key_and_time(number: Ints, time: Ints, num_keys: int) -> Ints:
    """The places (n,) of rows in order of key and time; of equal ones in any order."""
    if not len(time):
        return np.zeros(0, dtype=np.int64)
    first, span = int(time.min()), int(time.max()) - int(time.min()) + 1
    if num_keys * span >= _NEVER:  # years of many shoppers: both do not fit into one number
        frame = pl.DataFrame({"number": number, "time": time})
        return (
            frame.select(pl.arg_sort_by("number", "time")).to_series().to_numpy().astype(np.int64)
        )
    both = number * span + (time - first)
    if (both[1:] >= both[:-1]).all():
        return np.arange(len(both))
    return np.argsort(both)


def _ties(number: Ints, time: Ints) -> Ints:
    """Positions whose key and time are those of a neighbour."""
    same = (number[1:] == number[:-1]) & (time[1:] == time[:-1])
    if not same.any():
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.append(same, False) | np.append(False, same))


def _settled(places: Ints, index: Index, order: Callable[[Ints], Sequence[pl.Series]]) -> Ints:
    """Rows of ties in their order; where nothing decides, as they stand in the source."""
    told = {f"order{place}": values for place, values in enumerate(order(index.row[places]))}
    tied = pl.DataFrame(
        {"number": index.number[places], "time": index.time[places], **told, "place": places}
    )
    return tied.sort(tied.columns, nulls_last=False)["place"].to_numpy()
