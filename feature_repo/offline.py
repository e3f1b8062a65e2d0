"""A Feast offline store over Parquet files: an as-of join that conserves rows and order.

Per spine row it takes the newest source row known then, or the last N of them as lists for a view
whose source is tagged ``{"collect": "N", "order": "column,column"}``. Named in
``feature_store.yaml``. Next: ``parquet.py`` for the files, ``asof.py`` for the join.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.saved_dataset import ValidationReference
from feast.utils import _get_requested_feature_views_to_features_dict

from feature_repo.asof import Ints
from feature_repo.parquet import nullable, pulled, rows_of, view_columns

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AsOfOfflineStoreConfig(FeastConfigBaseModel):
    """Nothing to set: the sources name their files."""

    type: Literal["feature_repo.offline.AsOfOfflineStore"] = "feature_repo.offline.AsOfOfflineStore"


class AsOfRetrievalJob(RetrievalJob):
    """A table that is computed when asked for; Feast applies on-demand views to it."""

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        *,
        on_demand_feature_views: list[OnDemandFeatureView] | None = None,
        full_feature_names: bool = False,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._evaluate = evaluate
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

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: Any = None) -> None:
        """Refused: this store writes nothing."""
        raise ValueError("the as-of offline store only reads; write to_arrow() to a file yourself")

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


class AsOfOfflineStore(OfflineStore):
    """Reads ``FileSource`` Parquet (a file or a folder); writes nothing."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **kwargs: Any,
    ) -> RetrievalJob:
        """The rows of `entity_df` in their order, with the features known at each one's time."""
        if not isinstance(entity_df, pd.DataFrame):
            raise ValueError(
                f"entity_df is {entity_df!r}; this store joins a pandas DataFrame of entity keys "
                "and event_timestamp, it neither runs SQL nor makes up a spine from dates"
            )
        time_column = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        spine = pa.Table.from_pandas(entity_df, preserve_index=False)
        moments = _moments(entity_df[time_column])
        wanted = _get_requested_feature_views_to_features_dict(
            feature_refs, feature_views, registry.list_on_demand_feature_views(project)
        )[0]

        def evaluate() -> pa.Table:
            table = spine
            for view, features in wanted.items():
                columns = view_columns(
                    config, view, features, spine, moments, filter_by_created_timestamp
                )
                prefix = f"{view.projection.name_alias or view.name}__" * full_feature_names
                for name, column in columns.items():
                    table = _append(table, prefix + name, column)
            return table

        return AsOfRetrievalJob(
            evaluate,
            on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(
                feature_refs, project, registry
            ),
            full_feature_names=full_feature_names,
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=[name for name in entity_df.columns if name != time_column],
                min_event_timestamp=entity_df[time_column].min(),
                max_event_timestamp=entity_df[time_column].max(),
            ),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Per key, the newest row known at `end_date`, if its time is not before `start_date`."""

        def evaluate() -> pa.Table:
            rows = rows_of(
                config,
                data_source,
                feature_name_columns,
                keys=join_key_columns,
                time=timestamp_field,
                created=created_timestamp_column,
                only_created=True,
            )
            numbers = np.arange(len(rows.starts))
            last = rows.last(numbers, np.full(len(numbers), _micros(end_date)))
            last = last[last >= 0]
            last = last[rows.time[last] >= _micros(start_date)]
            return pulled(rows, feature_name_columns, last, np.full(len(last), _micros(end_date)))

        return AsOfRetrievalJob(evaluate)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """All rows of the span, both ends included; for a collected view the lists at each."""

        def evaluate() -> pa.Table:
            rows = rows_of(
                config,
                data_source,
                feature_name_columns,
                keys=join_key_columns,
                time=timestamp_field,
                created=created_timestamp_column,
                only_created=False,
            )
            inside = np.ones(len(rows.time), dtype=bool)
            if start_date is not None:
                inside &= rows.time >= _micros(start_date)
            if end_date is not None:
                inside &= rows.time <= _micros(end_date)
            if rows.layout.collect is not None:
                inside &= rows.closes_stamp()
            last = np.flatnonzero(inside)
            return pulled(rows, feature_name_columns, last, rows.time[last])

        return AsOfRetrievalJob(evaluate)

    @staticmethod
    def offline_write_batch(*args: Any, **kwargs: Any) -> None:
        """Refused: the Parquet files have another writer."""
        raise ValueError("the as-of offline store only reads; write its Parquet files yourself")

    @staticmethod
    def write_logged_features(*args: Any, **kwargs: Any) -> None:
        """Refused: the Parquet files have another writer."""
        raise ValueError("the as-of offline store only reads, it logs nothing; drop logging_config")


def _append(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    if name in table.column_names:
        raise ValueError(
            f"there are two columns {name!r}, of entity_df or two views; "
            "rename one or ask with full_feature_names=True"
        )
    return table.append_column(name, column)


def _moments(column: pd.Series) -> Ints:
    """The spine's times in microseconds, rounded down; without a zone they are UTC."""
    times = pd.to_datetime(column, utc=True)
    if times.isna().any():
        raise ValueError(
            f"entity_df has {int(times.isna().sum())} null in {column.name!r}; drop them"
        )
    return times.dt.floor("us").dt.as_unit("us").astype("int64").to_numpy()


def _micros(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)
