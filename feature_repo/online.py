"""A Feast online store: one packed row per view and entity key, newest wins; SQLite or Redis.

Newest is by (event time, created time); of equal stamps the later write wins, so a correction
counts and a late ``feast materialize`` never undoes a live update. Named in
``feature_store.yaml``; imports nothing of this repository but its two backends,
``online_sqlite.py`` and ``online_redis.py``. Next: ``offline.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from feature_repo.online_sqlite import SqliteRows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Row = tuple[int, int, dict[str, Any]]


class Rows(Protocol):
    """A backend: it keeps packed text under (project, view, key), and knows nothing of Feast."""

    def read(
        self, project: str, views: Sequence[str], keys: Sequence[str]
    ) -> dict[tuple[str, str], tuple[int, int, str]]:
        """(view, key) to (event time, created time, packed), without those never written."""

    def write(self, project: str, view: str, rows: Sequence[tuple[str, int, int, str]]) -> None:
        """Keep (key, event time, created time, packed) where nothing newer is kept."""

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
        found = {
            place: (event_us, created_us, json.loads(packed))
            for place, (event_us, created_us, packed) in kept.items()
        }
        return {view: [found.get((view, key)) for key in keys] for view in view_names}

    def write(
        self, config: RepoConfig, view_name: str, rows: Iterable[tuple[str, int, int, dict]]
    ) -> int:
        """Keep rows of (key, event time, created time, values); gives the number offered.

        A row older than the one kept already changes nothing.
        """
        packed = [
            (key, event_us, created_us, json.dumps(values, ensure_ascii=False))
            for key, event_us, created_us, values in rows
        ]
        return self.write_packed(config, view_name, packed)

    def write_packed(
        self, config: RepoConfig, view_name: str, rows: Sequence[tuple[str, int, int, str]]
    ) -> int:
        """Like :meth:`write`, of values that are the text of a JSON object already."""
        self._rows(config).write(config.project, view_name, rows)
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
            (_key(key), _micros(event), _micros(created or event), _plain(values))
            for key, values, event, created in data
        )
        num_rows = self.write(config, table.name, rows)
        if progress is not None:
            progress(num_rows)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """One (event time, values) per key; (None, None) for a key never written."""
        fields = {
            field.name: f"{field.dtype.to_value_type().name.lower()}_val"
            for field in table.features
            if requested_features is None or field.name in requested_features
        }
        found = self.read(config, [table.name], [_key(key) for key in entity_keys])[table.name]
        return [
            (None, None)
            if row is None
            else (
                _EPOCH + timedelta(microseconds=row[0]),
                {name: _value(row[2].get(name), kind) for name, kind in fields.items()},
            )
            for row in found
        ]

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


def _micros(moment: datetime) -> int:
    """Microseconds since 1970; a moment without a zone is UTC, as Feast says."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def _key(key: EntityKey) -> str:
    """The string itself for a single string join key, else a JSON list in order of key names."""
    pairs = sorted(zip(key.join_keys, key.entity_values, strict=True), key=lambda pair: pair[0])
    values = [getattr(value, value.WhichOneof("val")) for _, value in pairs]
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return json.dumps(values)


def _plain(values: dict[str, Value]) -> dict[str, Any]:
    """Protobuf values as numbers, strings, booleans, lists of them, or None.

    Raises
    ------
    ValueError
        When a value is of another type (bytes, maps); the message names it.
    """
    plain: dict[str, Any] = {}
    for name, value in values.items():
        kind = value.WhichOneof("val")
        if kind is None or kind == "null_val":
            plain[name] = None
            continue
        found = getattr(value, kind)
        plain[name] = list(found.val) if kind.endswith("_list_val") else found
        if "bytes" in kind or not isinstance(plain[name], int | float | str | list):
            raise ValueError(
                f"feature {name!r} is a {kind}; the packed online store keeps numbers, strings, "
                "booleans and lists of them: declare it as one of these"
            )
    return plain


def _value(plain: Any, kind: str) -> Value:
    """The protobuf value of `plain` in the oneof field `kind`."""
    value = Value()
    if plain is None:
        return value
    if kind.endswith("_list_val"):
        held = getattr(value, kind)
        held.SetInParent()
        held.val.extend(plain)
    else:
        setattr(value, kind, plain)
    return value
