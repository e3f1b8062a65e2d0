"""As-of reads of rows in Arrow: the newest row known at a moment, or the last N as lists.

Rows are sorted once by (key, time, created, order columns); "position" means a place in that
order. All times are microseconds since 1970 (UTC). Used by ``parquet.py`` and ``offline.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

Ints = np.ndarray[Any, np.dtype[np.int64]]
_NEVER = np.iinfo(np.int64).max
_PIECE = 1 << 21  # list elements gathered at once: bounds what is needed beside the result


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
    def columns(self) -> tuple[str, ...]:
        """All columns that say who, when and in which order."""
        created = () if self.created is None else (self.created,)
        return (*self.keys, self.time, *created, *self.order)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """Source rows in order; arrays have one entry per position, `starts` one per key."""

    table: pa.Table
    layout: Layout
    keys: pl.DataFrame
    starts: Ints
    row: Ints
    number: Ints
    time: Ints
    known: Ints

    @classmethod
    def sort(cls, table: pa.Table, layout: Layout, *, only_created: bool) -> AsOf:
        """Order the rows of `table`; those without a key or a time are never known.

        With `only_created` a row is known from its created time on, and never without one.
        """
        columns = {f"key{i}": table[name] for i, name in enumerate(layout.keys)}
        names = list(columns)
        order = {f"order{i}": table[name] for i, name in enumerate(layout.order)}
        frame = pl.DataFrame(
            {name: _series(column) for name, column in (columns | order).items()}
            | {"time": micros(table[layout.time], layout.time)}
        ).with_columns(created=_created(table, layout))
        frame = frame.with_row_index("row").drop_nulls([*names, "time"])
        keys = frame.select(names).unique(maintain_order=True).with_row_index("number")
        frame = frame.join(keys, on=names, maintain_order="left").sort(
            "number", "time", "created", *order, maintain_order=True
        )
        known = pl.max_horizontal("time", pl.col("created").fill_null(_NEVER))
        number = _ints(frame["number"])
        return cls(
            table=table,
            layout=layout,
            keys=keys,
            starts=np.searchsorted(number, np.arange(keys.height)).astype(np.int64),
            row=_ints(frame["row"]),
            number=number,
            time=_ints(frame["time"]),
            known=_ints(frame.select(known if only_created else "time").to_series()),
        )

    def numbers(self, columns: Sequence[pa.ChunkedArray]) -> Ints:
        """The number of each key in `columns` (one per key column), -1 for an unknown one."""
        asked = {}
        for i, (name, column) in enumerate(zip(self.layout.keys, columns, strict=True)):
            asked[f"key{i}"] = _as_key(_series(column), self.keys[f"key{i}"].dtype, name)
        found = pl.DataFrame(asked).join(
            self.keys, on=list(asked), how="left", maintain_order="left"
        )
        return _ints(found["number"].cast(pl.Int64).fill_null(-1))

    def last(self, numbers: Ints, moments: Ints) -> Ints:
        """Position of the newest row of each key known at each moment, -1 for none."""
        return self._latest(numbers, moments, self.known)

    def first(self, numbers: Ints, moments: Ints, ttl: int = 0) -> Ints:
        """Lowest position of each key that is not older than `ttl` at each moment; 0: no limit."""
        starts = self.starts[numbers] if len(self.starts) else np.zeros_like(numbers)
        if ttl <= 0:
            return starts
        return np.maximum(starts, self._latest(numbers, moments - ttl - 1, self.time) + 1)

    def closes_stamp(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether a position is the last one of its key and time."""
        changes = (np.diff(self.number) != 0) | (np.diff(self.time) != 0)
        return np.append(changes, True)[: len(self.time)]

    def _latest(self, numbers: Ints, moments: Ints, times: Ints) -> Ints:
        """Highest position of each key whose time in `times` is not after the moment, or -1.

        Times may be out of order within a key: the running maximum is the newest row by then.
        """
        rows = pl.DataFrame({"number": self.number, "time": times}).with_row_index("position")
        rows = rows.sort("number", "time", maintain_order=True).with_columns(
            pl.col("position").cast(pl.Int64).cum_max()
        )
        rows = rows.unique(["number", "time"], keep="last", maintain_order=True)
        asked = pl.DataFrame({"number": numbers, "time": moments}).with_row_index("asked")
        found = asked.sort("time").join_asof(rows, on="time", by="number", check_sortedness=False)
        return _ints(found.sort("asked")["position"].fill_null(-1))

    def gather(
        self, names: Sequence[str], first: Ints, last: Ints, moments: Ints
    ) -> dict[str, pa.ChunkedArray]:
        """The columns `names` at `last`, or as lists of the rows up to it, oldest first.

        Where `last` lies before `first` nothing is known: null, or an empty list.
        """
        if self.layout.collect is None:
            row = self.row[last] if len(self.row) else last
            found = pa.array(row, mask=last < first)
            return {name: _flat(self.table[name]).take(found) for name in names}
        sources = {name: _flat(self.table[name]) for name in names}
        pieces: dict[str, list[pa.Array]] = {name: [] for name in names}
        for part in _parts(np.clip(last - first + 1, 0, self.layout.collect)):
            positions, lengths = self._window(first[part], last[part], moments[part])
            row = pa.array(self.row[positions])
            offsets = pa.array(_offsets(lengths), pa.int32())
            for name, source in sources.items():
                pieces[name].append(pa.ListArray.from_arrays(offsets, source.take(row)))
        kinds = {name: pa.list_(source.type) for name, source in sources.items()}
        return {name: pa.chunked_array(pieces[name], kinds[name]) for name in names}

    def _window(self, first: Ints, last: Ints, moments: Ints) -> tuple[Ints, Ints]:
        """Positions of the last rows known at each moment, one run per moment, and run lengths.

        Rows that were not known yet may lie between: runs double until they hold enough.
        """
        assert self.layout.collect is not None, "only a collected view has windows"
        start = np.maximum(first, last - self.layout.collect + 1)
        while True:
            lengths = np.maximum(last - start + 1, 0)
            positions = _runs(start, lengths)
            known = self.known[positions] <= np.repeat(moments, lengths)
            if known.all():
                return positions, lengths
            total = _offsets(known.astype(np.int64))
            ends = total[_offsets(lengths)]
            counts = np.diff(ends)
            short = (counts < self.layout.collect) & (start > first)
            if not short.any():
                break
            start = np.where(short, np.maximum(first, start - lengths), start)
        after = np.repeat(ends[1:], lengths) - total[:-1]
        keep = known & (after <= self.layout.collect)
        return positions[keep], np.minimum(counts, self.layout.collect)


def micros(column: pa.ChunkedArray, name: str) -> pl.Series:
    """The timestamps of `column`, rounded up: nothing is known before it happened.

    Raises
    ------
    ValueError
        When the column holds no timestamps.
    """
    times = _series(column)
    if not isinstance(times.dtype, pl.Datetime):
        raise ValueError(
            f"column {name!r} holds {times.dtype}, not timestamps; write timestamp[us, UTC]"
        )
    if times.dtype.time_unit == "ns":
        return -(-times.cast(pl.Int64) // 1000)
    return times.dt.epoch("us")


def _created(table: pa.Table, layout: Layout) -> pl.Series:
    return micros(table[layout.created or layout.time], layout.created or layout.time)


def _as_key(asked: pl.Series, kind: pl.DataType, name: str) -> pl.Series:
    """`asked` in the type of the source's key; numbers are never compared with text."""
    both_text = asked.dtype in (pl.String, pl.Categorical) and kind == pl.String
    both_numbers = asked.dtype.is_numeric() and kind.is_numeric()
    if not (both_text or both_numbers or asked.dtype in (kind, pl.Null)):
        raise ValueError(
            f"key {name!r} is {asked.dtype} where its source has {kind}; cast it to that type"
        )
    return asked.cast(kind)


def _parts(lengths: Ints) -> Iterator[slice]:
    """Slices of rows that hold about as many list elements as one piece may."""
    piece = _offsets(lengths)[:-1] // _PIECE
    edges = [*np.flatnonzero(np.diff(piece, prepend=-1)), len(lengths)]
    for start, end in pairwise(edges):
        yield slice(start, end)


def _runs(starts: Ints, lengths: Ints) -> Ints:
    """start, start + 1, ... for each run, one after the other."""
    offsets = _offsets(lengths)
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)


def _offsets(lengths: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _series(column: pa.ChunkedArray) -> pl.Series:
    found = pl.from_arrow(column)
    assert isinstance(found, pl.Series), "one column is one series"
    return found


def _ints(series: pl.Series) -> Ints:
    return series.cast(pl.Int64).to_numpy()
