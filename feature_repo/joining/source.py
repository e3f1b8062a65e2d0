"""The answers of the offline store, computed: features of a spine, and rows for materialising.

Next: ``rows.py`` for what is read of a source, ``layout.py`` for what its tags mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from feast import FeatureView
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.repo_config import RepoConfig
from feast.types import from_feast_to_pyarrow_type

from feature_repo.joining.files import Files
from feature_repo.joining.keys import Keys
from feature_repo.joining.layout import Layout, check_columns, open_files
from feature_repo.joining.rows import Rows
from feature_repo.joining.times import Ints, Span, micros, stamps


class Spine:
    """The rows that are asked about, and their moments; views of one entity share its keys."""

    def __init__(self, table: pa.Table, moments: Ints) -> None:
        self.table, self.moments = table, moments
        self._keys: dict[tuple[str, ...], tuple[Keys, Ints]] = {}

    def span(self, ttl: int) -> Span:
        """From the oldest moment that can matter to the newest."""
        if not len(self.moments):
            return Span(0, -1)
        low = Span().low if ttl <= 0 else int(self.moments.min()) - ttl
        return Span(low, int(self.moments.max()))

    def keys(self, names: Sequence[str], view: str) -> tuple[Keys, Ints]:
        """The distinct keys in the columns `names`, and the number of each row's key."""
        for name in names:
            if name not in self.table.column_names:
                raise ValueError(
                    f"entity_df has no column {name!r}, the key of view {view!r}; "
                    f"it has {', '.join(self.table.column_names)}"
                )
        asked = tuple(names)
        if asked not in self._keys:
            columns = [self.table[name] for name in names]
            keys = Keys.of(columns)
            self._keys[asked] = keys, keys.numbers(columns)
        return self._keys[asked]


def view_columns(
    config: RepoConfig, view: FeatureView, features: list[str], spine: Spine, only_created: bool
) -> dict[str, pa.ChunkedArray]:
    """The `features` of one view for every row of the spine, in their declared types."""
    source = view.batch_source
    assert source is not None, "a view of rows has a source"
    stored = {name: column for column, name in source.field_mapping.items()}
    keys = {entity.name: stored.get(entity.name, entity.name) for entity in view.entity_columns}
    columns = {name: stored.get(name, name) for name in features}
    layout = Layout.of(
        {**source.tags, **view.tags},
        keys=[] if view.entities == [DUMMY_ENTITY_NAME] else list(keys.values()),
        time=stored.get(source.timestamp_field, source.timestamp_field),
        created=stored.get(source.created_timestamp_column, source.created_timestamp_column),
    )
    ttl = 0 if view.ttl is None else view.ttl // timedelta(microseconds=1)
    span = spine.span(ttl)
    files = open_files(config, source, layout, span)
    check_columns(files, [*layout.columns, *columns.values()], source)
    asked = [view.projection.join_key_map.get(name, name) for name in keys]
    known, numbers = spine.keys(asked, view.name) if layout.keys else (None, np.empty(0, np.int64))
    rows = Rows.scan(files, layout, known, span, only_created=only_created)
    first = rows.order.first(numbers, spine.moments, ttl)
    last = rows.order.last(numbers, spine.moments)
    found = rows.gather(list(columns.values()), first, last, spine.moments)
    kinds = {field.name: from_feast_to_pyarrow_type(field.dtype) for field in view.features}
    return {name: found[column].cast(kinds[name]) for name, column in columns.items()}


def newest_rows(
    config: RepoConfig, source: DataSource, layout: Layout, features: Sequence[str], ends: Span
) -> pa.Table:
    """Per key, the newest row known at the end, if its time is not before the start."""
    span = ends if layout.collect is None else Span(high=ends.high)
    rows = _scanned(config, source, layout, features, span, only_created=True)
    numbers = np.arange(len(rows.order.starts) - 2)
    last = rows.order.last(numbers, np.full(len(numbers), ends.high))
    last = last[last >= 0]
    last = last[rows.order.time[last] >= ends.low]
    return rows.pulled(features, last, np.full(len(last), ends.high))


def lists_at_stamps(
    config: RepoConfig, source: DataSource, layout: Layout, features: Sequence[str], ends: Span
) -> pa.Table:
    """Of a collected view, the lists as they were at every key's every time of the span."""
    span = Span(high=ends.high)
    rows = _scanned(config, source, layout, features, span, only_created=False)
    last = np.flatnonzero((rows.order.time >= ends.low) & rows.order.closes_stamp())
    return rows.pulled(features, last, rows.order.time[last])


def rows_between(
    config: RepoConfig, source: DataSource, layout: Layout, features: Sequence[str], ends: Span
) -> pa.Table:
    """All rows of the span, in order of the files; those without a key only of saved datasets.

    A saved dataset is a source that names no time of its own: it keeps all rows of its spine.
    """
    files = _opened(config, source, layout, features, ends)
    plain = list(dict.fromkeys([*layout.keys, *layout.stamps]))
    features = features or [name for name in files.kinds if name not in plain]
    names = list(dict.fromkeys([*plain, *features]))
    parts: list[Ints] = []
    for start, table in files.batches([*layout.keys, layout.time], 1):
        time = stamps(table[layout.time], layout.time)
        keep = time.is_between(ends.low, ends.high).fill_null(False).to_numpy()
        if source.timestamp_field:
            for key in layout.keys:
                keep &= table[key].is_valid().to_numpy()
        parts.append(np.flatnonzero(keep) + start)
    return pa.table(files.take(names, np.concatenate(parts)))


def span_of(start: datetime | None, end: datetime | None) -> Span:
    """From `start` to `end`, both included; None is without limit."""
    low = Span().low if start is None else micros(start)
    return Span(low, Span().high if end is None else micros(end))


def _opened(
    config: RepoConfig, source: Any, layout: Layout, features: Sequence[str], span: Span
) -> Files:
    files = open_files(config, source, layout, span)
    check_columns(files, [*layout.columns, *features], source)
    return files


def _scanned(
    config: RepoConfig,
    source: DataSource,
    layout: Layout,
    features: Sequence[str],
    span: Span,
    *,
    only_created: bool,
) -> Rows:
    files = _opened(config, source, layout, features, span)
    return Rows.scan(files, layout, None, span, only_created=only_created)
