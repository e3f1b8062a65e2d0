"""How a connection to SQLite is opened: a write-ahead log, and waiting where SQLite does not.

Next: ``engine.py``.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import sqlalchemy as sa

AGAIN_S = 0.01
"""Between two attempts at what SQLite does not wait for by itself."""


def open_sqlite(address: sa.URL, wait_s: float) -> sa.Engine:
    """The engine of a file, whose writers wait for their turn up to `wait_s` seconds."""
    engine = sa.create_engine(address, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        # SQLAlchemy's own BEGIN replaces the driver's, so that a writer can ask at once.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={1000 * wait_s:.0f}")
        _write_ahead(connection, wait_s)
        connection.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("nudge_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: Any, wait_s: float) -> None:
    """Turn the file over to a write-ahead log, as it stays from then on.

    Two who turn a new file over at once can each hold what the other waits for; SQLite then refuses
    one of them at once, whatever its timeout, and who asks again finds the file turned over.
    """
    until = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > until:
                raise
        time.sleep(AGAIN_S)
