"""The rows of a source that can answer a question, found by keys and times alone.

Feature columns are read for the rows that do answer it. Next: ``asof.py`` for the join.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from feature_repo.joining.asof import AsOf, Flags, offsets
from feature_repo.joining.files import Files
from feature_repo.joining.keys import Keys
from feature_repo.joining.layout import Layout
from feature_repo.joining.times import NEVER, Ints, Span, stamps

_ROWS = 1 << 20  # keys that are numbered at once, at least


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
        found = [_kept(layout, keys, span, guarded, *batch) for batch in batches]
        number, time, row, *known = (np.concatenate(part) for part in zip(*found, strict=True))
        ties = _ties(files, layout)
        order = AsOf.order(number, time, row, *known, num_keys=len(keys), ties=ties)
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
        used = self._used(first, last, num)
        place = np.cumsum(used) - 1
        sources = self._in_order(names, self.order.rows(np.flatnonzero(used)))
        pieces: dict[str, list[pa.Array]] = {name: [] for name in names}
        for positions, lengths in self.order.windows(first, last, moments, num):
            at, edges = pa.array(place[positions]), pa.array(offsets(lengths), pa.int32())
            for name, source in sources.items():
                pieces[name].append(pa.ListArray.from_arrays(edges, source.take(at)))
        kinds = {name: pa.list_(source.type) for name, source in sources.items()}
        return {name: pa.chunked_array(pieces[name], kinds[name]) for name in names}

    def _used(self, first: Ints, last: Ints, num: int) -> Flags:
        """Positions that a list may hold: some window begins at or before it, and ends after."""
        late = self.order.known is not None
        start = first if late else np.maximum(first, last - num + 1)
        has_any = last >= start
        size = len(self.order.time) + 1
        opened = np.bincount(start[has_any], minlength=size)
        closed = np.bincount(last[has_any] + 1, minlength=size)
        return np.cumsum(opened - closed)[:-1] > 0

    def _in_order(self, names: Sequence[str], rows: Ints) -> dict[str, pa.Array]:
        """The columns at `rows`, which may come in any order."""
        rising = np.argsort(rows)
        back = np.empty_like(rising)
        back[rising] = np.arange(len(rows))
        index = pa.array(back)
        return {
            name: _flat(column).take(index)
            for name, column in self.files.take(names, rows[rising]).items()
        }

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
    return [number[keep], time[keep], keep + start, *([known[keep]] if guarded else [])]


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
