"""A Feast offline store over Parquet files: an as-of join that conserves rows and order.

Per spine row it takes the newest source row known then, or the last N of them as lists for a view
whose source is tagged ``{"collect": "N", "order": "column,column"}``. Named in
``feature_store.yaml``. Next: ``parquet.py`` for the files, ``asof.py`` for the join.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
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
from feast.utils import _get_requested_feature_views_to_features_dict

from feature_repo.asof import Ints
from feature_repo.files import Span
from feature_repo.job import AsOfRetrievalJob
from feature_repo.parquet import Rows, pulled, rows_of, view_columns

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AsOfOfflineStoreConfig(FeastConfigBaseModel):
    """Nothing to set: the sources name their files."""

    type: Literal["feature_repo.offline.AsOfOfflineStore"] = "feature_repo.offline.AsOfOfflineStore"


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
            _folder(config),
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

        end = _micros(end_date)

        def evaluate() -> pa.Table:
            rows = _rows(
                config,
                data_source,
                feature_name_columns,
                join_key_columns,
                timestamp_field,
                created_timestamp_column,
                _range(data_source, start_date, end_date),
                only_created=True,
            )
            numbers = np.arange(len(rows.order.starts) - 1)
            last = rows.order.last(numbers, np.full(len(numbers), end))
            last = last[last >= 0]
            last = last[rows.order.time[last] >= _micros(start_date)]
            return pulled(rows, feature_name_columns, last, np.full(len(last), end))

        return AsOfRetrievalJob(evaluate, _folder(config))

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
            rows = _rows(
                config,
                data_source,
                feature_name_columns,
                join_key_columns,
                timestamp_field,
                created_timestamp_column,
                _range(data_source, start_date, end_date),
                only_created=False,
            )
            inside = np.ones(len(rows.order.time), dtype=bool)
            if start_date is not None:
                inside &= rows.order.time >= _micros(start_date)
            if rows.layout.collect is not None:
                inside &= rows.order.closes_stamp()
            last = np.flatnonzero(inside)
            return pulled(rows, feature_name_columns, last, rows.order.time[last])

        return AsOfRetrievalJob(evaluate, _folder(config))

    @staticmethod
    def offline_write_batch(*args: Any, **kwargs: Any) -> None:
        """Refused: the Parquet files have another writer."""
        raise ValueError("the as-of offline store only reads; write its Parquet files yourself")

    @staticmethod
    def write_logged_features(*args: Any, **kwargs: Any) -> None:
        """Refused: the Parquet files have another writer."""
        raise ValueError("the as-of offline store only reads, it logs nothing; drop logging_config")


def _folder(config: RepoConfig) -> Path:
    """What relative paths are relative to."""
    return Path(config.repo_path or ".")


def _rows(
    config: RepoConfig,
    source: DataSource,
    features: list[str],
    keys: list[str],
    time: str,
    created: str | None,
    span: Span,
    *,
    only_created: bool,
) -> Rows:
    """All rows of `source` within the span, by all its keys."""
    return rows_of(
        config,
        source,
        features,
        keys=keys,
        time=time,
        created=created,
        only_created=only_created,
        span=span,
    )[0]


def _range(source: DataSource, start: datetime | None, end: datetime | None) -> Span:
    """The times that a pull must read: lists reach back before its start."""
    low = None if start is None or "collect" in source.tags else _micros(start)
    return Span(low=low, high=None if end is None else _micros(end))


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
