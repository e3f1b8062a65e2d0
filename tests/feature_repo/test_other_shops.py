"""Two shops unlike the ones we know, from their files to equal rows offline and online."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from feature_repo import publish
from feature_repo.importing.importers import import_files
from feature_repo.importing.mapping_file import parse_mappings
from feature_repo.parity import compare
from feature_repo.settings import DAY, Settings, SystemClock, microseconds
from feature_repo.warehouse import Warehouse
from feature_repo.world import World
from tests.conftest import run, shop_env

START = microseconds("2025-01-01T00:00:00")
CLICKS = """
base_currency = "EUR"
time_format = "unix_ms"
[columns]
user_id = ["user.id", "session.id"]
event_at = "at"
item_id = "product.sku"
kind = "what"
[[kind.rules]]
kind = "purchase"
column = "what"
values = ["buy"]
"""
GERMAN = """
base_currency = "EUR"
encoding = "windows-1252"
zone = "Europe/Berlin"
decimal = ","

[[sources]]
name = "orders"
files = "bestellungen*.csv"
time_format = "%d.%m.%Y %H:%M"
[sources.columns]
user_id = "Kundennr"
event_at = ["Datum", "Uhrzeit"]
item_id = "Artikelnr"
order_id = "Bestellnr"
quantity = "Menge"
price = "Einzelpreis"
currency = "Währung"
[[sources.kind.rules]]
kind = "return"
column = "Menge"
matches = "^-"
[sources.rates]
CHF = "1.05"

[[sources]]
name = "items"
files = "artikel.csv"
holds = "items"
[sources.columns]
item_id = "Artikelnr"
[sources.items]
text = "Bezeichnung"
category = "Warengruppe"
price = "Preis"

[[sources]]
name = "customers"
files = "kunden.csv"
holds = "users"
[sources.columns]
user_id = "Kundennr"
[sources.users]
locale = "Land"
[sources.users.protected]
gender = "Geschlecht"
"""


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    world = World(seed=11, num_shoppers=25, num_items=30, start_at=START)
    frame = pl.concat([world.step() for _ in range(120)])
    return frame.filter(pl.col("kind").is_in(["view", "cart", "purchase", "return"]))


def click_stream(events: pl.DataFrame, folder: Path) -> None:
    """Gzipped JSON lines in two files: nested, without prices; half the shoppers are sessions."""
    folder.mkdir()
    lines = [
        {
            "at": row["event_at"] // 1000,
            "what": "buy" if row["kind"] == "purchase" else row["kind"],
            "user": {"id": row["user_id"]} if int(row["user_id"][-1]) % 2 else None,
            "session": {"id": f"s-{row['user_id']}"},
            "product": {"sku": row["item_id"]},
        }
        for row in events.filter(pl.col("kind") != "return").iter_rows(named=True)
    ]
    half = len(lines) // 2
    for name, part in (("1", lines[:half]), ("2", lines[half:])):
        body = "".join(json.dumps(line) + "\n" for line in part).encode()
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(body))


def german(micros: int) -> str:
    return f"{micros / 1e6:,.2f}".translate(str.maketrans(",.", ".,"))


def german_export(events: pl.DataFrame, folder: Path) -> None:
    """Semicolons, decimal commas, local times, Windows letters; some lines in francs."""
    folder.mkdir()
    bought = events.filter(pl.col("kind").is_in(["purchase", "return"]))
    local = pl.from_epoch("event_at", "us").dt.replace_time_zone("UTC")
    local = local.dt.convert_time_zone("Europe/Berlin")
    lines = ["Bestellnr;Kundennr;Datum;Uhrzeit;Artikelnr;Menge;Einzelpreis;Währung"]
    for row in bought.with_columns(local=local).iter_rows(named=True):
        sign = "-" if row["kind"] == "return" else ""
        lines.append(
            f"{row['order_id']};{row['user_id']};{row['local']:%d.%m.%Y;%H:%M};{row['item_id']};"
            f"{sign}{row['quantity']};€ {german(row['price_micros'])};"
            f"{'CHF' if int(row['user_id'][-1]) == 3 else 'EUR'}"
        )
    (folder / "bestellungen.csv").write_text("\n".join(lines) + "\n", "windows-1252")
    items = sorted(events["item_id"].drop_nulls().unique())
    told = "".join(f"{item};Tasse für {item};Küche;1.234,50\n" for item in items)
    (folder / "artikel.csv").write_text(
        f"Artikelnr;Bezeichnung;Warengruppe;Preis\n{told}", "latin-1"
    )
    users = sorted(events["user_id"].unique())
    told = "".join(f"{user};DE;geheim-{user}\n" for user in users)
    (folder / "kunden.csv").write_text(f"Kundennr;Land;Geschlecht\n{told}", "windows-1252")


MAKERS = {"clicks": (click_stream, CLICKS), "german": (german_export, GERMAN)}


@pytest.fixture(scope="module", params=MAKERS)
def shop(request, events, tmp_path_factory):
    """An imported shop with its features, online at its own last minute."""
    make, toml = MAKERS[request.param]
    home = tmp_path_factory.mktemp(request.param)
    make(events, home / "files")
    settings = Settings(home=home / "home")
    warehouse = Warehouse(settings.warehouse)
    warehouse.migrate()
    report = import_files(
        warehouse, [home / "files"], parse_mappings(toml, request.param), now=START + 400 * DAY
    )
    assert report.rejected == 0, report.reasons
    publish.rollup(warehouse, settings)
    run("feast", "apply", env=shop_env(settings.home))
    clock = SystemClock(settings.home)
    clock.move_to(warehouse.span()[1] + DAY)
    publish.materialize(warehouse, settings, clock)
    return request.param, settings, warehouse, clock, report


def test_offline_and_online_rows_of_it_are_equal(shop):
    _, settings, warehouse, clock, _ = shop
    events, now = warehouse.events(), clock.now()
    for service, column in (("shopper", "user_id"), ("item", "item_id")):
        keys = events[column].unique().sort().to_list()
        assert compare(keys, service, now, settings).num_differences == 0


def test_it_holds_what_its_files_say(shop, events):
    name, _, warehouse, _, report = shop
    kept = warehouse.events()
    if name == "clicks":
        assert kept["price_micros"].null_count() == kept.height
        assert any("no prices" in said for said in report.notices)
        assert any("session.id stands for the shopper" in said for said in report.notices)
        assert kept["user_id"].str.starts_with("s-").any()
        assert set(kept["kind"]) == {"view", "cart", "purchase"}
        return
    sold = events.filter(pl.col("kind") == "purchase")
    assert kept.filter(kind="purchase").height == sold.height
    francs = kept.filter(currency="CHF")
    assert francs.height
    assert (francs["price_micros"] - francs["original_price_micros"] * 1.05).abs().max() <= 1
    assert set(warehouse.items()["category"]) == {"Küche"}
    assert set(warehouse.users()["locale"]) == {"DE"}


def test_protected_attributes_reach_no_feature(shop):
    from feature_repo.retrieval import online

    name, settings, warehouse, clock, _ = shop
    if name != "german":
        pytest.skip("this shop's files hold none")
    assert warehouse.counts()["protected_attributes"] == warehouse.users().height
    users = warehouse.users()["user_id"].to_list()
    assert "geheim" not in str(warehouse.users().to_dicts())
    assert "geheim" not in str(online(users, "shopper", clock.now(), settings).to_dicts())
    for path in settings.offline_path.glob("*.parquet"):
        assert "geheim" not in str(pl.read_parquet(path).to_dicts())


def test_texts_from_a_file_of_items_are_features(shop):
    from feature_repo.retrieval import online

    name, settings, warehouse, clock, _ = shop
    if name != "german":
        pytest.skip("this shop's files describe no items")
    items = warehouse.events()["item_id"].unique().to_list()
    texts = online(items, "item", clock.now(), settings)["text"]
    assert texts.str.starts_with("Tasse für").all()
