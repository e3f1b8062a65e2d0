"""Where events, decisions and outcomes are kept: SQLAlchemy tables and their transactions.

SQLite (write-ahead log, one writer at a time) or PostgreSQL, by URL: ``engine.py``. The tables are
made by the Alembic migrations in ``infra/migrations``; ``tables.py`` lists them. Next:
``ledger.py``, ``ingest.py``.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from feature_repo import versions
from feature_repo.engine import (
    WAIT_S,
    alone,
    is_postgres,
    open_engine,
    queue,
    reading,
    slices,
    stream,
    turns,
)
from feature_repo.events import EVENT_SCHEMA, known_at
from feature_repo.server import Server, describe
from feature_repo.tables import dead_letters, events, items, meta, metadata, users

MAX_ITEMS = 2_000


class Warehouse:
    """One shop's tables behind a SQLAlchemy URL; a unit of work is a ``with`` block."""

    def __init__(self, url: str, *, wait_s: float = WAIT_S) -> None:
        self.url = url
        self.engine = open_engine(url, wait_s)
        self._turn = turns(self.engine, wait_s)
        # A warehouse that nobody holds any more closes the connections it kept for later.
        weakref.finalize(self, self.engine.dispose)

    def migrate(self) -> None:
        """Bring the tables to the newest migration; safe to repeat."""
        if self.engine.url.database and not is_postgres(self.engine):
            Path(self.engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        with self.begin(lock="migrate") as connection:
            versions.migrate(connection)

    def check(self) -> None:
        """Whether the tables are those that this version knows.

        Raises
        ------
        ValueError
            When they are missing, older or newer; the message says what to do.
        """
        with self.read() as connection:
            versions.check(connection)

    def server(self) -> Server:
        """What the database says of itself."""
        with self.read() as connection:
            return describe(connection)

    def alone(self, name: str) -> AbstractContextManager[None]:
        """Hold `name` in a ``with`` block; another process that wants it waits."""
        return alone(self.engine, name)

    @contextmanager
    def begin(self, lock: str | None = None) -> Iterator[sa.Connection]:
        """A write transaction; commits at the end, rolls back on an error.

        SQLite lets one writer in at a time. On PostgreSQL writers that name the same `lock`
        queue.
        """
        with self._turn(), self.engine.connect() as connection:
            writing = connection.execution_options(nudge_write=True)
            with writing.begin():
                if lock is not None:
                    queue(writing, lock)
                yield writing

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A read transaction: one consistent view."""
        with self.engine.connect() as connection, reading(connection).begin():
            yield connection

    def events(
        self,
        *,
        user_ids: Sequence[str] | None = None,
        item_ids: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        known_from: int | None = None,
        known_before: int | None = None,
    ) -> pl.DataFrame:
        """Events in ``EVENT_SCHEMA``, in order of becoming known, ties by event time, then id.

        More than ``MAX_ITEMS`` items are not looked for: events of all items come then.
        """
        query = sa.select(*(events.c[name] for name in EVENT_SCHEMA))
        if kinds is not None:
            # Written into the statement, so that the index of treatments serves it.
            named: sa.BindParameter[Sequence[str]] = sa.bindparam(
                "kinds", list(kinds), expanding=True, literal_execute=True
            )
            query = query.where(events.c.kind.in_(named))
        if item_ids is not None and len(item_ids) <= MAX_ITEMS:
            query = query.where(events.c.item_id.in_(item_ids))
        if known_from is not None:
            query = query.where(events.c.known_at >= known_from)
        if known_before is not None:
            query = query.where(events.c.known_at < known_before)
        queries = [query]
        if user_ids is not None:
            users_of = slices(sorted(set(user_ids)))
            queries = [query.where(events.c.user_id.in_(part)) for part in users_of]
        frame = pl.concat([*self._event_frames(queries)] or [EVENT_SCHEMA.to_frame()])
        return frame.sort(known_at(), "event_at", "event_id") if len(frame) > 1 else frame

    def _event_frames(self, queries: Sequence[sa.Select]) -> Iterator[pl.DataFrame]:
        with self.read() as connection:
            for query in queries:
                for rows in stream(connection, query):
                    yield pl.DataFrame(rows, schema=EVENT_SCHEMA, orient="row")

    def frame(self, query: sa.Select, schema: pl.Schema | None = None) -> pl.DataFrame:
        """The rows of `query` as a frame."""
        with self.read() as connection:
            result = connection.execute(query)
            names = list(result.keys())
            columns = list(zip(*result.all(), strict=True)) or [()] * len(names)
        types = schema or dict.fromkeys(names)
        return pl.DataFrame(dict(zip(names, columns, strict=True)), schema=types, strict=False)

    def span(self) -> tuple[int, int] | None:
        """First and last moment at which an event became known, None without events."""
        known = events.c.known_at
        with self.read() as connection:
            first, last = connection.execute(
                sa.select(sa.func.min(known), sa.func.max(known))
            ).one()
        return None if first is None else (first, last)

    def activity(self, kinds: Sequence[str], known_before: int) -> pl.DataFrame:
        """Per user with events of `kinds`: `known_at` of the last and `num` of all of them."""
        last, num = sa.func.max(events.c.known_at), sa.func.count()
        query = sa.select(events.c.user_id, last.label("known_at"), num.label("num")).where(
            events.c.kind.in_(kinds), events.c.known_at < known_before
        )
        types = pl.Schema({"user_id": pl.String(), "known_at": pl.Int64(), "num": pl.Int64()})
        return self.frame(query.group_by(events.c.user_id), types)

    def count_events(
        self, user_ids: Sequence[str], kinds: Sequence[str], known_before: int | None = None
    ) -> dict[str, int]:
        """How many events of `kinds` :meth:`events` gives of each of these users who has any."""
        user = events.c.user_id
        count = sa.select(user, sa.func.count()).where(events.c.kind.in_(kinds)).group_by(user)
        if known_before is not None:
            count = count.where(events.c.known_at < known_before)
        queries = [count.where(user.in_(some)) for some in slices(sorted(user_ids))]
        with self.read() as connection:
            return {name: num for query in queries for name, num in connection.execute(query)}

    def known_orders(self, user_id: str, orders: Sequence[str], known_before: int) -> set[str]:
        """Those of `orders` that purchases of the user, known before the moment, belong to."""
        order = sa.func.coalesce(events.c.order_id, events.c.event_id)
        query = sa.select(order).where(
            events.c.user_id == user_id,
            events.c.kind == "purchase",
            events.c.known_at < known_before,
        )
        with self.read() as connection:
            found = (connection.execute(query.where(order.in_(some))) for some in slices(orders))
            return {name for result in found for name in result.scalars()}

    def counts(self) -> dict[str, int]:
        """Table to its number of rows."""
        with self.read() as connection:
            return {
                name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for name, table in metadata.tables.items()
            }

    def dead_letters(self) -> pl.DataFrame:
        """Rejected rows with their source, reason and raw content."""
        return self.frame(sa.select(dead_letters).order_by(dead_letters.c.letter_id))

    def upsert_users(self, frame: pl.DataFrame) -> None:
        """Add users or change them: `user_id` and the columns to set; others stay as they are."""
        self._upsert(users, "user_id", frame)

    def upsert_items(self, frame: pl.DataFrame) -> None:
        """Add items or change them: `item_id`, `known_at` and the columns to set."""
        self._upsert(items, "item_id", frame)

    def _upsert(self, table: sa.Table, key: str, frame: pl.DataFrame) -> None:
        """Add or change the rows of `frame`'s keys in one transaction; of equal keys the last."""
        rows = frame.unique(key, keep="last", maintain_order=True).to_dicts()
        insert = postgresql.insert if is_postgres(self.engine) else sqlite.insert
        statement = insert(table)
        given = {name: statement.excluded[name] for name in frame.columns if name != key}
        changing = (
            statement.on_conflict_do_update(index_elements=[key], set_=given)
            if given
            else statement.on_conflict_do_nothing()
        )
        with self.begin(lock=table.name) as connection:
            if rows:
                connection.execute(changing, rows)

    def users(self, user_ids: Sequence[str] | None = None) -> pl.DataFrame:
        """User rows, of all users or of `user_ids`."""
        query = sa.select(users)
        return self.frame(query if user_ids is None else query.where(users.c.user_id.in_(user_ids)))

    def items(self) -> pl.DataFrame:
        """Item rows."""
        return self.frame(sa.select(items))

    def base_currency(self, code: str) -> str:
        """The currency all amounts are kept in; the first import sets it to `code`.

        Raises
        ------
        ValueError
            When the warehouse was begun with another currency.
        """
        with self.begin(lock="meta") as connection:
            where = meta.c.name == "base_currency"
            kept = connection.execute(sa.select(meta.c.value).where(where)).scalar()
            if kept is None:
                connection.execute(meta.insert().values(name="base_currency", value=code))
                return code
        if kept != code:
            raise ValueError(
                f"this warehouse keeps amounts in {kept}, the import brings {code}; set "
                f'base_currency = "{kept}" and a rate for {code} in the mapping, or use another '
                "NUDGE_HOME"
            )
        return kept
