"""How ``feast materialize`` fills the packed online store: by columns, without a protobuf a value.

Feast's local engine turns every value into a message, and the store turns each back. This engine
takes the plain case, one view over one source, from Arrow to packed text; whatever else a view may
have (transformations, aggregations, other types) goes Feast's own way. Named in
``feature_store.yaml``. Next: ``online.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import repeat
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from feast import FeatureView
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.dag.context import ColumnInfo
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.compute_engines.utils import create_offline_store_retrieval_job
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from feast.types import from_feast_to_pyarrow_type
from feast.utils import _get_column_names

from feature_repo.joining import times
from feature_repo.online import PackedOnlineStore

ROWS_AT_ONCE = 20_000
_KINDS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_string, pa.types.is_boolean)


class ColumnarEngineConfig(FeastConfigBaseModel):
    """Nothing to set."""

    type: Literal["feature_repo.materializing.ColumnarEngine"] = (
        "feature_repo.materializing.ColumnarEngine"
    )


class ColumnarEngine(LocalComputeEngine):
    """Feast's local engine, with a short way for plain views into the packed online store."""

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any
    ) -> LocalMaterializationJob:
        view = task.feature_view
        if not isinstance(self.online_store, PackedOnlineStore) or not is_plain(view):
            return super()._materialize_one(registry, task, **kwargs)
        name = f"{view.name}-{task.start_time}-{task.end_time}"
        try:
            self._copy(registry, task)
        except Exception as error:  # Feast raises what the job says
            return LocalMaterializationJob(name, MaterializationJobStatus.ERROR, error=error)
        return LocalMaterializationJob(name, MaterializationJobStatus.SUCCEEDED)

    def _copy(self, registry: BaseRegistry, task: MaterializationTask) -> None:
        """From the offline store, by batches of rows, into the online store."""
        view, context = task.feature_view, self.get_execution_context(registry, task)
        source = view.batch_source
        assert source is not None, "a plain view has a source"
        keys, features, time, created = _get_column_names(view, context.entity_defs)
        columns = ColumnInfo(
            join_keys=keys, feature_cols=features, ts_col=time, created_ts_col=created
        )
        job = create_offline_store_retrieval_job(
            source, columns, context, task.start_time, task.end_time
        )
        table = job.to_arrow()
        named = source.field_mapping
        stamps = [time, created or time]
        table = table.rename_columns([named.get(name, name) for name in table.column_names])
        stamps = [named.get(name, name) for name in stamps]
        assert isinstance(self.online_store, PackedOnlineStore), "checked before"
        assert task.tqdm_builder is not None, "Feast shows progress"
        with task.tqdm_builder(table.num_rows) as progress:
            for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
                rows = packed_rows(pa.table(batch), view, view.join_keys, stamps)
                self.online_store.write_packed(self.repo_config, rows)
                progress.update(batch.num_rows)


def is_plain(view: Any) -> bool:
    """Whether a view is one source's columns, of types that packed text holds."""
    return (
        type(view) is FeatureView
        and view.online
        and not view.offline
        and view.stream_source is None
        and view.batch_source is not None
        and all(_is_packable(from_feast_to_pyarrow_type(f.dtype)) for f in view.features)
    )


def packed_rows(
    table: pa.Table, view: FeatureView, keys: list[str], stamps: list[str]
) -> list[tuple[str, str, int, int, str]]:
    """(view, key, event time, created time, packed) for each row, packed as the store does."""
    kinds = {field.name: from_feast_to_pyarrow_type(field.dtype) for field in view.features}
    features = pa.table({name: table[name].cast(kind) for name, kind in kinds.items()})
    event, created = (times.stamps(table[name], name) for name in stamps)
    whole = pl.DataFrame(pl.from_arrow(features))
    return list(
        zip(
            repeat(view.name, table.num_rows),
            _key_texts(table, keys),
            event.to_list(),
            created.fill_null(event).to_list(),
            _texts(whole),
            strict=True,
        )
    )


def _texts(frame: pl.DataFrame) -> list[str]:
    """Each row as the JSON that ``json.dumps`` makes of its values."""
    floats = [n for n, k in frame.schema.items() if k.is_float() or k == pl.List(pl.Float64)]
    plain = frame.select(
        (pl.col(n).explode() if frame.schema[n] == pl.List else pl.col(n)).is_finite().all()
        for n in floats
    )
    if floats and not all(plain.row(0)):  # numbers that JSON has no word for, and Python does
        return [json.dumps(row, ensure_ascii=False) for row in frame.iter_rows(named=True)]
    return frame.select(pl.struct(frame.columns).struct.json_encode()).to_series().to_list()


def _key_texts(table: pa.Table, keys: list[str]) -> Iterator[str] | list[str]:
    """A single text key as it is, any other as a JSON list in order of the key names."""
    if len(keys) == 1 and _is_text(table[keys[0]].type):
        return table[keys[0]].to_pylist()
    columns = [table[name].to_pylist() for name in sorted(keys)]
    return (json.dumps(list(key)) for key in zip(*columns, strict=True))


def _is_packable(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_list(kind) else kind
    return any(is_kind(inner) for is_kind in _KINDS)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
