"""Files become events: exact money, honest time, returns matched, every row accounted for."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.importing.columns import moments, money
from feature_repo.importing.importers import convert, import_files
from feature_repo.importing.mapping import Mapping, Rule
from feature_repo.importing.mapping_file import read_mapping
from feature_repo.importing.returns import match_returns
from feature_repo.settings import iso, microseconds

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("NUDGE_DATA", ROOT.parent / "shared" / "data"))
NOW = microseconds("2026-01-01T00:00:00")
RETAIL = read_mapping("uci_online_retail")


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
    matched = match_returns(events)
    # The same price first, then the latest with pieces left, then none.
    assert matched["order_id"].to_list() == ["1", "2", "1", "2", None, None]
    assert matched["quantity"].to_list() == [5, 5, 4, 4, 4, 1]


def test_a_return_that_names_its_order_is_taken_at_its_word():
    rows = lines(
        line(invoice_no="1", invoice_date="2011-01-01T09:00:00"),
        line(invoice_no="2", invoice_date="2011-01-02T09:00:00"),
        line(invoice_no="1", invoice_date="2011-01-03T09:00:00", quantity="-1"),
    )
    by_sign = dataclasses.replace(
        RETAIL, kind_rules=(Rule(column="quantity", matches="^-", kind="return"),)
    )
    matched = match_returns(convert(rows, by_sign)[0])
    assert matched["order_id"].to_list() == ["1", "2", "1"]


def test_a_later_file_may_return_what_an_earlier_one_sold(warehouse, tmp_path):
    sold, back = tmp_path / "1.csv", tmp_path / "2.csv"
    lines(line(), line(invoice_no="2", invoice_date="2011-01-05T09:00:00")).write_csv(sold)
    lines(
        line(invoice_no="C3", invoice_date="2011-02-01T09:00:00", quantity="-6"),
        line(invoice_no="C4", invoice_date="2011-02-02T09:00:00", quantity="-6"),
        line(invoice_no="C5", invoice_date="2011-02-03T09:00:00", quantity="-6"),
    ).write_csv(back)
    for path in (sold, back, back):
        import_files(warehouse, [path], RETAIL, now=NOW)
    returns = warehouse.events(kinds=["return"])
    assert returns["order_id"].to_list() == ["2", "536365", None]
    # What an import took off is still off when the next one begins.
    more = tmp_path / "3.csv"
    lines(line(invoice_no="C6", invoice_date="2011-03-01T09:00:00", quantity="-1")).write_csv(more)
    import_files(warehouse, [more], RETAIL, now=NOW)
    assert warehouse.events(kinds=["return"])["order_id"].to_list()[-1] is None


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
    ("fields", "reason"),
    [
        ({"unit_price": "free"}, "bad_price"),
        ({"unit_price": "-1"}, "bad_price"),
        ({"unit_price": "1,234.50"}, "bad_price"),
        ({"unit_price": "NaN"}, "bad_price"),
        ({"unit_price": "99999999999999"}, "bad_price"),
        ({"quantity": "2.5"}, "bad_quantity"),
        ({"quantity": "six"}, "bad_quantity"),
        ({"quantity": None}, "bad_quantity"),
        ({"quantity": "0", "invoice_no": "C1"}, "bad_quantity"),
        ({"quantity": "x", "invoice_no": "C1"}, "bad_quantity"),
        ({"invoice_date": "12/1/2010 8:26"}, "bad_time"),
        ({"invoice_date": None}, "bad_time"),
        ({"stock_code": ""}, "missing_item"),
        ({"description": "x" * 3000}, "bad_text"),
    ],
)
def test_what_cannot_be_read_is_a_reject_and_never_a_guess(warehouse, tmp_path, fields, reason):
    path = tmp_path / "lines.csv"
    lines(line(**fields), line()).write_csv(path)
    report = import_files(warehouse, [path], RETAIL, now=NOW)
    assert (report.read, report.accepted, report.reasons) == (2, 1, {reason: 1})
    assert json.loads(warehouse.dead_letters()["raw"][0])["country"] == "United Kingdom"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e300, -0.01])
def test_a_number_that_is_no_price_is_a_reject(warehouse, tmp_path, bad):
    path = tmp_path / "lines.parquet"
    frame = lines(line(), line()).with_columns(unit_price=pl.Series([bad, 0.0]))
    frame.write_parquet(path)
    report = import_files(warehouse, [path], RETAIL, now=NOW)
    assert (report.accepted, report.reasons) == (1, {"bad_price": 1})
    assert warehouse.events()["price_micros"].to_list() == [0], "a free item is a purchase"


def test_the_same_lines_give_the_same_events_from_csv_and_parquet(warehouse, tmp_path):
    rows = lines(line(), line(invoice_no="2")).with_columns(
        unit_price=pl.Series([2.55, 0.1]), quantity=pl.Series([6, 7], dtype=pl.Int32)
    )
    rows.write_csv(tmp_path / "a.csv")
    rows.write_parquet(tmp_path / "b.parquet")
    report = import_files(warehouse, [tmp_path], RETAIL, now=NOW)
    assert (report.accepted, report.duplicates) == (2, 2)


@settings(max_examples=80, deadline=None)
@given(st.decimals(0, 10**9, places=6))
def test_money_is_exact_as_text_and_as_the_float_that_prints_the_same(price):
    micros = int(price * 10**6)
    assert money(pl.Series([str(price)])).to_list() == [micros]
    if Decimal(str(float(price))) == price:
        assert money(pl.Series([float(price)])).to_list() == [micros]


@pytest.mark.parametrize(
    ("times", "time_format", "expected"),
    [
        (["2011-06-01T12:00:00Z", "2011-06-01 13:00", "2011-06-01T14:00:00+02:00"], None, True),
        (["01.06.2011 13:00"], "%d.%m.%Y %H:%M", True),
        (["1306929600000"], "unix_ms", True),
        ([1306929600], None, True),
        ([1306929600000000], "unix_us", True),
        (["10**99", "9" * 40], "unix_s", False),
        (["2011-13-01", "01.06.2011", "12/1/2010 8:26", " "], None, False),
    ],
)
def test_times_are_read_by_their_format_and_zone(times, time_format, expected):
    noon = microseconds("2011-06-01T12:00:00")
    found = moments(pl.Series(times), "Europe/London", time_format)
    assert found.to_list() == [noon if expected else None] * len(times)


@settings(max_examples=60, deadline=None)
@given(st.datetimes(datetime(2010, 1, 1), datetime(2012, 1, 1)))
def test_text_and_columns_of_times_agree_in_every_hour_of_the_year(moment):
    as_text = moments(pl.Series([moment.isoformat()]), "Europe/London", None)
    as_time = moments(pl.Series([moment], dtype=pl.Datetime("us")), "Europe/London", None)
    assert as_text.to_list() == as_time.to_list()


def test_a_mapping_may_give_constants_lists_of_codes_and_a_lag(warehouse, tmp_path):
    (tmp_path / "m.toml").write_text(
        """
        base_currency = "GBP"
        lag_seconds = 3600
        [columns]
        user_id = "who"
        event_at = "when"
        item_id = "what"
        price = "price"
        [constants]
        currency = "EUR"
        [[rejects]]
        column = "what"
        values = ["POST", "(M"]
        reason = "service_code"
        [rates]
        EUR = "0.5"
        """
    )
    path = tmp_path / "lines.csv"
    path.write_text("who,when,what,price\na,2011-01-01,tea,3\na,2011-01-01,(M,3\n")
    report = import_files(warehouse, [path], read_mapping(tmp_path / "m.toml"), now=NOW)
    assert report.reasons == {"service_code": 1}
    row = warehouse.events().to_dicts()[0]
    assert (row["price_micros"], row["original_price_micros"]) == (1_500_000, 3_000_000)
    assert (row["currency"], row["quantity"]) == ("EUR", 1)
    assert row["received_at"] - row["event_at"] == 3_600_000_000


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('zoen = "UTC"', "unknown keys .*zoen"),
        ("base_currency", "docs/importing.md"),
        ('[rates]\nEUR = "much"', "EUR is 'much'"),
        ("[rates]\nEUR = 0.85", "decimal text"),
        ('[rates]\nGBP = "2"', "base currency"),
        ('[[rejects]]\ncolumn = "a"\nmatches = "("\nreason = "service_code"', "regular"),
        ('[[rejects]]\ncolumn = "a"\nmatches = "x"\nreason = "whim"', "'whim' is unknown"),
        ('[[rejects]]\ncolumn = "a"\nreason = "service_code"', "`matches` or `values`"),
        ('[constants]\nprice = "1"', "price"),
        ("lag_seconds = -1", "lag_seconds is -1"),
    ],
)
def test_a_mapping_file_with_a_fault_says_which(tmp_path, lines, message):
    path = tmp_path / "m.toml"
    head, table = ("", lines) if lines.startswith("[") else (lines, "")
    path.write_text(
        f'{head}\nbase_currency = "GBP"\n[columns]\nuser_id = "u"\nevent_at = "t"\n{table}\n'
    )
    with pytest.raises(ValueError, match=message) as caught:
        read_mapping(path)
    assert "m.toml" in str(caught.value)


def test_the_mapping_in_the_documentation_works(warehouse, tmp_path):
    page = (ROOT / "docs" / "importing.md").read_text()
    (tmp_path / "shop.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    (tmp_path / "shop.csv").write_text(
        "customer,ordered,sku,order,pieces,unit_price,currency,title,country\n"
        "ada,01/06/2011 13:00,tea,o-1,2,2.00,EUR,a tea pot,FR\n"
        "ada,02/06/2011 13:00,tea,o-2,-1,2.00,EUR,a tea pot,FR\n"
        "ada,02/06/2011 13:00,POSTAGE,o-2,1,2.00,EUR,postage,FR\n"
    )
    mapping = read_mapping(tmp_path / "shop.toml")
    report = import_files(warehouse, [tmp_path / "shop.csv"], mapping, now=NOW)
    assert (report.accepted, report.reasons) == (2, {"service_code": 1})
    assert warehouse.events()["order_id"].to_list() == ["o-1", "o-1"]
    assert warehouse.events()["price_micros"].to_list() == [1_700_000, 1_700_000]


@pytest.mark.parametrize("content", [b"", b"invoice_no\ncaf\xe9\n", b"PAR1 no"])
def test_a_file_that_cannot_be_read_is_refused_by_its_name(warehouse, tmp_path, content):
    path = tmp_path / ("a.parquet" if content.startswith(b"PAR") else "a.csv")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=path.name):
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
@pytest.mark.parametrize("warehouse_url", ["sqlite"], indirect=True)  # 20 s each
def test_online_retail_is_read_in_full(warehouse):
    report = import_files(warehouse, [DATA / "uci_online_retail"], RETAIL, now=NOW)
    assert report.read == 541_909
    assert report.read == report.accepted + report.duplicates + report.rejected
    assert report.reasons == {"no_user": 135_080, "service_code": 1_920}
    assert (report.accepted, report.duplicates) == (399_689, 5_220)
    events = warehouse.events()
    assert events["kind"].unique().sort().to_list() == ["purchase", "return"]
    returns = events.filter(kind="return")
    assert (returns.height, returns["order_id"].null_count()) == (8_506, 1_146)
