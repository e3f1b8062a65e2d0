"""What a warehouse's database says of itself, for those who look whether it keeps its promises.

Next: ``doctor.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from feature_repo.engine import is_postgres


@dataclass(frozen=True, slots=True)
class Server:
    """What a database says of itself."""

    name: str
    version: tuple[int, ...]
    encoding: str
    is_durable: bool
    """Whether a commit is on disk before it is acknowledged."""
    num_bytes: int
    clock: int | None
    """Its own clock, microseconds since 1970; None where it is this machine's."""


def describe(connection: sa.Connection) -> Server:
    """Ask the database of `connection`."""

    def ask(query: str) -> Any:
        return connection.exec_driver_sql(query).scalar()

    if is_postgres(connection):
        number = int(ask("SHOW server_version_num"))
        return Server(
            name="PostgreSQL",
            version=(number // 10_000, number % 10_000),
            encoding=ask("SHOW server_encoding"),
            is_durable=ask("SHOW fsync") == "on" and ask("SHOW synchronous_commit") != "off",
            num_bytes=ask("SELECT pg_database_size(current_database())"),
            clock=int(ask("SELECT extract(epoch FROM clock_timestamp()) * 1000000")),
        )
    return Server(
        name="SQLite",
        version=tuple(int(part) for part in ask("SELECT sqlite_version()").split(".")),
        encoding=ask("PRAGMA encoding").replace("-", ""),
        is_durable=ask("PRAGMA synchronous") >= 2,
        num_bytes=ask("PRAGMA page_count") * ask("PRAGMA page_size"),
        clock=None,
    )
