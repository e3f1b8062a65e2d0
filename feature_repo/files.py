"""Parquet on disk, read by row groups: only those that can matter, only the columns asked for.

A source is one file or a folder of files, partitioned or not. What is in it is never held whole.
Next: ``asof.py``, and ``parquet.py``, which joins what is read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from feature_repo.asof import Index, Ints, Layout
from feature_repo.keying import Keys

_ROWS_AT_ONCE = 1 << 18  # of whole row groups: bounds what is decoded beside what was asked for
_STAMPS_AT_ONCE = 1 << 22  # the same where keys and times alone are read
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Both ends included, microseconds since 1970 (UTC); None: no bound."""

    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class _Piece:
    """Neighbouring row groups of one file."""

    fragment: Any
    start: int
    num_rows: int


class Files:
    """The rows of `path` that lie in row groups, and in day partitions, of the `span`.

    A single file is opened once, so one that is replaced meanwhile is read as it was.

    Raises
    ------
    ValueError
        When it is missing, or a column in it.
    """

    def __init__(
        self,
        path: Path,
        layout: Layout,
        columns: Sequence[str],
        span: Span,
        day_column: str | None = None,
    ) -> None:
        if not path.exists():
            raise ValueError(
                f"there is no {path}; write the Parquet file that the view reads first"
            )
        self._layout, self._span = layout, span
        fragments, self.schema = _opened(path, layout.keys)
        wanted = dict.fromkeys([*layout.columns, *columns])
        if missing := [name for name in wanted if name not in self.schema.names]:
            raise ValueError(
                f"{path} has no column {', '.join(missing)}; it has {', '.join(self.schema.names)}"
            )
        bounds = _bounds(self.schema, layout.time, span, day_column)
        kept = [
            part if bounds is None else part.subset(filter=bounds, schema=self.schema)
            for part in fragments(bounds)
        ]
        self._pieces = list(_pieces(kept, _ROWS_AT_ONCE))
        self._stamps = list(_pieces(kept, _STAMPS_AT_ONCE))

    def keys(self) -> Keys:
        """All keys there are."""
        columns = self._layout.keys
        tables = [self._read(piece, columns) for piece in self._stamps]
        whole = pa.concat_tables(tables) if tables else self._schema_of(columns).empty_table()
        return Keys.of([whole[name] for name in columns])

    @property
    def num_rows(self) -> int:
        """Rows of all row groups within the bounds."""
        return sum(piece.num_rows for piece in self._pieces)

    def index(self, keys: Keys, *, with_created: bool) -> Index:
        """The rows of `keys` within the span; those without a time are never known."""
        parts = [self._index_of(piece, keys, with_created) for piece in self._stamps]
        row, number, time = (
            np.concatenate([part[place] for part in parts] or [np.zeros(0, dtype=np.int64)])
            for place in range(3)
        )
        created = pl.concat([part[3] for part in parts]) if parts and with_created else None
        if created is not None and not created.null_count() and (created.to_numpy() == time).all():
            created = None
        return Index(row=row, number=number, num_keys=len(keys), time=time, created=created)

    def order(self, rows: Ints) -> list[pl.Series]:
        """What decides between rows of one key and time: created time, then the order columns."""
        layout = self._layout
        found = self.at([*layout.stamps[1:], *layout.order], rows)
        created = [micros(found[name], name) for name in layout.stamps[1:]]
        return [*created, *(pl.Series(pl.from_arrow(found[name])) for name in layout.order)]

    def at(self, names: Sequence[str], rows: Ints) -> pa.Table:
        """The columns `names` of some `rows`, in that order; a row may be asked for twice."""
        different, place = np.unique(rows, return_inverse=True)
        if not names or not len(rows):
            return self._schema_of(names).empty_table()
        return self.fetch(names, different).take(pa.array(place))

    def fetch(self, names: Sequence[str], rows: Ints) -> pa.Table:
        """The columns `names` of `rows`, which ascend."""
        found = []
        for piece in self._pieces:
            start, end = np.searchsorted(rows, [piece.start, piece.start + piece.num_rows])
            if start < end:
                table = self._read(piece, names)
                if end - start < piece.num_rows:
                    table = table.take(pa.array(rows[start:end] - piece.start))
                found.append(table)
        whole = pa.concat_tables(found) if found else self._schema_of(names).empty_table()
        return whole.combine_chunks()

    def _index_of(self, piece: _Piece, keys: Keys, with_created: bool) -> tuple[Any, ...]:
        """Row, key, time and created time of what matters in one piece."""
        stamps = self._layout.stamps if with_created else self._layout.stamps[:1]
        table = self._read(piece, list(dict.fromkeys([*self._layout.keys, *stamps])))
        number = keys.numbers([table[name] for name in self._layout.keys])
        time = micros(table[stamps[0]], stamps[0])
        matters = (number >= 0) & time.is_not_null().to_numpy()
        moments = time.fill_null(0).to_numpy()
        if self._span.low is not None:
            matters &= moments >= self._span.low
        if self._span.high is not None:
            matters &= moments <= self._span.high
        place = np.flatnonzero(matters)
        created = micros(table[stamps[-1]], stamps[-1]).gather(place)
        return place + piece.start, number[place], moments[place], created

    def _read(self, piece: _Piece, names: Sequence[str]) -> pa.Table:
        return piece.fragment.to_table(schema=self.schema, columns=list(names))

    def _schema_of(self, names: Sequence[str]) -> pa.Schema:
        return pa.schema([self.schema.field(name) for name in names])


def micros(column: pa.ChunkedArray, name: str) -> pl.Series:
    """The timestamps of `column`, rounded up: nothing is known before it happened.

    Raises
    ------
    ValueError
        When the column holds no timestamps.
    """
    times = pl.from_arrow(column)
    assert isinstance(times, pl.Series), "one column is one series"
    if not isinstance(times.dtype, pl.Datetime):
        raise ValueError(
            f"column {name!r} holds {times.dtype}, not timestamps; write timestamp[us, UTC]"
        )
    if times.dtype.time_unit == "ns":
        return -(-times.cast(pl.Int64) // 1000)
    return times.dt.epoch("us")


def _opened(path: Path, keys: Sequence[str]) -> tuple[Any, pa.Schema]:
    """What gives the fragments of a source within bounds, and its schema.

    Text keys are read as dictionaries: each text once, and a number for each row.
    """
    plain = ds.ParquetFileFormat()
    if path.is_dir():
        schema = ds.dataset(path, format=plain, partitioning="hive").schema
    else:
        file = pa.OSFile(str(path))
        schema = plain.make_fragment(file).physical_schema
    texts = {name for name in keys if name in schema.names and _is_text(schema.field(name).type)}
    coded = ds.ParquetFileFormat(dictionary_columns=texts)
    if path.is_dir():
        folder = ds.dataset(path, format=coded, partitioning="hive")
        return folder.get_fragments, folder.schema
    fragment = coded.make_fragment(file)
    return (lambda bounds: [fragment]), fragment.physical_schema


def _pieces(fragments: Sequence[Any], rows_at_once: int) -> Iterator[_Piece]:
    """Neighbouring row groups, numbered through."""
    start = 0
    for fragment in fragments:
        groups: list[Any] = []
        for group in [*fragment.row_groups, None]:
            num_rows = sum(one.num_rows for one in groups)
            if groups and (group is None or num_rows + group.num_rows > rows_at_once):
                part = fragment.subset(row_group_ids=[one.id for one in groups])
                yield _Piece(part, start, num_rows)
                start, groups = start + num_rows, []
            if group is not None and group.num_rows:
                groups.append(group)


def _bounds(
    schema: pa.Schema, time: str, span: Span, day_column: str | None
) -> ds.Expression | None:
    """`span` as what statistics and partitions can be held against; None where it says nothing."""
    bounds: ds.Expression | None = None
    kind = schema.field(time).type
    for moment, is_high in ((span.low, False), (span.high, True)):
        if moment is None or not pa.types.is_timestamp(kind):
            continue
        sides = [(pc.field(time), _moment(moment, is_high, kind))]
        if day_column in schema.names:
            at = _EPOCH + timedelta(microseconds=moment)
            day = at.date() if pa.types.is_date(schema.field(day_column).type) else f"{at:%Y-%m-%d}"
            sides.append((pc.field(day_column), pa.scalar(day)))
        for field, value in sides:
            side = field <= value if is_high else field >= value
            bounds = side if bounds is None else bounds & side
    return bounds


def _moment(moment: int, is_high: bool, kind: pa.TimestampType) -> pa.Scalar:
    """`moment` in the unit of `kind`, rounded so that nothing within is ruled out."""
    per = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 1}[kind.unit]
    value = -(-moment // per) if not is_high else moment // per
    if kind.unit == "ns":
        value = (moment if is_high else moment - 1) * 1_000  # a stamp counts as the next whole one
    return pa.scalar(value, pa.int64()).cast(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
