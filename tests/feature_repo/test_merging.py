"""Two sources tell of the same: the higher precedence counts, in any order, and nothing is lost."""

from __future__ import annotations

from itertools import permutations

import pytest

from feature_repo.importing.importers import import_files
from feature_repo.importing.mapping_file import read_mappings
from feature_repo.settings import microseconds
from feature_repo.tables import event_sources
from feature_repo.warehouse import Warehouse

NOW = microseconds("2026-01-01T00:00:00")
MAPPING = """
base_currency = "EUR"
event_key = ["order_id", "item_id"]

[[sources]]
name = "web"
files = "web*.csv"
[sources.columns]
user_id = "visitor"
event_at = "at"
item_id = "sku"
order_id = "order"
price = "price"
[sources.items]
category = "shelf"

[[sources]]
name = "books"
files = "books*.csv"
precedence = 10
[sources.columns]
user_id = "customer"
event_at = "at"
item_id = "sku"
order_id = "order"
price = "price"
[sources.items]
category = "group"

[[sources]]
name = "catalogue"
files = "items.csv"
holds = "items"
precedence = 5
[sources.columns]
item_id = "sku"
[sources.items]
text = "title"
category = "category"
price = "price"
[sources.items.attributes]
brand = "brand"
"""
WEB = (
    "visitor,at,sku,order,price,shelf\nv1,2025-03-01T10:00:00Z,a,o1,9.99,web-a\n"
    "v2,2025-03-02T10:00:00Z,b,o2,5,web-b\n"
)
BOOKS = "customer,at,sku,order,price,group\nc1,2025-03-01T10:00:05Z,a,o1,8.99,\n"
ITEMS = "sku,title,category,price,brand\na,Alpha,cat-a,7.5,x\nb,Beta,,,\n"


@pytest.fixture
def files(tmp_path):
    for name, text in {"web.csv": WEB, "books.csv": BOOKS, "items.csv": ITEMS}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "shop.toml").write_text(MAPPING)
    return tmp_path


def shop(folder, name: str) -> Warehouse:
    made = Warehouse(f"sqlite:///{folder}/{name}.db")
    made.migrate()
    return made


@pytest.mark.parametrize("order", list(permutations(["web.csv", "books.csv", "items.csv"])))
def test_the_warehouse_is_the_same_whichever_source_comes_first(files, order):
    warehouse, sources = shop(files, "shop"), read_mappings(files / "shop.toml")
    for name in (*order, *order):
        report = import_files(warehouse, [files / name], sources, now=NOW)
        assert report.read == report.accepted + report.duplicates + report.rejected
    events = warehouse.events().sort("order_id")
    assert events.select("user_id", "price_micros").rows() == [("c1", 8_990_000), ("v2", 5_000_000)]
    assert events["event_at"][0] == microseconds("2025-03-01T10:00:05")
    items = {row["item_id"]: row for row in warehouse.items().to_dicts()}
    # The catalogue outranks the web log; the books say nothing of the category.
    assert [items[name]["category"] for name in "ab"] == ["cat-a", "web-b"]
    assert items["a"]["text"] == "Alpha"
    assert items["a"]["attributes"] == {"brand": "x"}
    assert items["a"]["price_micros"] == 7_500_000


@pytest.mark.parametrize("order", [("web.csv", "books.csv"), ("books.csv", "web.csv")])
def test_what_the_outranked_source_said_is_kept_beside(files, order):
    import sqlalchemy as sa

    warehouse, sources = shop(files, "shop"), read_mappings(files / "shop.toml")
    for name in order:
        import_files(warehouse, [files / name], sources, now=NOW)
    with warehouse.read() as connection:
        told = connection.execute(sa.select(event_sources)).mappings().all()
    beaten = [row for row in told if row["content"] is not None]
    assert [(row["source"], row["content"]["price_micros"]) for row in beaten] == [
        ("web", 9_990_000)
    ]
    assert len(told) == 3


def test_a_replacement_is_said(warehouse, files):
    sources = read_mappings(files / "shop.toml")
    import_files(warehouse, [files / "web.csv"], sources, now=NOW)
    report = import_files(warehouse, [files / "books.csv"], sources, now=NOW)
    assert (report.accepted, report.replaced) == (1, 1)
    assert any("replaced" in said for said in report.notices)
    again = import_files(warehouse, [files / "web.csv"], sources, now=NOW)
    assert (again.accepted, again.duplicates, again.replaced) == (0, 2, 0)


def test_between_equals_the_first_event_stays_and_another_is_a_conflict(files):
    warehouse = shop(files, "shop")
    sources = read_mappings(files / "shop.toml")[:1]
    import_files(warehouse, [files / "web.csv"], sources, now=NOW)
    (files / "web2.csv").write_text(WEB.replace("9.99", "1.11"))
    report = import_files(warehouse, [files / "web2.csv"], sources, now=NOW)
    assert report.reasons == {"conflicting_duplicate": 1}
    assert warehouse.events()["price_micros"].max() == 9_990_000


def test_files_of_no_source_are_said_to_be_left_out(files):
    (files / "other.csv").write_text("a,b\n1,2\n")
    report = import_files(shop(files, "shop"), [files], read_mappings(files / "shop.toml"), now=NOW)
    assert any("other.csv was not read" in said for said in report.notices)


def test_of_a_shopper_the_latest_word_counts_field_by_field(warehouse, tmp_path):
    (tmp_path / "m.toml").write_text(
        'base_currency = "EUR"\nholds = "users"\n[columns]\nuser_id = "id"\n'
        '[users]\nlocale = "land"\n'
        'known_at = "at"\n[users.consent]\nmail = "mail"\n[users.attributes]\ntier = "tier"\n'
        '[users.protected]\ngender = "sex"\n'
    )
    head = "id,at,land,mail,tier,sex\n"
    (tmp_path / "new.csv").write_text(f"{head}a,2025-02-01,DE,yes,,f\n,2025-02-01,DE,no,,m\n")
    (tmp_path / "old.csv").write_text(f"{head}a,2025-01-01,FR,no,gold,f\n")
    sources = read_mappings(tmp_path / "m.toml")
    report = import_files(warehouse, [tmp_path], sources, now=NOW)
    assert (report.read, report.accepted, report.reasons) == (3, 2, {"no_user": 1})
    row = warehouse.users().to_dicts()[0]
    assert (row["locale"], row["consent"], row["attributes"]) == (
        "DE",
        {"mail": True},
        {"tier": "gold"},
    )
    assert warehouse.counts()["protected_attributes"] == 1
    # Neither the shopper's row nor a rejected one shows what is protected.
    assert "sex" not in warehouse.dead_letters()["raw"][0]
    assert "gender" not in str(row)
