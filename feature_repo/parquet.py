"""What a Feast source over Parquet files holds, read for the as-of join.

A source or its view tagged ``{"collect": "N", "order": "column,column"}`` holds one scalar row per
happening and is read as lists of the last N. Next: ``asof.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
from feast import FeatureView, FileSource
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.repo_config import RepoConfig
from feast.types import from_feast_to_pyarrow_type

from feature_repo.asof import AsOf, Ints, Layout


def rows_of(
    config: RepoConfig,
    source: DataSource | None,
    columns: Sequence[str],
    *,
    keys: Sequence[str],
    time: str,
    created: str | None,
    only_created: bool,
    tags: Mapping[str, str] | None = None,
) -> AsOf:
    """Read `source`, all columns of it when none is named, by its own tags and those of its view.

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
    table = _read(Path(config.repo_path or ".") / source.path, layout, columns)
    return AsOf.sort(table, layout, only_created=only_created)


def _read(path: Path, layout: Layout, columns: Sequence[str]) -> pa.Table:
    """A single file is opened once, so one that is replaced meanwhile is read as it was."""
    if not path.exists():
        raise ValueError(f"there is no {path}; write the Parquet file that the view reads first")
    if path.is_dir():
        folder = pyarrow.dataset.dataset(path, format="parquet", partitioning="hive")
        names, read = folder.schema.names, folder.to_table
    else:
        file = pyarrow.parquet.ParquetFile(path)
        names, read = file.schema_arrow.names, file.read
    wanted = list(dict.fromkeys([*layout.columns, *(columns or names)]))
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(names)}")
    return read(columns=wanted)


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
    rows = rows_of(
        config,
        source,
        list(columns.values()),
        keys=[] if view.entities == [DUMMY_ENTITY_NAME] else list(keys.values()),
        time=stored.get(source.timestamp_field, source.timestamp_field),
        created=stored.get(source.created_timestamp_column, source.created_timestamp_column),
        only_created=only_created,
        tags=view.tags,
    )
    asked = [view.projection.join_key_map.get(name, name) for name in keys]
    numbers = rows.numbers([_spine_column(spine, name, view.name) for name in asked])
    ttl = 0 if view.ttl is None else view.ttl // timedelta(microseconds=1)
    first, last = rows.first(numbers, moments, ttl), rows.last(numbers, moments)
    found = rows.gather(list(columns.values()), first, last, moments)
    kinds = {field.name: from_feast_to_pyarrow_type(field.dtype) for field in view.features}
    return {name: found[column].cast(kinds[name]) for name, column in columns.items()}


def pulled(rows: AsOf, features: Sequence[str], last: Ints, moments: Ints) -> pa.Table:
    """The rows at `last`: keys and stamps as stored, then the features."""
    layout = rows.layout
    stamps = [layout.time, *([] if layout.created is None else [layout.created])]
    plain = [*layout.keys, *stamps]
    features = features or [name for name in rows.table.column_names if name not in plain]
    table = rows.table.select(plain).take(pa.array(rows.row[last]))
    found = rows.gather(features, rows.starts[rows.number[last]], last, moments)
    for name in features:
        table = table.append_column(name, found[name])
    return table


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


def _spine_column(spine: pa.Table, name: str, view: str) -> pa.ChunkedArray:
    if name not in spine.column_names:
        raise ValueError(
            f"entity_df has no column {name!r}, the key of view {view!r}; "
            f"it has {', '.join(spine.column_names)}"
        )
    return spine[name]
