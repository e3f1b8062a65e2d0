"""A Feast offline store over Parquet files: an as-of join that conserves rows and order.

Per spine row it takes the newest source row known then, or the last N of them as lists for a view
whose source is tagged ``{"collect": "N", "order": "column,column"}``. Named in
``feature_store.yaml``. Next: ``joining/source.py``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.utils import _get_requested_feature_views_to_features_dict

from feature_repo.joining.job import AsOfRetrievalJob
from feature_repo.joining.layout import Layout
from feature_repo.joining.source import (
    Spine,
    lists_at_stamps,
    newest_rows,
    rows_between,
    span_of,
    view_columns,
)
from feature_repo.joining.times import moments


class AsOfOfflineStoreConfig(FeastConfigBaseModel):
    """Nothing to set: the sources name their files."""

    type: Literal["feature_repo.offline.AsOfOfflineStore"] = "feature_repo.offline.AsOfOfflineStore"


class AsOfOfflineStore(OfflineStore):
    """Reads ``FileSource`` Parquet (a file or a folder); writes saved datasets only."""

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
        if asked := [name for name, value in kwargs.items() if value is not None]:
            raise ValueError(
                f"{', '.join(asked)} beside entity_df is not offered; "
                "give the rows and moments that you want as entity_df"
            )
        time_column = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        spine = Spine(
            pa.Table.from_pandas(entity_df, preserve_index=False), moments(entity_df[time_column])
        )
        wanted = _get_requested_feature_views_to_features_dict(
            feature_refs, feature_views, registry.list_on_demand_feature_views(project)
        )[0]

        def evaluate() -> pa.Table:
            table = spine.table
            for view, features in wanted.items():
                columns = view_columns(config, view, features, spine, filter_by_created_timestamp)
                prefix = f"{view.projection.name_alias or view.name}__" * full_feature_names
                for name, column in columns.items():
                    table = _append(table, prefix + name, column)
            return table

        return AsOfRetrievalJob(
            evaluate,
            config.repo_path,
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
        layout = Layout.of(
            data_source.tags,
            keys=join_key_columns,
            time=timestamp_field,
            created=created_timestamp_column,
        )
        span = span_of(start_date, end_date)
        return AsOfRetrievalJob(
            lambda: newest_rows(config, data_source, layout, feature_name_columns, span),
            config.repo_path,
        )

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
        layout = Layout.of(
            data_source.tags,
            keys=join_key_columns,
            time=timestamp_field,
            created=created_timestamp_column,
        )
        read = rows_between if layout.collect is None else lists_at_stamps
        span = span_of(start_date, end_date)
        return AsOfRetrievalJob(
            lambda: read(config, data_source, layout, feature_name_columns, span), config.repo_path
        )

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
