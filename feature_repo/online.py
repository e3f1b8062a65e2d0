"""A Feast online store: one packed row per view and entity key, in SQLite, newest wins.

Newest is by (event time, created time); of equal stamps the later write wins, so a correction
counts and a late ``feast materialize`` never undoes a live update. Named in
``feature_store.yaml``; imports nothing of this repository. Next: ``offline.py``.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

BUSY_SECONDS = 30.0
_ASKED_AT_ONCE = 10_000  # SQLite takes 32,766 values in one statement
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Row = tuple[int, int, dict[str, Any]]


class PackedOnlineStoreConfig(FeastConfigBaseModel):
    """Where the SQLite file lies; a relative path is relative to the Feast repository."""

    type: Literal["feature_repo.online.PackedOnlineStore"] = "feature_repo.online.PackedOnlineStore"
    path: str = "online.db"


class PackedOnlineStore(OnlineStore):
    """Feature rows as JSON, one per (view, key); several threads and processes may use one file.

    Beside the methods that Feast calls, :meth:`read` and :meth:`write` move plain Python values,
    without a protobuf in between. They know a single string join key only.
    """

    def __init__(self) -> None:
        self._local = threading.local()

    def read(
        self, config: RepoConfig, view_names: Sequence[str], keys: Sequence[str]
    ) -> dict[str, list[Row | None]]:
        """View name to one (event time, created time, values) per key, None where unknown.

        Times are microseconds since 1970 (UTC). All rows are of one moment of the store.
        """
        found: dict[tuple[str, str], Row] = {}
        asked = list(dict.fromkeys(keys))
        with self._begin(config, "DEFERRED") as connection:
            for start in range(0, len(asked), _ASKED_AT_ONCE):
                some = asked[start : start + _ASKED_AT_ONCE]
                which = f"view IN ({_marks(view_names)}) AND key IN ({_marks(some)})"
                query = f"SELECT * FROM {_table(config)} WHERE {which}"
                for view, key, *stamps, packed in connection.execute(query, (*view_names, *some)):
                    found[view, key] = (stamps[0], stamps[1], json.loads(packed))
        return {view: [found.get((view, key)) for key in keys] for view in view_names}

    def write(
        self, config: RepoConfig, view_name: str, rows: Iterable[tuple[str, int, int, dict]]
    ) -> int:
        """Keep rows of (key, event time, created time, values), in one transaction.

        A row older than the one kept already changes nothing. Gives the number of rows offered.
        """
        statement = (
            f"INSERT INTO {_table(config)} VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "event_us = excluded.event_us, created_us = excluded.created_us, "
            "packed = excluded.packed WHERE excluded.event_us > event_us "
            "OR (excluded.event_us = event_us AND excluded.created_us >= created_us)"
        )
        packed = [
            (view_name, key, event_us, created_us, json.dumps(values, ensure_ascii=False))
            for key, event_us, created_us, values in rows
        ]
        with self._begin(config) as connection:
            connection.executemany(statement, packed)
        return len(packed)

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
        """Make the table, and forget the rows of views that were removed."""
        with self._begin(config) as connection:
            for view in tables_to_delete:
                connection.execute(f"DELETE FROM {_table(config)} WHERE view = ?", (view.name,))

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        """Drop this project's table; the file may hold other projects."""
        with self._begin(config) as connection:
            connection.execute(f"DROP TABLE IF EXISTS {_table(config)}")

    def _begin(
        self, config: RepoConfig, mode: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
    ) -> sqlite3.Connection:
        """This thread's connection in a new transaction, which its ``with`` block ends.

        Connections are not shared over a fork.
        """
        path = Path(config.online_store.path)
        if not path.is_absolute() and config.repo_path is not None:
            path = Path(config.repo_path) / path
        connections = self._local.__dict__.setdefault("connections", {})
        place = (os.getpid(), str(path))
        if place not in connections:
            connections[place] = _open(path)
        connection: sqlite3.Connection = connections[place]
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_table(config)} (view TEXT NOT NULL, key TEXT NOT NULL, "
            "event_us INTEGER NOT NULL, created_us INTEGER NOT NULL, packed TEXT NOT NULL, "
            "PRIMARY KEY (view, key))"
        )
        connection.execute(f"BEGIN {mode}")
        return connection


def _open(path: Path) -> sqlite3.Connection:
    """Open in WAL mode; SQLite does not wait when others change a new file to WAL: try again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # A power cut may take the last rows, never the file; ``materialize`` brings them back.
            connection.execute("PRAGMA synchronous = NORMAL")
            return connection
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _table(config: RepoConfig) -> str:
    return '"' + f"{config.project}_rows".replace('"', '""') + '"'


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))


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
