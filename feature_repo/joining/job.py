"""A retrieval that runs when its answer is asked for, and keeps it as a saved dataset."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from feast import OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import ValidationReference

from feature_repo.disk import replacing

_ONE_PART = "part-0.parquet"


class AsOfRetrievalJob(RetrievalJob):
    """A table that is computed when asked for; Feast applies on-demand views to it."""

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        repo_path: Path | None,
        *,
        on_demand_feature_views: list[OnDemandFeatureView] | None = None,
        full_feature_names: bool = False,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._repo_path = Path(repo_path or ".")
        self._on_demand_feature_views = on_demand_feature_views or []
        self._full_feature_names = full_feature_names
        self._metadata = metadata

    def to_arrow(
        self,
        validation_reference: ValidationReference | None = None,
        timeout: int | None = None,
    ) -> pa.Table:
        """The spine and its features; an on-demand feature replaces an input of the same name."""
        table = super().to_arrow(validation_reference, timeout)
        places = {name: place for place, name in enumerate(table.column_names)}
        return table.select(list(places.values()))

    def persist(
        self, storage: Any, allow_overwrite: bool | None = False, timeout: int | None = None
    ) -> None:
        """Write the answer as Parquet: a file, or a folder of one where the path has no suffix.

        It is there in one step. Feast's ``create_saved_dataset`` comes here.

        Raises
        ------
        ValueError
            When `storage` is no local ``SavedDatasetFileStorage``, or a folder holds other files.
        SavedDatasetLocationAlreadyExists
            When something is there and `allow_overwrite` is not set.
        DiskFull
            When there is no space for it; what was there stays.
        """
        if not isinstance(storage, SavedDatasetFileStorage):
            raise ValueError(
                f"{type(storage).__name__} is no place for this store's datasets; "
                "give a SavedDatasetFileStorage"
            )
        asked = storage.file_options.uri.removeprefix("file://")
        if "://" in asked:
            raise ValueError(f"{asked} is not on this machine; this store writes local files only")
        path = self._repo_path / asked
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        with replacing(_file_of(path)) as partial:
            pyarrow.parquet.write_table(self.to_arrow(timeout=timeout), partial)

    def to_sql(self) -> str:
        """Refused: nothing here is SQL."""
        raise ValueError("the as-of offline store runs no SQL; read to_arrow() or to_df()")

    def to_remote_storage(self) -> list[str]:
        """Refused: files are written by `persist`."""
        raise ValueError(
            "the as-of offline store exports to no remote storage; keep the answer with "
            "create_saved_dataset and copy its file"
        )

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        inputs = [
            (field.name, f"{source.name}__{field.name}")  # Feast copies each to its other name
            for view in self._on_demand_feature_views
            for source in view.source_feature_view_projections.values()
            for field in source.features
        ]
        return _nullable(self._evaluate(), inputs)

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()

    @property
    def full_feature_names(self) -> bool:
        """Whether columns are named view__feature."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """The views that Feast computes from this table."""
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for."""
        return self._metadata


def _file_of(path: Path) -> Path:
    """Where the rows of a dataset at `path` go."""
    if path.suffix and not path.is_dir():
        return path
    there = path.iterdir() if path.is_dir() else []
    others = [file.name for file in there if file.name != _ONE_PART]
    if others:
        raise ValueError(
            f"{path} holds {', '.join(sorted(others)[:5])}, which a saved dataset would be mixed "
            "with; give an empty folder or a new file"
        )
    return path / _ONE_PART


def _nullable(table: pa.Table, copies: Iterable[tuple[str, str]] = ()) -> pa.Table:
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
