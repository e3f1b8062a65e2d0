"""How SQLAlchemy opens a SQLite file: a write-ahead log, and writers that ask for their turn.

Next: ``write_ahead.py``, then ``engine.py``.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from feature_repo.write_ahead import write_ahead


def open_sqlite(address: sa.URL, wait_s: float) -> sa.Engine:
    """The engine of a file, whose writers wait for their turn up to `wait_s` seconds."""
    engine = sa.create_engine(address, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        # SQLAlchemy's own BEGIN replaces the driver's, so that a writer can ask at once.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={1000 * wait_s:.0f}")
        write_ahead(connection, wait_s)
        connection.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("nudge_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
