"""What differs between the two databases must not be seen: text, locks, restarts, memory."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.engine import open_engine, stream
from feature_repo.events import EVENT_SCHEMA
from feature_repo.ingest import ingest
from feature_repo.tables import events
from feature_repo.warehouse import Warehouse
from feature_repo.write_ahead import write_ahead
from tests import services

NOW = 1_700_000_000_000_000
# Whatever UTF-8 can say but NUL, which `check` refuses by name.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
odd = st.sampled_from(["", '"', '""', "\\.", "\\N", "NULL", "a,b", "\r\n", "\n", "'", "%s", " x "])


def event(event_id: str, **fields) -> dict:
    return (
        dict.fromkeys(EVENT_SCHEMA)
        | {"event_id": event_id, "kind": "search", "user_id": "u", "event_at": NOW - 1}
        | {"received_at": NOW - 1}
        | fields
    )


def frame(*events: dict) -> pl.DataFrame:
    return pl.DataFrame(list(events), schema=EVENT_SCHEMA)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.none() | odd | texts, user=odd | texts, number=st.integers(0, 2**63 - 1))
def test_an_event_comes_back_as_it_was(warehouse, text, user, number):
    event_id = f"{warehouse.counts()['events']}{user}"[:128]
    asked = frame(event(event_id, text=text, user_id=user, original_price_micros=number))
    if ingest(warehouse, asked, source="t", now=NOW).accepted:
        assert warehouse.events().filter(event_id=event_id).equals(asked)
        assert warehouse.events(user_ids=[user]).filter(event_id=event_id).equals(asked)
    else:
        assert not user.strip()


def test_a_reject_with_a_nul_is_kept_readable(warehouse):
    rejects = pl.DataFrame({"reason": ["bad_text"], "raw": ["a\0b"]})
    bad = frame(event("nul", text="c\0d"))
    report = ingest(warehouse, bad, source="t", now=NOW, rejects=rejects)
    assert report.rejected == 2
    raws = warehouse.dead_letters()["raw"].to_list()
    assert any(raw == "a\\u0000b" for raw in raws)
    assert any("c\\u0000d" in raw for raw in raws)


def migrate(url: str, gate) -> None:
    gate.wait()
    Warehouse(url).migrate()


def test_several_may_migrate_an_empty_database_at_once(postgres, tmp_path):
    context = multiprocessing.get_context("fork")
    for url in (postgres.database(), f"sqlite:///{tmp_path}/new.db"):
        gate = context.Barrier(4)
        several = [context.Process(target=migrate, args=(url, gate)) for _ in range(4)]
        for one in several:
            one.start()
        for one in several:
            one.join(60)
            assert one.exitcode == 0
        assert Warehouse(url).counts()["events"] == 0


class Refusing:
    """A connection that is refused with `code` the first `times` that it turns the file over."""

    def __init__(self, times, code=sqlite3.SQLITE_BUSY):
        self.times, self.code, self.asked = times, code, 0

    def execute(self, statement):
        assert statement == "PRAGMA journal_mode=WAL"
        self.asked += 1
        if self.asked <= self.times:
            refusal = sqlite3.OperationalError("refused")
            refusal.sqlite_errorcode = self.code
            raise refusal


def test_who_is_refused_while_another_turns_the_file_over_asks_again_and_not_forever():
    refused = Refusing(3)
    write_ahead(refused, 5.0)
    assert refused.asked == 4
    with pytest.raises(sqlite3.OperationalError):
        write_ahead(Refusing(10**6), 0.05)
    failing = Refusing(1, sqlite3.SQLITE_IOERR)
    with pytest.raises(sqlite3.OperationalError):
        write_ahead(failing, 5.0)
    assert failing.asked == 1


def test_who_waited_for_a_lock_sees_what_was_committed_meanwhile(postgres, postgres_url):
    """Even where the server's default would show the state of before the wait."""
    name = postgres_url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    first, second = Warehouse(postgres_url), Warehouse(postgres_url)
    began, seen = threading.Event(), []

    def wait() -> None:
        began.set()
        with second.begin(lock="limits") as connection:
            seen.append(connection.exec_driver_sql("SELECT count(*) FROM meta").scalar())

    waiting = threading.Thread(target=wait)
    with first.begin(lock="limits") as connection:
        waiting.start()
        began.wait()
        waiting.join(0.3)
        assert not seen, "it waits"
        connection.exec_driver_sql("INSERT INTO meta VALUES ('a', 'b')")
    waiting.join(30)
    assert seen == [1]


def test_one_at_a_time_is_alone_and_the_next_gets_its_turn(warehouse):
    entered, leave, order = threading.Event(), threading.Event(), []

    def first():
        with warehouse.alone("test"):
            entered.set()
            leave.wait(30)
            order.append("first")

    def second():
        with Warehouse(warehouse.url).alone("test"):
            order.append("second")

    threads = [threading.Thread(target=one) for one in (first, second)]
    threads[0].start()
    assert entered.wait(30)
    with warehouse.alone("something else"):
        threads[1].start()
        threads[1].join(0.5)
    assert order == []
    leave.set()
    for thread in threads:
        thread.join(30)
    assert order == ["first", "second"]


def test_a_read_is_of_one_moment_and_cannot_write(warehouse):
    with warehouse.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM meta").scalar() == 0
        warehouse.base_currency("EUR")
        assert connection.exec_driver_sql("SELECT count(*) FROM meta").scalar() == 0
    assert warehouse.counts()["meta"] == 1


def test_a_restarted_server_is_found_again_by_the_next_unit_of_work():
    if (why_not := services.why_no_postgres()) is not None:
        pytest.skip(why_not)
    server = services.PostgresServer()
    try:
        server.start()
        warehouse = Warehouse(server.database())
        warehouse.migrate()
        warehouse.base_currency("EUR")
        for end in (server.stop, server.kill):
            end()
            with pytest.raises(sa.exc.OperationalError):
                warehouse.counts()
            server.start()
            assert warehouse.base_currency("EUR") == "EUR"
            assert warehouse.counts()["meta"] == 1
    finally:
        server.close()


def test_a_slow_statement_is_given_up(postgres_url):
    with Warehouse(postgres_url).begin() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = '50ms'")
        with pytest.raises(sa.exc.OperationalError, match="statement timeout"):
            connection.exec_driver_sql("SELECT pg_sleep(5)")
    with Warehouse(postgres_url).read() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "1min"
    with Warehouse(f"{postgres_url}?options=-c statement_timeout=7s").read() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "7s"


def test_many_rows_are_read_a_chunk_at_a_time_from_a_cursor_of_the_server(
    postgres_url, monkeypatch
):
    warehouse = Warehouse(postgres_url)
    ingest(warehouse, frame(*(event(f"e{n}") for n in range(25))), source="t", now=NOW)
    monkeypatch.setattr("feature_repo.engine.CHUNK", 10)
    assert warehouse.events().height == 25
    with warehouse.read() as connection:
        chunks = stream(connection, sa.select(events.c.event_id))
        first = next(chunks)
        open_now = connection.exec_driver_sql("SELECT name FROM pg_cursors").scalars().all()
        sizes = [len(first), *map(len, chunks)]
    assert (open_now, sizes) == (["nudge"], [10, 10, 5])


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_each_usual_name_of_postgresql_is_taken(scheme):
    assert open_engine(f"{scheme}://u:p@h/d").url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "u:secret@h", "sqlite+aiosqlite:///x"])
def test_an_address_of_another_database_is_refused_without_its_password(url):
    with pytest.raises(ValueError, match="postgresql") as refused:
        open_engine(url)
    assert "secret" not in str(refused.value)
