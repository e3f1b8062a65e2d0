"""Rows of one source become events, rejects, and what is said of users and items.

Pure Polars over one chunk; whatever can't be read is a reject with its reason, never a guess. Next:
``importers.py``.
"""

from __future__ import annotations

import hashlib

import polars as pl

from feature_repo.events import EVENT_SCHEMA, MAX_ID_LENGTH, MAX_PRICE_MICROS, MAX_TEXT_LENGTH
from feature_repo.importing.attributes import ItemColumns, UserColumns
from feature_repo.importing.columns import UNREADABLE_PRICE, moments, money, pieces, unit_prices
from feature_repo.importing.columns import convert as convert_money
from feature_repo.importing.mapping import Mapping
from feature_repo.settings import SECOND

TEXTS = ("user_id", "item_id", "order_id", "currency", "text", "decision_id")
MAX_LENGTHS = {"locale": 64, "zone": 64, "category": 256, "text": MAX_TEXT_LENGTH}
MAX_ATTRIBUTE_LENGTH = 1_000
YES = ("1", "true", "t", "yes", "y", "ja", "oui", "si", "sí", "да", "是")


def convert(chunk: pl.DataFrame, mapping: Mapping) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of a shop as events (``EVENT_SCHEMA`` and `raw`) and rejects (`reason` and `raw`)."""
    rows = with_raw(chunk, mapping).with_columns(_kind(mapping).alias("_kind"))
    judged = rows.with_columns(reason=_reason(mapping))
    good = judged.filter(pl.col("reason").is_null())
    events, unpriced = _priced(_events(good, mapping), mapping)
    refused = judged.filter(pl.col("reason").is_not_null()).select("reason", "raw")
    return events, pl.concat([refused, unpriced])


def with_raw(chunk: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """The chunk without texts that stand for nothing, and all it may show as JSON in `raw`."""
    protected = mapping.users.protected.values()
    open_columns = [name for name in mapping.source_columns if name not in protected]
    raw = pl.struct(open_columns).struct.json_encode()
    return _without_fillers(chunk, mapping).with_columns(chunk.select(raw.alias("raw")).to_series())


def _without_fillers(chunk: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Texts that stand for nothing are null, and ids that pandas made floats are whole again."""
    ids = {column for name in TEXTS for column in mapping.sources_of(name)}
    floats = [name for name in ids if chunk[name].dtype.is_float()]
    whole = [
        pl.when(pl.col(name) == pl.col(name).floor())
        .then(pl.col(name).cast(pl.Int64, strict=False).cast(pl.String))
        .otherwise(pl.col(name).fill_nan(None).cast(pl.String))
        .alias(name)
        for name in floats
    ]
    rows = chunk.with_columns(whole)
    if not mapping.empty:
        return rows
    texts = pl.col(pl.String)
    return rows.with_columns(pl.when(~texts.is_in(mapping.empty)).then(texts))


def said(
    chunk: pl.DataFrame, mapping: Mapping, key: str, told: UserColumns | ItemColumns
) -> pl.DataFrame:
    """What each row tells of its user or item: `key`, `known_at` and a column for each field."""
    chunk = _without_fillers(chunk, mapping)
    columns = {name: pl.col(column) for name, column in told.plain.items()}
    protected = told.protected if isinstance(told, UserColumns) else {}
    columns |= {f"protected.{name}": pl.col(column) for name, column in protected.items()}
    values = {name: _value(name, column) for name, column in columns.items()}
    frame = chunk.select(
        _known_at(chunk, mapping, told),
        **{key: _text(key, mapping)},
        **{name: value for name, value in values.items() if name != "price_micros"},
    )
    if "price_micros" in values:
        prices = money(chunk[told.plain["price_micros"]], mapping.decimal)
        sound = prices.is_between(0, MAX_PRICE_MICROS)
        frame = frame.with_columns(price_micros=prices.zip_with(sound, _nothing(chunk.height)))
    return frame.filter(pl.col(key).str.len_chars().is_between(1, MAX_ID_LENGTH))


def unnameable(rows: pl.DataFrame, mapping: Mapping, key: str) -> pl.DataFrame:
    """Rows of users or items that don't say which, as rejects (`reason` and `raw`)."""
    named = with_raw(rows, mapping).with_columns(_text(key, mapping).alias("_key"))
    missing = {"user_id": "no_user", "item_id": "missing_item"}[key]
    reason = pl.when(pl.col("_key").is_null()).then(pl.lit(missing)).otherwise(pl.lit("bad_id"))
    sound = pl.col("_key").str.len_chars().is_between(1, MAX_ID_LENGTH).fill_null(False)
    return named.filter(~sound).select(reason.alias("reason"), "raw")


def _value(name: str, column: pl.Expr) -> pl.Expr:
    text = _clean(column)
    if name.startswith("consent."):
        return text.str.to_lowercase().is_in(YES)
    return text.str.replace_all("\0", "", literal=True).str.slice(
        0, MAX_LENGTHS.get(name, MAX_ATTRIBUTE_LENGTH)
    )


def _known_at(chunk: pl.DataFrame, mapping: Mapping, told: UserColumns | ItemColumns) -> pl.Series:
    """When the rows were true: by a column, else by the event's time, else always."""
    column = told.known_at
    if column is None and "event_at" in mapping.columns:
        times = _times(chunk, mapping, "event_at")
    elif column is not None:
        times = moments(chunk[column], mapping.zone, mapping.time_format)
    else:
        times = pl.repeat(0, chunk.height, dtype=pl.Int64, eager=True)
    return times.fill_null(0).alias("known_at")


def _kind(mapping: Mapping) -> pl.Expr:
    named: pl.Expr = pl.lit(mapping.default_kind)
    if "kind" in mapping.columns:
        named = pl.coalesce(pl.col(column).cast(pl.String) for column in mapping.sources_of("kind"))
    rules = [pl.when(rule.holds()).then(pl.lit(rule.kind)) for rule in mapping.kind_rules]
    return pl.coalesce(*rules, named)


def _reason(mapping: Mapping) -> pl.Expr:
    rules = [pl.when(_text("user_id", mapping).is_null()).then(pl.lit("no_user"))]
    for rule in mapping.reject_rules:
        holds = rule.holds()
        if rule.unless_kind is not None:
            holds = holds & (pl.col("_kind") != rule.unless_kind).fill_null(True)
        rules.append(pl.when(holds).then(pl.lit(rule.reason)))
    return pl.coalesce(*rules, pl.lit(None, dtype=pl.String))


def _events(rows: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Every field but the price in base currency."""
    event_at = _times(rows, mapping, "event_at")
    received_at = event_at + mapping.lag_seconds * SECOND
    if "received_at" in mapping.columns:
        received_at = _times(rows, mapping, "received_at")
    quantity = _quantity(rows, mapping)
    events = rows.select(
        "raw",
        event_at.alias("event_at"),
        received_at.alias("received_at"),
        kind="_kind",
        quantity=quantity,
        original_price_micros=_price_micros(rows, mapping, quantity),
        **{name: _text(name, mapping) for name in TEXTS},
    )
    if "order_id" not in mapping.columns and mapping.orders == "day":
        events = events.with_columns(order_id=_day_orders(mapping.zone))
    return events.with_columns(event_id=_event_id(rows, events, mapping))


def _times(rows: pl.DataFrame, mapping: Mapping, name: str) -> pl.Series:
    first, *rest = (rows[column] for column in mapping.sources_of(name))
    if rest:
        texts = pl.DataFrame([part.cast(pl.String).str.strip_chars() for part in (first, *rest)])
        first = texts.select(pl.concat_str(pl.all(), separator=" ")).to_series()
    return moments(first, mapping.zone, mapping.time_format)


def _day_orders(zone: str) -> pl.Expr:
    """What a shopper buys on one local day is one order."""
    local = pl.from_epoch("event_at", "us").dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    order = pl.concat_str(local.dt.strftime("%Y-%m-%d"), pl.lit(" "), "user_id")
    return pl.when(pl.col("kind") == "purchase").then(order)


def _clean(column: pl.Expr) -> pl.Expr:
    """A column as text without outer spaces; an empty one is null."""
    text = column.cast(pl.String).str.strip_chars()
    return pl.when(text != "").then(text)


def _text(name: str, mapping: Mapping) -> pl.Expr:
    """A field of text: from its columns, else the constant, else null (currency: the base)."""
    otherwise = mapping.base_currency if name == "currency" else None
    constant = pl.lit(mapping.constants.get(name, otherwise), dtype=pl.String)
    if name not in mapping.columns:
        return constant
    return pl.coalesce(_clean(pl.col(column)) for column in mapping.sources_of(name))


def _event_id(rows: pl.DataFrame, events: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """The mapped id, else that of the natural key, else a hash of the event's columns."""
    if "event_id" in mapping.columns:
        return rows.select(_text("event_id", mapping).alias("event_id")).to_series()
    texts = [pl.col(name).cast(pl.String).fill_null("") for name in mapping.event_columns]
    lines = rows.select(pl.concat_str(pl.lit(mapping.name), *texts, separator="\x1f")).to_series()
    if mapping.event_key:
        named = [pl.col(name).cast(pl.String) for name in ("kind", *mapping.event_key)]
        key = pl.concat_str(pl.lit("event_key"), *named, separator="\x1f")
        lines = events.select(pl.coalesce(key, lines)).to_series()
    digests = [hashlib.sha1(line.encode()).hexdigest() for line in lines]
    return pl.Series(digests, dtype=pl.String)


def _quantity(rows: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """Pieces; the sign of a return lies in its kind. One piece where the source has none."""
    if "quantity" not in mapping.columns:
        return pl.repeat(1, rows.height, dtype=pl.Int64, eager=True)
    numbers = pieces(_first(rows, mapping, "quantity"), mapping.decimal)
    return numbers.abs().zip_with(rows["_kind"].eq_missing("return"), numbers)


def _price_micros(rows: pl.DataFrame, mapping: Mapping, quantity: pl.Series) -> pl.Series:
    """Unit price in millionths of its own currency; the sign of a return lies in its kind."""
    name = "amount" if "amount" in mapping.columns else "price"
    if name not in mapping.columns:
        return _nothing(rows.height)
    prices = money(_first(rows, mapping, name), mapping.decimal)
    refund = rows["_kind"].eq_missing("return") & (prices != UNREADABLE_PRICE).fill_null(False)
    prices = prices.abs().zip_with(refund, prices)
    return unit_prices(prices, quantity) if name == "amount" else prices


def _first(rows: pl.DataFrame, mapping: Mapping, name: str) -> pl.Series:
    columns = mapping.sources_of(name)
    if len(columns) == 1:
        return rows[columns[0]]
    return rows.select(pl.coalesce(_clean(pl.col(column)) for column in columns)).to_series()


def _nothing(height: int) -> pl.Series:
    return pl.repeat(None, height, dtype=pl.Int64, eager=True)


def _priced(events: pl.DataFrame, mapping: Mapping) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Prices in base currency by the mapping's rates; rows without a rate are rejects."""
    rates = mapping.all_rates
    rated = pl.col("currency").is_in(list(rates)) | pl.col("original_price_micros").is_null()
    refused = events.filter(~rated.fill_null(False)).select(
        pl.lit("unknown_currency").alias("reason"), "raw"
    )
    priced = [
        part.with_columns(price_micros=convert_money(part["original_price_micros"], rates[code]))
        if code in rates
        else part.with_columns(price_micros=pl.lit(None, dtype=pl.Int64))
        for (code,), part in events.with_row_index("row")
        .filter(rated.fill_null(False))
        .group_by("currency")
    ]
    empty = pl.DataFrame(schema={"row": pl.UInt32, **EVENT_SCHEMA, "raw": pl.String})
    whole = pl.concat([empty, *(part.select(empty.columns) for part in priced)])
    return whole.sort("row").drop("row"), refused
