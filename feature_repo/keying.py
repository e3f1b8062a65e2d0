"""Entity keys as numbers: those of a spine, found again in a source without comparing text twice.

Next: ``asof.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.asof import Ints

_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Keys:
    """Different keys, each of one value or several, numbered from 0."""

    values: tuple[pa.Array, ...]
    """The different values of each column."""
    combined: Ints
    """Keys of several columns as one number each, ascending; the key's number is its place."""

    @classmethod
    def of(cls, columns: Sequence[pa.ChunkedArray]) -> Keys:
        """The different keys in `columns`; one that lacks a value is none."""
        values = tuple(pc.unique(_plain(column)).drop_null() for column in columns)
        codes = _combine(columns, values)
        return cls(values, np.unique(codes[codes != _UNKNOWN]))

    def __len__(self) -> int:
        return len(self.combined)

    def numbers(self, columns: Sequence[pa.ChunkedArray]) -> Ints:
        """The number (n,) of the key in each row of `columns`; -1 for one that is none of these."""
        codes = _combine(columns, self.values)
        if len(self.values) == 1:
            return codes  # every value is a key
        places = np.searchsorted(self.combined, codes)
        places[places == len(self.combined)] = 0
        found = self.combined[places] == codes if len(self.combined) else codes < _UNKNOWN
        return np.where(found, places, _UNKNOWN)


def as_kind(asked: pa.ChunkedArray, kind: pa.DataType, name: str) -> pa.ChunkedArray:
    """`asked` in the type `kind` of the source's key; numbers are never compared with text.

    Raises
    ------
    ValueError
        When the two are not of one kind.
    """
    ours, theirs = (pl.Series(pa.array([], _value_type(k))).dtype for k in (asked.type, kind))
    both_text = ours == theirs == pl.String
    both_numbers = ours.is_numeric() and theirs.is_numeric()
    if not (both_text or both_numbers or ours in (theirs, pl.Null)):
        raise ValueError(
            f"key {name!r} is {ours} where its source has {theirs}; cast it to that type"
        )
    return _plain(asked).cast(_value_type(kind))


def _combine(columns: Sequence[pa.ChunkedArray], values: Sequence[pa.Array]) -> Ints:
    """One number (n,) for each row, -1 where a value is none of `values`."""
    combined: Ints | None = None
    for column, known in zip(columns, values, strict=True):
        codes = _codes(column, known)
        if combined is None:
            combined = codes
        else:
            is_known = (combined != _UNKNOWN) & (codes != _UNKNOWN)
            combined = np.where(is_known, combined * len(known) + codes, _UNKNOWN)
    assert combined is not None, "a key has a column"
    return combined


def _codes(column: pa.ChunkedArray, known: pa.Array) -> Ints:
    """Place (n,) of each value of `column` in `known`; a dictionary's texts are compared once."""
    parts = []
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()  # so that all chunks have one, looked up once
    for number, chunk in enumerate(column.chunks):
        if isinstance(chunk, pa.DictionaryArray):
            if number == 0:
                places = np.append(_places(chunk.dictionary.cast(known.type), known), _UNKNOWN)
            codes = chunk.indices.fill_null(len(places) - 1).to_numpy(zero_copy_only=False)
            parts.append(places[codes])
        else:
            parts.append(_places(chunk.cast(known.type), known))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _places(values: pa.Array, known: pa.Array) -> Ints:
    found = pc.index_in(values, value_set=known, skip_nulls=True).fill_null(_UNKNOWN)
    return found.to_numpy(zero_copy_only=False).astype(np.int64)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """`column` without a dictionary."""
    kind = _value_type(column.type)
    return column if kind == column.type else column.cast(kind)
