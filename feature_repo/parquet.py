"""What a Feast source over Parquet files holds, joined as of many moments.

A source or its view tagged ``{"collect": "N", "order": "column,column"}`` holds one scalar row per
happening and is read as lists of the last N. Next: ``files.py``, ``asof.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from feast import FeatureView, FileSource
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.repo_config import RepoConfig
from feast.types import from_feast_to_pyarrow_type

from feature_repo.asof import AsOf, Ints, Layout, offsets
from feature_repo.files import Files, Span
from feature_repo.keying import Keys, as_kind

_PIECE = 1 << 21  # list elements gathered at once: bounds what is needed beside the result


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a source in order, and the files that their features are read from."""

    order: AsOf
    files: Files
    layout: Layout

    @property
    def names(self) -> list[str]:
        """All columns of the files."""
        return list(self.files.schema.names)

    def gather(
        self, names: Sequence[str], first: Ints, last: Ints, moments: Ints
    ) -> dict[str, pa.ChunkedArray]:
        """The columns `names` at `last`, or as lists of the rows up to it, oldest first.

        Where `last` lies before `first` nothing is known: null, or an empty list.
        """
        if self.layout.collect is not None:
            return self._lists(names, first, last, moments)
        is_known = last >= first
        found = self.files.at(names, self.order.row[last[is_known]])
        place = pa.array(np.cumsum(is_known) - 1, mask=~is_known)
        return {name: found[name].take(place) for name in names}

    def _lists(
        self, names: Sequence[str], first: Ints, last: Ints, moments: Ints
    ) -> dict[str, pa.ChunkedArray]:
        """Lists, gathered piece by piece from the rows that any of them needs."""
        num = self.layout.collect
        assert num is not None, "only a collected view has lists"
        parts = list(_parts(np.clip(last - first + 1, 0, num)))
        needed = np.zeros(self.files.num_rows, dtype=bool)
        for part in parts:
            positions, _ = self.order.window(first[part], last[part], moments[part], num)
            needed[self.order.row[positions]] = True
        found, rank = self.files.fetch(names, np.flatnonzero(needed)), np.cumsum(needed) - 1
        pieces: dict[str, list[pa.Array]] = {name: [] for name in names}
        for part in parts:
            positions, lengths = self.order.window(first[part], last[part], moments[part], num)
            place = pa.array(rank[self.order.row[positions]])
            ends = pa.array(offsets(lengths), pa.int32())
            for name in names:
                values = _flat(found[name].take(place))
                pieces[name].append(pa.ListArray.from_arrays(ends, values))
        return {name: pa.chunked_array(pieces[name], pa.list_(found[name].type)) for name in names}


def rows_of(
    config: RepoConfig,
    source: DataSource | None,
    columns: Sequence[str],
    *,
    keys: Sequence[str],
    time: str,
    created: str | None,
    only_created: bool,
    span: Span,
    tags: Mapping[str, str] | None = None,
    asked: Sequence[pa.ChunkedArray] | None = None,
) -> tuple[Rows, Ints]:
    """The rows of `source` within `span`, and the number of each key that was asked for.

    Parameters
    ----------
    columns
        What will be read; all columns when none is named.
    tags
        Of the view, beside those of the source itself.
    asked
        The keys that matter, a column for each of `keys`; None: all there are.

    Raises
    ------
    ValueError
        When it is no ``FileSource``, its file is missing, or a column in it.
    """
    if not isinstance(source, FileSource):
        raise ValueError(f"{source} is a {type(source).__name__}; this store reads FileSource only")
    said = {**source.tags, **(tags or {})}
    layout = Layout(
        keys=tuple(keys),
        time=time,
        created=created or None,
        order=tuple(name.strip() for name in said.get("order", "").split(",") if name.strip()),
        collect=int(said["collect"]) if "collect" in said else None,
    )
    path = Path(config.repo_path or ".") / source.path
    files = Files(path, layout, columns, span, source.date_partition_column or None)
    if asked is None:
        wanted, numbers = files.keys(), np.zeros(0, dtype=np.int64)
    else:
        kinds = [files.schema.field(name).type for name in keys]
        cast = [as_kind(c, kind, n) for c, kind, n in zip(asked, kinds, keys, strict=True)]
        wanted = Keys.of(cast)
        numbers = wanted.numbers(cast)

    index = files.index(wanted, with_created=only_created)
    order = AsOf.sort(index, files.order, only_created=only_created)
    return Rows(order, files, layout), numbers


def view_columns(
    config: RepoConfig,
    view: FeatureView,
    features: list[str],
    spine: pa.Table,
    moments: Ints,
    only_created: bool,
) -> dict[str, pa.ChunkedArray]:
    """The `features` of one view for every row of the spine, in their declared types."""
    source = view.batch_source
    assert source is not None, "a view of rows has a source"
    stored = {name: column for column, name in source.field_mapping.items()}
    keys = {entity.name: stored.get(entity.name, entity.name) for entity in view.entity_columns}
    columns = {name: stored.get(name, name) for name in features}
    named = [view.projection.join_key_map.get(name, name) for name in keys]
    ttl = 0 if view.ttl is None else view.ttl // timedelta(microseconds=1)
    rows, numbers = rows_of(
        config,
        source,
        list(columns.values()),
        keys=[] if view.entities == [DUMMY_ENTITY_NAME] else list(keys.values()),
        time=stored.get(source.timestamp_field, source.timestamp_field),
        created=stored.get(source.created_timestamp_column, source.created_timestamp_column),
        only_created=only_created,
        span=_span(moments, ttl),
        tags=view.tags,
        asked=[_spine_column(spine, name, view.name) for name in named],
    )
    first, last = rows.order.first(numbers, moments, ttl), rows.order.last(numbers, moments)
    found = rows.gather(list(columns.values()), first, last, moments)
    kinds = {field.name: from_feast_to_pyarrow_type(field.dtype) for field in view.features}
    return {name: found[column].cast(kinds[name]) for name, column in columns.items()}


def pulled(rows: Rows, features: Sequence[str], last: Ints, moments: Ints) -> pa.Table:
    """The rows at `last`: keys and stamps as stored, then the features."""
    plain = list(dict.fromkeys([*rows.layout.keys, *rows.layout.stamps]))
    features = features or [name for name in rows.names if name not in plain]
    row, first = rows.order.row[last], rows.order.starts[rows.order.number[last]]
    if rows.layout.collect is None:
        return _plain(rows.files.at(list(dict.fromkeys([*plain, *features])), row))
    table = rows.files.at(plain, row)
    for name, column in rows.gather(features, first, last, moments).items():
        table = table.append_column(name, column)
    return _plain(table)


def nullable(table: pa.Table, copies: Iterable[tuple[str, str]] = ()) -> pa.Table:
    """Let pandas read whole numbers as Int64: beside nulls, its default of float64 rounds them.

    `copies` names pairs of columns of which one may be made from the other later. Columns that
    came from pandas keep the type they had there.
    """
    whole = {field.name for field in table.schema if pa.types.is_integer(field.type)}
    whole |= {name for pair in copies if whole.intersection(pair) for name in pair}
    stored = table.schema.metadata or {}
    about = json.loads(stored.get(b"pandas", '{"index_columns": [], "columns": []}'))
    whole -= {column["name"] for column in about["columns"]}
    kind = {"pandas_type": "int64", "numpy_type": "Int64", "metadata": None}
    about["columns"] += [{"name": name, "field_name": name, **kind} for name in sorted(whole)]
    return table.replace_schema_metadata({**stored, b"pandas": json.dumps(about)})


def _span(moments: Ints, ttl: int) -> Span:
    """The times of rows that any of the moments can know."""
    if not len(moments):
        return Span()
    low, high = int(moments.min()), int(moments.max())
    return Span(low=low - ttl if ttl > 0 else None, high=high)


def _parts(lengths: Ints) -> Iterator[slice]:
    """Slices of rows that hold about as many list elements as one piece may."""
    piece = offsets(lengths)[:-1] // _PIECE
    edges = [*np.flatnonzero(np.diff(piece, prepend=-1)), len(lengths)]
    for start, end in pairwise(edges):
        yield slice(start, end)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _plain(table: pa.Table) -> pa.Table:
    """Without dictionaries, and without what another library noted about the columns."""
    kinds = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(kinds))


def _spine_column(spine: pa.Table, name: str, view: str) -> pa.ChunkedArray:
    if name not in spine.column_names:
        raise ValueError(
            f"entity_df has no column {name!r}, the key of view {view!r}; "
            f"it has {', '.join(spine.column_names)}"
        )
    return spine[name]
