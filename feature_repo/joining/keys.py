"""Distinct keys of one or more columns, and their numbers. Used by ``source.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.joining.times import Ints


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys numbered from 0; a key of several columns is a pair of a key and one more value."""

    values: tuple[pa.Array, ...]
    """The distinct values of each column."""
    pairs: tuple[Ints, ...]
    """For the second column and each after it, the distinct pairs, as whole numbers."""

    @classmethod
    def of(cls, columns: Sequence[pa.ChunkedArray]) -> Keys:
        """Number what stands in `columns`; rows with a null have no key."""
        values = tuple(_decoded(column).unique().drop_null() for column in columns)
        numbers, *codes = (_place(c, v) for c, v in zip(columns, values, strict=True))
        pairs = []
        for code, distinct in zip(codes, values[1:], strict=True):
            pair = _paired(numbers, code, len(distinct))
            pairs.append(np.unique(pair[pair >= 0]))
            numbers = _place(pa.chunked_array([pair]), pa.array(pairs[-1]))
        return cls(values, tuple(pairs))

    def __len__(self) -> int:
        return len(self.pairs[-1] if self.pairs else self.values[0])

    def fitted(self, kinds: Sequence[pa.DataType], names: Sequence[str]) -> Keys:
        """These keys in the types of a source; what has no equal there matches nothing.

        Raises
        ------
        ValueError
            When one is text and the other a number, or they differ in another such way.
        """
        found = zip(self.values, kinds, names, strict=True)
        return Keys(tuple(_fitted(value, kind, name) for value, kind, name in found), self.pairs)

    def numbers(self, columns: Sequence[pa.ChunkedArray]) -> Ints:
        """The number of the key of each row, -1 for an unknown one."""
        found = [_place(c, v) for c, v in zip(columns, self.values, strict=True)]
        numbers = found[0]
        for code, distinct, pairs in zip(found[1:], self.values[1:], self.pairs, strict=True):
            pair = _paired(numbers, code, len(distinct))
            numbers = _place(pa.chunked_array([pair]), pa.array(pairs))
        return numbers


def _paired(numbers: Ints, code: Ints, num: int) -> Ints:
    return np.where((numbers < 0) | (code < 0), -1, numbers.astype(np.int64) * num + code)


def _place(column: pa.ChunkedArray, values: pa.Array) -> Ints:
    """Where each value stands among `values`, -1 for one that does not."""
    found = pc.index_in(_decoded(column), value_set=values, skip_nulls=True)
    return found.fill_null(-1).to_numpy()


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if kind == pa.string_view():
        return column.cast(pa.large_string())
    return column.cast(pa.string()) if pa.types.is_null(kind) else column


def _fitted(values: pa.Array, kind: pa.DataType, name: str) -> pa.Array:
    if not len(values) or values.type == kind:
        return values.cast(kind) if len(values) else pa.array([], kind)
    if _is_text(values.type) and _is_text(kind):
        return values.cast(kind)
    if not (_is_number(values.type) and _is_number(kind)):
        raise ValueError(
            f"key {name!r} is {values.type} where its source has {kind}; cast it to that type"
        )
    ours = pl.Series(values)
    theirs = ours.cast(pl.Series(pa.array([], kind)).dtype, strict=False)
    same = theirs.cast(ours.dtype, strict=False) == ours
    return pl.select(pl.when(same).then(theirs)).to_series().to_arrow().cast(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)
