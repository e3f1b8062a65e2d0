"""What a read of the offline store gives: a table that is computed when it is asked for.

Next: ``offline.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from feast import OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage, ValidationReference

from feature_repo.disk import replacing
from feature_repo.parquet import nullable


class AsOfRetrievalJob(RetrievalJob):
    """A table that is computed when asked for; Feast applies on-demand views to it.

    Relative places of saved datasets lie in `folder`.
    """

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        folder: Path,
        *,
        on_demand_feature_views: list[OnDemandFeatureView] | None = None,
        full_feature_names: bool = False,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._evaluate, self._folder = evaluate, folder
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
        self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: Any = None
    ) -> None:
        """Keep the table as a saved dataset, whole or not at all.

        Raises
        ------
        SavedDatasetLocationAlreadyExists
            When the file is there and must not be replaced.
        ValueError
            When `storage` is no Parquet file on this machine.
        """
        uri = storage.file_options.uri if isinstance(storage, SavedDatasetFileStorage) else ""
        path = self._folder / uri.removeprefix("file://")
        if path.suffix != ".parquet" or "://" in uri.removeprefix("file://"):
            raise ValueError(
                f"a dataset cannot be saved to {uri or type(storage).__name__!r}; give "
                "SavedDatasetFileStorage(path=...) a local file whose name ends in .parquet"
            )
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        with replacing(path) as partial:
            pyarrow.parquet.write_table(self.to_arrow(), partial)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        inputs = [
            (field.name, f"{source.name}__{field.name}")  # Feast copies each to its other name
            for view in self._on_demand_feature_views
            for source in view.source_feature_view_projections.values()
            for field in source.features
        ]
        return nullable(self._evaluate(), inputs)

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
