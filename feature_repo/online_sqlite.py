"""Packed online rows in a SQLite file: one table for each project.

One of two backends behind ``online.py``, with the same methods as ``online_redis.py``.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from feature_repo.write_ahead import write_ahead

BUSY_SECONDS = 30.0
_ASKED_AT_ONCE = 10_000  # SQLite takes 32,766 values in one statement

Stamped = tuple[int, int, str]
"""Event time, created time (microseconds since 1970) and the packed row."""


class SqliteRows:
    """The rows in the file `path`; several threads and processes may use one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    def read(
        self, project: str, views: Sequence[str], keys: Sequence[str]
    ) -> dict[tuple[str, str], Stamped]:
        """(view, key) to what is kept there; all of one moment of the file."""
        found: dict[tuple[str, str], Stamped] = {}
        with self._begin(project, "DEFERRED") as connection:
            for start in range(0, len(keys), _ASKED_AT_ONCE):
                some = keys[start : start + _ASKED_AT_ONCE]
                which = f"view IN ({_marks(views)}) AND key IN ({_marks(some)})"
                query = f"SELECT * FROM {_table(project)} WHERE {which}"
                for view, key, *stamped in connection.execute(query, (*views, *some)):
                    found[view, key] = (stamped[0], stamped[1], stamped[2])
        return found

    async def read_async(
        self, project: str, views: Sequence[str], keys: Sequence[str]
    ) -> dict[tuple[str, str], Stamped]:
        """Like :meth:`read`, in a thread of the loop's pool: SQLite itself always blocks."""
        return await asyncio.to_thread(self.read, project, views, keys)

    async def close(self) -> None:
        """Nothing is open that belongs to a loop."""

    def write(self, project: str, rows: Sequence[tuple[str, str, int, int, str]]) -> None:
        """Keep (view, key, event time, created time, packed) where none is newer; all or none."""
        statement = (
            f"INSERT INTO {_table(project)} VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "event_us = excluded.event_us, created_us = excluded.created_us, "
            "packed = excluded.packed WHERE excluded.event_us > event_us "
            "OR (excluded.event_us = event_us AND excluded.created_us >= created_us)"
        )
        with self._begin(project) as connection:
            connection.executemany(statement, rows)

    def forget(self, project: str, views: Sequence[str]) -> None:
        """Remove the rows of `views`."""
        with self._begin(project) as connection:
            for view in views:
                connection.execute(f"DELETE FROM {_table(project)} WHERE view = ?", (view,))

    def drop(self, project: str) -> None:
        """Remove the project's table; the file may hold other projects."""
        with self._begin(project) as connection:
            connection.execute(f"DROP TABLE IF EXISTS {_table(project)}")

    def incarnation(self) -> str:
        """The file's number, which another file in its place does not have."""
        with self._connect() as connection:
            connection.execute("SELECT 1 FROM sqlite_schema")
        return str(self._path.stat().st_ino)

    def about(self) -> dict[str, str]:
        """Its name and version; a file evicts nothing."""
        return {"name": "SQLite", "version": sqlite3.sqlite_version, "eviction": "noeviction"}

    def _begin(
        self, project: str, mode: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
    ) -> sqlite3.Connection:
        """This thread's connection in a new transaction, which its ``with`` block ends."""
        connection = self._connect()
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_table(project)} (view TEXT NOT NULL, key TEXT NOT NULL, "
            "event_us INTEGER NOT NULL, created_us INTEGER NOT NULL, packed TEXT NOT NULL, "
            "PRIMARY KEY (view, key))"
        )
        connection.execute(f"BEGIN {mode}")
        return connection

    def _connect(self) -> sqlite3.Connection:
        """This thread's connection to the file that is there now; not shared over a fork."""
        connections = self._local.__dict__.setdefault("connections", {})
        place = (os.getpid(), self._path.stat().st_ino if self._path.exists() else None)
        if place not in connections:
            connection = _open(self._path)
            connections[os.getpid(), self._path.stat().st_ino] = connection
            return connection
        return connections[place]


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    write_ahead(connection, BUSY_SECONDS)
    # A power cut may take the last rows, never the file; ``materialize`` brings them back.
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _table(project: str) -> str:
    return '"' + f"{project}_rows".replace('"', '""') + '"'


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
