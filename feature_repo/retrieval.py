"""The two reads, with one meaning: rows as of many past moments, and rows as of now.

:func:`point_in_time` asks plain Feast; :func:`online` reads the packed online rows and runs the
same ``derive`` functions. Both give the same columns of the same types. Next: ``publish.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from feature_repo.columns import DERIVED, Resolved, columns_of, frame_of, plain_row, polars_type
from feature_repo.lean import lean
from feature_repo.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

    from feature_repo.online import PackedOnlineStore


@lru_cache(maxsize=8)
def open_store(settings: Settings) -> FeatureStore:
    """The Feast store of this shop; one per process and settings."""
    with lean():
        from feast import FeatureStore

    with settings.exported():
        return FeatureStore(fs_yaml_file=Path(__file__).with_name("feature_store.yaml"))


def packed_store(store: FeatureStore) -> PackedOnlineStore:
    """The online store behind `store`."""
    from feature_repo.online import PackedOnlineStore

    online_store = store._get_provider().online_store
    assert isinstance(online_store, PackedOnlineStore), "feature_store.yaml names our online store"
    return online_store


def point_in_time(
    spine: pl.DataFrame, service: str, settings: Settings | None = None
) -> pl.DataFrame:
    """The features of `service` as they were known strictly before each row of `spine`.

    Parameters
    ----------
    spine
        Key column (``user_id`` or ``item_id``), ``event_timestamp`` (UTC, microseconds) and
        whatever else the rows carry; conserved in number and order.

    Raises
    ------
    ValueError
        When the key or ``event_timestamp`` is missing or null.
    """
    settings = settings or Settings()
    found = resolve(service, settings)
    _check_spine(spine, found.key)
    asked = pl.col("event_timestamp").cast(pl.Datetime("us", "UTC"))
    rows = spine.with_columns(asked, asked_at=asked.cast(pl.Int64))
    keys = rows.select(found.key, "event_timestamp", "asked_at").to_pandas()
    store = open_store(settings)
    parts = [_historical(store, keys, refs) for refs in _by_cost(found.references) if refs]
    columns = {name: part[name] for part in parts for name in part.columns if name in found.schema}
    return spine.with_columns(
        columns[name].cast(polars_type(kind), strict=True).alias(name)
        for name, kind in found.schema.items()
    )


def online(
    keys: Sequence[str], service: str, asked_at: int, settings: Settings | None = None
) -> pl.DataFrame:
    """The features of `service` for `keys` as known now, derived at `asked_at`.

    Columns equal those of :func:`point_in_time`; a key never written has null scalars and empty
    lists. One row per key, in order.
    """
    settings = settings or Settings()
    store, found = open_store(settings), resolve(service, settings)
    rows = packed_store(store).read(store.config, list(found.views), list(keys))
    return frame_of(keys, found, columns_of(len(keys), found, rows, asked_at))


async def online_async(
    keys: Sequence[str], service: str, asked_at: int, settings: Settings | None = None
) -> pl.DataFrame:
    """Like :func:`online`, for a server with a loop: others are answered while the store is asked.

    What it opened in the running loop is closed by ``packed_store(open_store()).close()``.
    """
    settings = settings or Settings()
    store, found = open_store(settings), resolve(service, settings)
    rows = await packed_store(store).read_async(store.config, list(found.views), list(keys))
    return frame_of(keys, found, columns_of(len(keys), found, rows, asked_at))


def online_row(key: str, service: str, asked_at: int, settings: Settings) -> dict[str, Any]:
    """What :func:`online` gives for one key, as plain values by name: no frame is made."""
    store, found = open_store(settings), resolve(service, settings)
    rows = packed_store(store).read(store.config, list(found.views), [key])
    return plain_row(found, rows, asked_at)


def unknown_row(service: str, asked_at: int, settings: Settings) -> dict[str, Any]:
    """What :func:`online_row` gives for a key never written, without asking the online store."""
    found = resolve(service, settings)
    return plain_row(found, {view: [None] for view in found.views}, asked_at)


def schema(service: str, settings: Settings | None = None) -> dict[str, str]:
    """Feature name to type, in the order of `service` in the registry."""
    return dict(resolve(service, settings or Settings()).schema)


def registered(service: str, settings: Settings) -> dict[str, str]:
    """Like :func:`schema`, as the registry says at this moment."""
    found = open_store(settings).get_feature_service(service)
    return {f.name: str(f.dtype) for p in found.feature_view_projections for f in p.features}


def schema_hash(services: Sequence[str], settings: Settings | None = None) -> str:
    """A short fingerprint of what the registry says of `services`: the feature version."""
    text = json.dumps({service: schema(service, settings) for service in services})
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@lru_cache(maxsize=16)
def resolve(service: str, settings: Settings) -> Resolved:
    """What the registry says of `service`, looked up once per process: a look-up costs 10 ms.

    A running process keeps the schema it began with, as a model keeps the one it learnt from.

    Raises
    ------
    ValueError
        When the registry has no such service.
    """
    store = open_store(settings)
    projections = _service(store, service).feature_view_projections
    views: dict[str, list[str]] = {}
    for projection in projections:
        for source in _sources(store, projection):
            fields = views.setdefault(source.name, [])
            fields += [f.name for f in source.features if f.name not in fields]
    features = [(projection.name, f) for projection in projections for f in projection.features]
    return Resolved(
        key=store.get_feature_view(next(iter(views)), allow_registry_cache=True).join_keys[0],
        views=views,
        derived=tuple(p.name for p in projections if p.name in DERIVED),
        references=tuple(f"{view}:{feature.name}" for view, feature in features),
        schema={feature.name: str(feature.dtype) for _, feature in features},
    )


def _service(store: FeatureStore, name: str) -> FeatureService:
    from feast.errors import FeatureServiceNotFoundException

    try:
        return store.get_feature_service(name, allow_cache=True)
    except FeatureServiceNotFoundException as error:
        raise ValueError(
            f"the registry has no feature service {name!r}; run `feast apply` first"
        ) from error


def _sources(store: FeatureStore, projection: Any) -> list[Any]:
    """The stored views that a part of a service is read from."""
    if projection.name not in DERIVED:
        return [projection]
    derived = store.get_on_demand_feature_view(projection.name)
    return list(derived.source_feature_view_projections.values())


def _by_cost(references: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split: what passes through pandas for its derivation, and what stays Arrow throughout."""
    derived = [ref for ref in references if ref.split(":")[0] in DERIVED]
    return derived, [ref for ref in references if ref not in derived]


def _historical(store: FeatureStore, keys: Any, references: list[str]) -> pl.DataFrame:
    job = store.get_historical_features(
        entity_df=keys, features=references, filter_by_created_timestamp=True
    )
    found = pl.from_arrow(job.to_arrow())
    assert isinstance(found, pl.DataFrame), "a retrieval gives a table"
    assert found.height == len(keys), "the offline store conserves rows"
    return found


def _check_spine(spine: pl.DataFrame, key: str) -> None:
    for column in (key, "event_timestamp"):
        if column not in spine.columns:
            raise ValueError(f"the spine has no column {column!r}; it has {spine.columns}")
        if spine[column].null_count():
            raise ValueError(
                f"the spine has {spine[column].null_count()} null in {column!r}; drop them"
            )
