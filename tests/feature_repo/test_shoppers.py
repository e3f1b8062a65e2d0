"""Shoppers by the beginning of their id, on both kinds of warehouse."""

from __future__ import annotations

import polars as pl
import pytest

from feature_repo.events import EVENT_SCHEMA
from feature_repo.ingest import ingest
from feature_repo.shoppers import Shoppers
from feature_repo.warehouse import Warehouse

IDS = ["ada", "Ada", "adam", "a%b", "a_b", "ädä", "zoë"]


@pytest.fixture(params=["sqlite", "postgres"])
def shoppers(request, tmp_path) -> Shoppers:
    is_postgres = request.param == "postgres"
    url = request.getfixturevalue("postgres_url") if is_postgres else f"sqlite:///{tmp_path}/w.db"
    warehouse = Warehouse(url)
    warehouse.migrate()
    views = [
        dict.fromkeys(EVENT_SCHEMA)
        | {"event_id": f"{user}-{n}", "kind": "view", "user_id": user, "item_id": "cup"}
        | {"event_at": n, "received_at": n}
        for user in IDS
        for n in (1, 2)
    ]
    ingest(warehouse, pl.DataFrame(views, schema=EVENT_SCHEMA), source="test", now=10)
    yield Shoppers(warehouse)
    warehouse.engine.dispose()


def test_an_id_is_found_once_by_its_beginning_exactly_as_written(shoppers):
    assert shoppers.find("ada", 9) == ["ada", "adam"]
    assert shoppers.find("a%", 9) == ["a%b"]
    assert shoppers.find("a_", 9) == ["a_b"]
    assert shoppers.find("ä", 9) == ["ädä"]
    assert shoppers.find("zoë", 9) == ["zoë"]
    assert shoppers.find("zz", 9) == []
    assert len(shoppers.find("", 3)) == 3
    assert sorted(shoppers.find("", 99)) == sorted(IDS)


def test_nobody_was_decided_about_yet(shoppers):
    assert shoppers.decided(5) == []
