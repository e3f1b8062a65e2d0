"""How the warehouse's two databases are spoken to: SQLite in a file, PostgreSQL by its address.

What differs between them is here, and nowhere else: how a connection is opened, how writers queue,
and the fast ways in and out. Next: ``sqlite.py``, then ``warehouse.py``.
"""

from __future__ import annotations

import fcntl
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import polars as pl
import sqlalchemy as sa

from feature_repo.disk import DiskFull, is_full
from feature_repo.sqlite import open_sqlite

CHUNK = 50_000
"""Rows that are in memory as Python objects at once while many are read."""
MAX_PARAMETERS = 30_000
"""In one statement; SQLite takes at most 32,766, PostgreSQL 65,535."""
POSTGRES: dict[str, Any] = {
    "application_name": "nudge",
    "client_encoding": "utf8",
    "connect_timeout": 5,
    # A peer that vanished without a word is noticed after this many milliseconds.
    "tcp_user_timeout": 30_000,
    # A statement waits for its lock within this time too; SQLite's writers wait as long.
    "options": "-c statement_timeout=60s -c idle_in_transaction_session_timeout=60s",
}
"""Options of libpq; one that stands in the URL (``?connect_timeout=2``) goes before."""
WAIT_S = 60.0
"""How long a writer waits for its lock before it fails."""


def open_engine(url: str, wait_s: float = WAIT_S) -> sa.Engine:
    """The engine of `url`: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST/DATABASE``.

    A full disk raises :class:`~feature_repo.disk.DiskFull`.

    Raises
    ------
    ValueError
        When it is the URL of neither.
    """
    try:
        address = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise ValueError(
            "NUDGE_WAREHOUSE_URL is no URL; write sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from error
    if address.drivername == "sqlite":
        return _tell_of_a_full_disk(open_sqlite(address, wait_s))
    if address.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        address = address.set(drivername="postgresql+psycopg")
        return _tell_of_a_full_disk(_open_postgres(address, wait_s))
    raise ValueError(
        f"the warehouse's URL begins with {address.drivername!r}; it can be sqlite or postgresql"
    )


def _tell_of_a_full_disk(engine: sa.Engine) -> sa.Engine:
    @sa.event.listens_for(engine, "handle_error")
    def tell(context: Any) -> None:
        if is_full(context.original_exception):
            raise DiskFull(f"the warehouse {engine.url}") from context.original_exception

    return engine


def _open_postgres(address: sa.URL, wait_s: float) -> sa.Engine:
    options = {name: value for name, value in POSTGRES.items() if name not in address.query}
    if "options" in options:
        options["options"] += f" -c lock_timeout={1000 * wait_s:.0f}ms"
    # Writers must see what was committed while they waited for their lock, whatever the server's
    # default: a snapshot from before the wait would spend a budget twice.
    return sa.create_engine(
        address,
        hide_parameters=True,
        connect_args=options,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_size=10,
        pool_timeout=10,
    )


def turns(engine: sa.Engine, wait_s: float) -> Callable[[], AbstractContextManager[None]]:
    """What a writer of this process holds while it writes; raises ``TimeoutError`` after `wait_s`.

    SQLite has no queue: who finds a writer sleeps, up to a tenth of a second, and tries again, so
    that one of many may wait for a second. Threads wait in this queue instead, and only processes
    in the other way.
    """
    if is_postgres(engine):
        return nullcontext
    mutex = threading.Lock()

    @contextmanager
    def turn() -> Iterator[None]:
        if not mutex.acquire(timeout=wait_s):
            raise TimeoutError(
                f"another thread has been writing to {engine.url} for {wait_s:g} s; try again when "
                "it has ended"
            )
        try:
            yield
        finally:
            mutex.release()

    return turn


def is_postgres(connection: sa.Connection | sa.Engine) -> bool:
    """Whether it speaks to PostgreSQL."""
    return connection.dialect.name == "postgresql"


def reading(connection: sa.Connection) -> sa.Connection:
    """`connection`, whose next transaction reads of one moment and writes nothing."""
    if is_postgres(connection):
        return connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
    return connection


def queue(connection: sa.Connection, lock: str) -> None:
    """Wait until no other transaction holds `lock`, and hold it to the end of this one.

    SQLite has one writer at a time anyway.
    """
    if is_postgres(connection):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_number(lock))))


@contextmanager
def alone(engine: sa.Engine, name: str) -> Iterator[None]:
    """Hold `name` while the block runs, and wait for it first; free when the process ends."""
    if is_postgres(engine):
        with engine.connect() as connection:
            session = connection.execution_options(isolation_level="AUTOCOMMIT")
            # A session's lock ends with the session: this one is closed and not kept for later.
            session.detach()
            session.exec_driver_sql("SET statement_timeout = 0; SET lock_timeout = 0")
            session.execute(sa.select(sa.func.pg_advisory_lock(_number(name))))
            yield
        return
    with open(f"{engine.url.database}.{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _number(lock: str) -> int:
    return zlib.crc32(f"nudge {lock}".encode())


def stream(connection: sa.Connection, query: sa.Select) -> Iterator[Sequence[tuple]]:
    """The driver's own rows, ``CHUNK`` at a time: SQLAlchemy's cost half the time again."""
    if is_postgres(connection):
        compiled = query.compile(
            dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
        )
        # A cursor with a name stays in the server; without one the driver takes all rows at once.
        cursor: Any = connection.connection.cursor("nudge", binary=True)
        cursor.execute(str(compiled), compiled.params)
    else:
        cursor = connection.execute(query).cursor
    while rows := cursor.fetchmany(CHUNK):
        yield rows
    cursor.close()


def insert(connection: sa.Connection, table: sa.Table, rows: pl.DataFrame) -> None:
    """Insert by the driver itself: SQLAlchemy's own executemany costs twice the time and more."""
    if is_postgres(connection):
        _copy(connection.connection.cursor(), table.name, rows)
        return
    statement = sa.insert(table).values(dict.fromkeys(rows.columns))
    compiled: Any = statement.compile(dialect=connection.dialect)
    order = [rows.columns.index(name) for name in compiled.positiontup]
    connection.exec_driver_sql(str(compiled), rows.select(pl.nth(order)).rows())


def among(
    connection: sa.Connection, columns: Sequence[sa.Column[Any]], values: Sequence[str]
) -> Iterator[sa.Row[Any]]:
    """`columns` of the rows whose first of them is one of `values`.

    By the driver itself: SQLAlchemy works on each value of a long list several times.
    """
    mark = "%s" if is_postgres(connection) else "?"
    names = ", ".join(column.name for column in columns)
    key = columns[0]
    for part in slices(values):
        marks = ", ".join([mark] * len(part))
        query = f"SELECT {names} FROM {key.table} WHERE {key.name} IN ({marks})"
        yield from connection.exec_driver_sql(query, tuple(part))


def _copy(cursor: Any, table: str, rows: pl.DataFrame) -> None:
    """Text stands in quotes, so that an empty one is not null and no content means an end."""
    text = rows.write_csv(include_header=False, quote_style="non_numeric")
    columns = ", ".join(rows.columns)
    with cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(text)


def slices(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """`values` in parts that one statement can name."""
    for start in range(0, len(values), MAX_PARAMETERS):
        yield values[start : start + MAX_PARAMETERS]
