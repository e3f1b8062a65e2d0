"""A Feast online store: one packed row per view and entity key, newest wins; SQLite or Redis.

Newest is by (event time, created time); of equal stamps the later write wins, so a correction
counts and a late ``feast materialize`` never undoes a live update. Named in
``feature_store.yaml``; imports nothing of this repository but its two backends,
``online_sqlite.py`` and ``online_redis.py``, and ``online_values.py``. Next: ``offline.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from feature_repo.online_sqlite import SqliteRows
from feature_repo.online_values import EPOCH, key_text, micros, plain, protobuf

Row = tuple[int, int, dict[str, Any]]
KeyedRow = tuple[str, int, int, dict[str, Any]]
"""Key, event time, created time and values."""
Stamped = dict[tuple[str, str], tuple[int, int, str]]
"""(view, key) to event time, created time and packed text."""
Told = tuple[datetime | None, dict[str, Value] | None]
"""What Feast is told of a key: event time and values, None for one never written."""


class Rows(Protocol):
    """A backend: it keeps packed text under (project, view, key), and knows nothing of Feast."""

    def read(self, project: str, views: Sequence[str], keys: Sequence[str]) -> Stamped:
        """(view, key) to (event time, created time, packed), without those never written."""

    async def read_async(self, project: str, views: Sequence[str], keys: Sequence[str]) -> Stamped:
        """Like ``read``; other tasks of the running loop go on meanwhile."""

    async def close(self) -> None:
        """Close what ``read_async`` opened in the running loop."""

    def write(self, project: str, rows: Sequence[tuple[str, str, int, int, str]]) -> None:
        """Keep (view, key, event time, created time, packed) where nothing newer is kept."""

    def forget(self, project: str, views: Sequence[str]) -> None:
        """Remove the rows of `views`."""

    def drop(self, project: str) -> None:
        """Remove every row of `project`, and nothing else."""

    def incarnation(self) -> str:
        """What changes when the place was started anew or replaced; raises while it is down."""

    def about(self) -> dict[str, str]:
        """Its `name`, `version` and what it does when it is full (`eviction`)."""


class PackedOnlineStoreConfig(FeastConfigBaseModel):
    """Where the rows lie: ``sqlite:///FILE`` (relative to the Feast repository) or ``redis://``."""

    type: Literal["feature_repo.online.PackedOnlineStore"] = "feature_repo.online.PackedOnlineStore"
    url: str = "sqlite:///online.db"


class PackedOnlineStore(OnlineStore):
    """Feature rows as JSON, one per (view, key); several threads and processes may use one place.

    Beside the methods that Feast calls, :meth:`read` and :meth:`write` move plain Python values,
    without a protobuf in between. They know a single string join key only.
    """

    def __init__(self) -> None:
        self._backends: dict[str, Rows] = {}

    def read(
        self, config: RepoConfig, view_names: Sequence[str], keys: Sequence[str]
    ) -> dict[str, list[Row | None]]:
        """View name to one (event time, created time, values) per key, None where unknown.

        Times are microseconds since 1970 (UTC). Rows are of one moment of the store; in Redis, of
        one for each 10,000.
        """
        kept = self._rows(config).read(config.project, view_names, list(dict.fromkeys(keys)))
        return _by_view(kept, view_names, keys)

    async def read_async(
        self, config: RepoConfig, view_names: Sequence[str], keys: Sequence[str]
    ) -> dict[str, list[Row | None]]:
        """Like :meth:`read`, without holding up the running loop."""
        rows, asked = self._rows(config), list(dict.fromkeys(keys))
        return _by_view(await rows.read_async(config.project, view_names, asked), view_names, keys)

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """``get_online_features_async`` reads without a thread of its own for each request."""
        return SupportedAsyncMethods(read=True)

    async def close(self) -> None:
        """Close the connections of the running loop."""
        for rows in self._backends.values():
            await rows.close()

    def write(self, config: RepoConfig, rows_by_view: Mapping[str, Iterable[KeyedRow]]) -> int:
        """Keep rows of (key, event time, created time, values); gives the number offered.

        A row older than the one kept already changes nothing. Up to 500 rows are kept as a whole or
        not at all, whatever their views; in SQLite all of them are.
        """
        packed = [
            (view, key, event_us, created_us, json.dumps(values, ensure_ascii=False))
            for view, rows in rows_by_view.items()
            for key, event_us, created_us, values in rows
        ]
        return self.write_packed(config, packed)

    def write_packed(
        self, config: RepoConfig, rows: Sequence[tuple[str, str, int, int, str]]
    ) -> int:
        """Like :meth:`write`, of (view, key, event time, created time, text of a JSON object)."""
        self._rows(config).write(config.project, rows)
        return len(rows)

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write what ``feast materialize`` and pushes bring; without a created time, event time."""
        rows = (
            (key_text(key), micros(event), micros(created or event), plain(values))
            for key, values, event, created in data
        )
        num_rows = self.write(config, {table.name: rows})
        if progress is not None:
            progress(num_rows)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Told]:
        """One (event time, values) per key; (None, None) for a key never written."""
        asked = [key_text(key) for key in entity_keys]
        found = self.read(config, [table.name], asked)[table.name]
        return _told(found, table, requested_features)

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Told]:
        """Like ``online_read``, for ``get_online_features_async``."""
        asked = [key_text(key) for key in entity_keys]
        found = await self.read_async(config, [table.name], asked)
        return _told(found[table.name], table, requested_features)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Forget the rows of views that were removed."""
        self._rows(config).forget(config.project, [view.name for view in tables_to_delete])

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        """Remove this project's rows, and nothing else."""
        self._rows(config).drop(config.project)

    def incarnation(self, config: RepoConfig) -> str:
        """What changes when the store was started anew or replaced; raises while it is down."""
        return self._rows(config).incarnation()

    def _rows(self, config: RepoConfig) -> Rows:
        """The backend that the configuration names, opened once."""
        url = str(config.online_store.url)
        if url not in self._backends:
            self._backends[url] = open_rows(url, config.repo_path)
        return self._backends[url]


def open_rows(url: str, folder: Path | None = None) -> Rows:
    """The backend of `url`; a relative SQLite file lies in `folder`.

    Raises
    ------
    ValueError
        When it is the URL of neither backend. Its text may hold a password and is not repeated.
    """
    scheme, separator, place = url.partition("://")
    if scheme in ("redis", "rediss"):
        from feature_repo.online_redis import RedisRows

        return RedisRows(url)
    if scheme == "sqlite" and len(place) > 1:
        return SqliteRows((folder or Path()) / place.removeprefix("/"))
    begins = repr(scheme) if separator else "no scheme"
    raise ValueError(
        f"the online store's url begins with {begins}; set NUDGE_ONLINE_URL to "
        "redis://HOST:PORT/NUMBER, rediss://... or sqlite:////FOLDER/FILE, or activate .venv"
    )


def _by_view(
    kept: Stamped, view_names: Sequence[str], keys: Sequence[str]
) -> dict[str, list[Row | None]]:
    found = {
        place: (event_us, created_us, json.loads(packed))
        for place, (event_us, created_us, packed) in kept.items()
    }
    return {view: [found.get((view, key)) for key in keys] for view in view_names}


def _told(found: Sequence[Row | None], table: FeatureView, names: list[str] | None) -> list[Told]:
    """Rows of the view `table` in Feast's words, with the features `names` or all."""
    fields = {
        field.name: f"{field.dtype.to_value_type().name.lower()}_val"
        for field in table.features
        if names is None or field.name in names
    }
    return [
        (None, None)
        if row is None
        else (
            EPOCH + timedelta(microseconds=row[0]),
            {name: protobuf(row[2].get(name), kind) for name, kind in fields.items()},
        )
        for row in found
    ]
