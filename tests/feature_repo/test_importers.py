"""Files become events: exact money, honest time, returns matched, every row accounted for."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import polars as pl
import pytest

from feature_repo.importers import convert, import_files
from feature_repo.mapping import Mapping, read_mapping
from feature_repo.returns import Returns
from feature_repo.settings import iso, microseconds
from feature_repo.warehouse import Warehouse

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("NUDGE_DATA", ROOT.parent / "shared" / "data"))
NOW = microseconds("2026-01-01T00:00:00")
RETAIL = read_mapping("uci_online_retail")


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    made = Warehouse(f"sqlite:///{tmp_path}/shop.db")
    made.migrate()
    return made


def line(**fields) -> dict:
    return {
        "invoice_no": "536365",
        "stock_code": "85123A",
        "description": "WHITE HEART",
        "quantity": "6",
        "invoice_date": "2010-12-01T08:26:00",
        "unit_price": "2.55",
        "customer_id": "17850",
        "country": "United Kingdom",
    } | fields


def lines(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(list(rows)).select(RETAIL.source_columns)


def test_a_line_becomes_a_purchase_with_exact_money_and_utc_time():
    events, rejects = convert(lines(line(invoice_date="2011-07-01T08:26:00")), RETAIL)
    row = events.to_dicts()[0]
    assert rejects.is_empty()
    assert (row["kind"], row["quantity"], row["price_micros"]) == ("purchase", 6, 2_550_000)
    # British summer time is an hour ahead of UTC.
    assert iso(row["event_at"]) == "2011-07-01T07:26:00Z"
    assert row["received_at"] == row["event_at"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"customer_id": None}, "no_user"),
        ({"stock_code": "POST"}, "service_code"),
        ({"stock_code": "m"}, "service_code"),
        ({"stock_code": "gift_0001_20"}, "service_code"),
        ({"quantity": "-3"}, "stock_adjustment"),
        ({"customer_id": None, "stock_code": "POST"}, "no_user"),
    ],
)
def test_what_is_no_customers_purchase_is_refused_by_name(fields, reason):
    events, rejects = convert(lines(line(**fields)), RETAIL)
    assert events.is_empty()
    assert rejects["reason"].to_list() == [reason]


def test_equal_lines_are_one_event_and_others_are_not():
    events, _ = convert(lines(line(), line(), line(quantity="7")), RETAIL)
    assert events["event_id"].n_unique() == 2


def test_a_skipped_local_hour_lies_an_hour_later_and_a_doubled_one_means_the_first():
    events, _ = convert(
        lines(line(invoice_date="2011-03-27T01:30:00"), line(invoice_date="2011-10-30T01:30:00")),
        RETAIL,
    )
    assert [iso(at) for at in events["event_at"]] == [
        "2011-03-27T01:30:00Z",
        "2011-10-30T00:30:00Z",
    ]


def test_other_currencies_are_converted_exactly_and_unknown_ones_refused():
    mapping = dataclasses.replace(
        RETAIL,
        columns=RETAIL.columns | {"currency": "country"},
        rates={"GBP": "1", "EUR": "0.8571"},
    )
    rows = lines(line(country="EUR"), line(country="XXX"), line(country="GBP"))
    events, rejects = convert(rows, mapping)
    assert events["price_micros"].to_list() == [2_185_605, 2_550_000]
    assert events["original_price_micros"].to_list() == [2_550_000, 2_550_000]
    assert rejects["reason"].to_list() == ["unknown_currency"]


def test_floats_in_parquet_are_the_decimals_they_were_written_as():
    prices = [0.001, 2.55, 1.1, 8142.75, 0.29]
    frame = lines(*[line() for _ in prices]).with_columns(unit_price=pl.Series(prices))
    events, _ = convert(frame, RETAIL)
    assert events["price_micros"].to_list() == [1000, 2_550_000, 1_100_000, 8_142_750_000, 290_000]


def test_returns_take_the_order_of_the_purchase_they_undo():
    rows = lines(
        line(invoice_no="1", invoice_date="2011-01-01T09:00:00", quantity="5"),
        line(invoice_no="2", invoice_date="2011-01-02T09:00:00", unit_price="3.00", quantity="5"),
        line(invoice_no="C3", invoice_date="2011-01-03T09:00:00", quantity="-4"),
        line(invoice_no="C4", invoice_date="2011-01-04T09:00:00", quantity="-4"),
        line(invoice_no="C5", invoice_date="2011-01-05T09:00:00", quantity="-4"),
        line(invoice_no="C6", invoice_date="2011-01-05T09:00:00", customer_id="9", quantity="-1"),
    )
    events, _ = convert(rows, RETAIL)
    matched = Returns().match(events)
    # The same price first, then the latest with pieces left, then none.
    assert matched["order_id"].to_list() == ["1", "2", "1", "2", None, None]
    assert matched["quantity"].to_list() == [5, 5, 4, 4, 4, 1]


def test_a_csv_is_imported_once_however_often_it_is_read(warehouse, tmp_path):
    path = tmp_path / "lines.csv"
    lines(line(), line(customer_id=None), line(stock_code="POST"), line()).write_csv(path)
    first = import_files(warehouse, [path], RETAIL, now=NOW)
    assert (first.read, first.accepted, first.duplicates, first.rejected) == (4, 1, 1, 2)
    again = import_files(warehouse, [tmp_path], RETAIL, now=NOW)
    assert (again.accepted, again.duplicates, again.rejected) == (0, 2, 2)
    assert warehouse.counts()["dead_letters"] == 2
    assert warehouse.users()["locale"].to_list() == ["United Kingdom"]


def test_a_file_without_a_mapped_column_is_refused_with_its_columns(warehouse, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"has no column .*country.*it has \['x', 'y'\]"):
        import_files(warehouse, [tmp_path], RETAIL, now=NOW)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zone": "Mars/Base"}, "Mars/Base"),
        ({"default_kind": "stare"}, "stare"),
        ({"columns": {"user_id": "a"}}, "no event_at"),
        ({"columns": {"user_id": "a", "event_at": "b", "colour": "c"}}, "colour"),
    ],
)
def test_a_wrong_mapping_names_its_fault(change, message):
    with pytest.raises(ValueError, match=message):
        Mapping(**{"name": "m", "columns": RETAIL.columns, "base_currency": "GBP"} | change)


def test_an_unknown_mapping_is_refused_with_the_shipped_ones():
    with pytest.raises(ValueError, match="uci_online_retail"):
        read_mapping("nothing")


@pytest.mark.skipif(
    not (DATA / "uci_online_retail").exists(), reason="needs uci_online_retail in NUDGE_DATA"
)
def test_online_retail_is_read_in_full(warehouse):
    report = import_files(warehouse, [DATA / "uci_online_retail"], RETAIL, now=NOW)
    assert report.read == 541_909
    assert report.read == report.accepted + report.duplicates + report.rejected
    assert report.reasons["no_user"] == 135_080
    assert set(report.reasons) == {"no_user", "service_code"}
    events = warehouse.events()
    assert events["kind"].unique().sort().to_list() == ["purchase", "return"]
    returns = events.filter(kind="return")
    assert 0.5 < returns["order_id"].is_not_null().mean() < 1
