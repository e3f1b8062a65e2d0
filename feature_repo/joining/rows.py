"""The rows of a source that can answer a question, found by keys and times alone.

Feature columns are read for the rows that do answer it. Next: ``asof.py`` for the join.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from feature_repo.joining.asof import AsOf, offsets, pack, union
from feature_repo.joining.files import Files
from feature_repo.joining.keys import Keys
from feature_repo.joining.layout import Layout
from feature_repo.joining.times import NEVER, Ints, Span, stamps

_ROWS = 1 << 19  # keys that are numbered at once, at least


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a source with a key that is asked for, in order."""

    files: Files
    layout: Layout
    order: AsOf

    @classmethod
    def scan(
        cls,
        files: Files,
        layout: Layout,
        keys: Keys | None,
        span: Span,
        *,
        only_created: bool,
    ) -> Rows:
        """Look at keys and times alone; rows that are not known by the end of `span` are left out.

        Without `keys` every key counts. With `only_created` a row is known from its created time
        on, and never without one; rows without a key or a time are never known.
        """
        if not layout.keys:
            raise ValueError("a view without an entity has no key to join; give it an entity")
        guarded = only_created and layout.created is not None
        names = list(dict.fromkeys([*layout.keys, *(layout.stamps if guarded else [layout.time])]))
        batches: Iterable[tuple[int, pa.Table]]
        if keys is None:
            batches = list(files.batches(names, _ROWS))
            whole = pa.concat_tables([table for _, table in batches])
            keys = Keys.of([whole[name] for name in layout.keys])
        else:
            batches = files.batches(names, max(_ROWS, 4 * len(keys)))
            keys = keys.fitted([files.kinds[name] for name in layout.keys], layout.keys)
        bits = files.num_rows.bit_length()
        kept = (_kept(layout, keys, span, guarded, *batch) for batch in batches)
        order = AsOf.order(
            *_together(kept, files.num_rows, bits),
            bits=bits,
            num_keys=len(keys),
            ties=_ties(files, layout),
        )
        return cls(files, layout, order)

    def gather(
        self, names: Sequence[str], first: Ints, last: Ints, moments: Ints
    ) -> dict[str, pa.ChunkedArray]:
        """The columns `names` at `last`, or as lists of the rows up to it, oldest first.

        Where `last` lies before `first` nothing is known: null, or an empty list.
        """
        if self.layout.collect is None:
            return self._newest(names, np.where(last < first, -1, last))
        return self._lists(names, first, last, moments, self.layout.collect)

    def _newest(self, names: Sequence[str], last: Ints) -> dict[str, pa.ChunkedArray]:
        """One value for each position of `last`, null for -1."""
        is_known = last >= 0
        rows, place = np.unique(self.order.rows(last[is_known]), return_inverse=True)
        at = np.zeros(len(last), dtype=np.int64)
        at[is_known] = place
        taken = self.files.take(names, rows)
        index = pa.array(at, mask=~is_known)
        return {name: pa.chunked_array([_flat(taken[name]).take(index)]) for name in names}

    def _lists(
        self, names: Sequence[str], first: Ints, last: Ints, moments: Ints, num: int
    ) -> dict[str, pa.ChunkedArray]:
        """Lists of the last `num` known, one column after the other."""
        is_late = self.order.known is not None
        used, shift = union(first if is_late else np.maximum(first, last - num + 1), last)
        windows = [
            (pa.array(offsets(lengths), pa.int32()), pa.array(at + np.repeat(shift[part], lengths)))
            for part, at, lengths in self.order.windows(first, last, moments, num)
        ]
        rows = self.order.rows(used)
        rising = np.argsort(rows)
        back = np.empty(len(rows), dtype=np.int32)
        back[rising] = np.arange(len(rows), dtype=np.int32)
        found = {}
        for name in names:
            source = _flat(self.files.take([name], rows[rising])[name]).take(pa.array(back))
            pieces = [pa.ListArray.from_arrays(edges, source.take(at)) for edges, at in windows]
            found[name] = pa.chunked_array(pieces, pa.list_(source.type))
        return found

    def pulled(self, features: Sequence[str], last: Ints, moments: Ints) -> pa.Table:
        """The rows at `last`: keys and stamps as stored, then the features."""
        plain = list(dict.fromkeys([*self.layout.keys, *self.layout.stamps]))
        features = features or [name for name in self.files.kinds if name not in plain]
        columns = self._newest(plain, last)
        first = self.order.starts[self.order.number[last]]
        return pa.table(columns | self.gather(features, first, last, moments))


def _kept(
    layout: Layout, keys: Keys, span: Span, guarded: bool, start: int, table: pa.Table
) -> list[Ints]:
    """Number, time, row and, if guarded, known time of those rows that can be an answer."""
    number = keys.numbers([table[name] for name in layout.keys])
    time = known = stamps(table[layout.time], layout.time).fill_null(NEVER).to_numpy()
    if guarded:
        assert layout.created is not None, "guarded by it"
        created = stamps(table[layout.created], layout.created).fill_null(NEVER).to_numpy()
        known = np.maximum(time, created)
    keep = np.flatnonzero((number >= 0) & (known <= span.high) & (time >= span.low))
    row = (keep + start).astype(np.int32 if start + len(time) < 1 << 31 else np.int64)
    return [number[keep], time[keep], row, *([known[keep]] if guarded else [])]


def _together(parts: Iterable[list[Ints]], most: int, bits: int) -> list[Ints]:
    """The columns of `parts`, the number with the place, in memory that is touched once.

    To touch a new page of memory is what costs here, more than the arithmetic.
    """
    whole: list[Ints] = []
    end = 0
    for number, *columns in parts:
        columns = [pack(number, end, bits), *columns]
        whole = whole or [np.empty(most, dtype=column.dtype) for column in columns]
        for column, piece in zip(whole, columns, strict=True):
            column[end : end + len(piece)] = piece
        end += len(number)
    return [column[:end] for column in whole]


def _ties(files: Files, layout: Layout) -> Callable[[Ints], pl.DataFrame] | None:
    """What parts rows of one key and time: created time, then the columns of the order tag."""
    names = list(dict.fromkeys([*([layout.created] if layout.created else []), *layout.order]))
    if not names:
        return None

    def columns(rows: Ints) -> pl.DataFrame:
        taken = files.take(names, rows)
        return pl.DataFrame(
            {
                name: stamps(column, name) if name == layout.created else pl.Series(column)
                for name, column in taken.items()
            }
        )

    return columns


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
