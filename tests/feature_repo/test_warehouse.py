"""The tables, their migration and their transactions."""

from __future__ import annotations

import multiprocessing

import polars as pl
import pytest

from feature_repo.events import EVENT_SCHEMA
from feature_repo.ingest import ingest
from feature_repo.tables import metadata
from feature_repo.warehouse import Warehouse

HOUR = 3_600_000_000
NOW = 1_700_000_000_000_000


def views(ids: list[str], user: str = "u", **fields) -> pl.DataFrame:
    rows = [
        dict.fromkeys(EVENT_SCHEMA)
        | {"event_id": i, "kind": "view", "user_id": user, "item_id": "x"}
        | {"event_at": NOW - HOUR, "received_at": NOW - HOUR}
        | fields
        for i in ids
    ]
    return pl.DataFrame(rows, schema=EVENT_SCHEMA)


def test_the_migration_makes_exactly_the_tables_of_the_code(warehouse):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with warehouse.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def test_migrating_twice_changes_nothing(warehouse):
    before = warehouse.counts()
    warehouse.migrate()
    assert warehouse.counts() == before


def test_a_failed_unit_of_work_leaves_nothing(warehouse):
    with pytest.raises(RuntimeError), warehouse.begin() as connection:
        connection.exec_driver_sql("INSERT INTO meta VALUES ('a', 'b')")
        raise RuntimeError
    assert warehouse.counts()["meta"] == 0


def test_events_come_in_order_of_becoming_known(warehouse):
    late = views(["late"], event_at=NOW - 3 * HOUR, received_at=NOW)
    ingest(warehouse, pl.concat([late, views(["b", "a"])]), source="t", now=NOW)
    assert warehouse.events()["event_id"].to_list() == ["a", "b", "late"]
    assert warehouse.events(known_before=NOW)["event_id"].to_list() == ["a", "b"]
    assert warehouse.events(kinds=["purchase"]).is_empty()
    assert warehouse.events(user_ids=["nobody"]).schema == EVENT_SCHEMA
    assert warehouse.span() == (NOW - HOUR, NOW)


def test_a_warehouse_keeps_its_base_currency(warehouse):
    assert warehouse.base_currency("GBP") == "GBP"
    assert warehouse.base_currency("GBP") == "GBP"
    with pytest.raises(ValueError, match="keeps amounts in GBP, the import brings EUR"):
        warehouse.base_currency("EUR")


def test_users_are_replaced_by_id(warehouse):
    warehouse.upsert_users(pl.DataFrame({"user_id": ["a", "b"], "locale": ["UK", "FR"]}))
    warehouse.upsert_users(pl.DataFrame({"user_id": ["a"], "locale": ["DE"]}))
    assert dict(warehouse.users().select("user_id", "locale").rows()) == {"a": "DE", "b": "FR"}
    assert warehouse.users(["b"])["user_id"].to_list() == ["b"]


def test_changing_one_column_of_a_user_leaves_the_others(warehouse):
    consent = {"mail": True}
    warehouse.upsert_users(pl.DataFrame({"user_id": ["a"], "zone": ["Z"], "consent": [consent]}))
    warehouse.upsert_users(pl.DataFrame({"user_id": ["a", "a"], "locale": ["UK", "FR"]}))
    row = warehouse.users().to_dicts()[0]
    assert (row["locale"], row["zone"], row["consent"]) == ("FR", "Z", consent)


def test_more_users_can_be_asked_for_than_one_statement_names(warehouse):
    ingest(warehouse, pl.concat([views(["a"], "u1"), views(["b"], "u40000")]), source="t", now=NOW)
    asked = [f"u{number}" for number in range(50_000)]
    assert warehouse.events(user_ids=asked)["event_id"].to_list() == ["a", "b"]
    assert warehouse.events(user_ids=[]).is_empty()


def test_a_write_is_on_disk_before_it_is_acknowledged(warehouse):
    asked = {
        "sqlite": {"PRAGMA journal_mode": "wal", "PRAGMA synchronous": 2},  # FULL
        "postgresql": {"SHOW fsync": "on", "SHOW synchronous_commit": "on"},
    }[warehouse.engine.dialect.name]
    with warehouse.read() as connection:
        found = {query: connection.exec_driver_sql(query).scalar() for query in asked}
    assert found == asked


def write_range(url: str, start: int, gate, accepted) -> None:
    gate.wait()
    ids = [f"e{number}" for number in range(start, start + 400)]
    reports = [
        ingest(Warehouse(url), views(ids[begin : begin + 100]), source="t", now=NOW)
        for begin in range(0, 400, 100)
    ]
    accepted.put(sum(report.accepted for report in reports))


def test_writers_at_once_keep_every_event_once_and_count_it_once(warehouse):
    context = multiprocessing.get_context("spawn")
    gate, accepted = context.Barrier(3), context.Queue()
    # The ranges overlap: 0-399, 200-599, 400-799.
    writers = [
        context.Process(target=write_range, args=(warehouse.url, start, gate, accepted))
        for start in (0, 200, 400)
    ]
    for writer in writers:
        writer.start()
    counts = [accepted.get(timeout=120) for _ in writers]
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert warehouse.counts()["events"] == 800
    assert sum(counts) == 800
