"""A shop's own files become events and rejects, by a column mapping in TOML.

CSV and Parquet are read in chunks of bounded size; ``mapping.py`` says what a mapping is. Next:
``publish.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import polars as pl

from feature_repo.events import EVENT_SCHEMA
from feature_repo.ingest import Report, ingest
from feature_repo.mapping import Mapping
from feature_repo.returns import Returns
from feature_repo.settings import SECOND
from feature_repo.warehouse import Warehouse

CHUNK = 100_000
MICROS = 1_000_000


def import_files(
    warehouse: Warehouse,
    paths: Sequence[Path],
    mapping: Mapping,
    *,
    now: int,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Read files or folders into the warehouse; a repeat completes what a kill left."""
    warehouse.base_currency(mapping.base_currency)
    report, returns = Report(), Returns()
    for chunk in _chunks(paths, mapping):
        events, rejects = convert(chunk, mapping)
        report.add(
            ingest(
                warehouse,
                returns.match(events),
                source=mapping.name,
                now=now,
                rejects=rejects,
                progress=progress,
            )
        )
        if mapping.locale_column is not None:
            warehouse.upsert_users(_users(chunk, mapping))
    return report


def convert(chunk: pl.DataFrame, mapping: Mapping) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of a shop as events (``EVENT_SCHEMA`` and `raw`) and rejects (`reason` and `raw`)."""
    raw = pl.struct(mapping.source_columns).struct.json_encode()
    rows = chunk.with_columns(raw.alias("raw"), _kind(mapping).alias("_kind"))
    judged = rows.with_columns(reason=_reason(mapping))
    good = judged.filter(pl.col("reason").is_null())
    events, unpriced = _priced(_events(good, mapping), mapping)
    refused = judged.filter(pl.col("reason").is_not_null()).select("reason", "raw")
    return events, pl.concat([refused, unpriced])


def _chunks(paths: Sequence[Path], mapping: Mapping) -> Iterator[pl.DataFrame]:
    for path in _files(paths):
        lazy = (
            pl.scan_parquet(path)
            if path.suffix == ".parquet"
            else pl.scan_csv(path, infer_schema=False)
        )
        names = lazy.collect_schema().names()
        missing = [name for name in mapping.source_columns if name not in names]
        if missing:
            raise ValueError(f"{path} has no column {missing}; it has {names}; mend the mapping")
        # Hashing, and so the id of an event, depends on the order of columns: theirs is sorted.
        yield from lazy.select(mapping.source_columns).collect_batches(
            chunk_size=CHUNK, maintain_order=True
        )


def _files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path} does not exist")
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [file for file in found if file.suffix in (".csv", ".parquet")]
    if not files:
        raise ValueError(f"no .csv or .parquet file in {[str(path) for path in paths]}")
    return files


def _kind(mapping: Mapping) -> pl.Expr:
    named: pl.Expr = pl.lit(mapping.default_kind)
    if "kind" in mapping.columns:
        named = pl.col(mapping.columns["kind"]).cast(pl.String)
    rules = [pl.when(rule.holds()).then(pl.lit(rule.kind)) for rule in mapping.kind_rules]
    return pl.coalesce(*rules, named)


def _reason(mapping: Mapping) -> pl.Expr:
    user = pl.col(mapping.columns["user_id"]).cast(pl.String)
    no_user = user.is_null() | (user.str.strip_chars() == "")
    rules = [pl.when(no_user).then(pl.lit("no_user"))]
    for rule in mapping.reject_rules:
        holds = rule.holds()
        if rule.unless_kind is not None:
            holds = holds & (pl.col("_kind") != rule.unless_kind)
        rules.append(pl.when(holds).then(pl.lit(rule.reason)))
    return pl.coalesce(*rules, pl.lit(None, dtype=pl.String))


def _events(rows: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Every field but the price in base currency."""
    columns = mapping.columns
    event_at = _microseconds(rows[columns["event_at"]], mapping)
    texts = [
        name
        for name in ("user_id", "item_id", "order_id", "text", "decision_id")
        if name in columns
    ]
    received = event_at + mapping.lag_seconds * SECOND
    if "received_at" in columns:
        received = _microseconds(rows[columns["received_at"]], mapping)
    events = rows.select(
        "raw",
        pl.Series("event_at", event_at),
        pl.Series("received_at", received),
        kind="_kind",
        event_id=_event_id(rows, mapping),
        quantity=_quantity(mapping),
        original_price_micros=_price_micros(rows, mapping),
        currency=pl.col(columns["currency"]).cast(pl.String)
        if "currency" in columns
        else pl.lit(mapping.base_currency),
        **{name: pl.col(columns[name]).cast(pl.String).str.strip_chars() for name in texts},
    )
    absent = [
        pl.lit(None, dtype=pl.String).alias(name)
        for name in ("order_id", "text", "item_id", "decision_id")
        if name not in texts
    ]
    return events.with_columns(absent)


def _event_id(rows: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """The mapped id, or a hash of all columns the mapping reads: equal rows are one event."""
    if "event_id" in mapping.columns:
        return rows[mapping.columns["event_id"]].cast(pl.String)
    texts = [pl.col(name).cast(pl.String).fill_null("") for name in mapping.source_columns]
    lines = rows.select(pl.concat_str(pl.lit(mapping.name), *texts, separator="\x1f")).to_series()
    digests = [hashlib.sha1(line.encode()).hexdigest() for line in lines]
    return pl.Series(digests, dtype=pl.String)


def _quantity(mapping: Mapping) -> pl.Expr:
    """Pieces; the sign of a return lies in its kind. One piece where the source has none."""
    if "quantity" not in mapping.columns:
        return pl.lit(1, dtype=pl.Int64)
    number = pl.col(mapping.columns["quantity"]).cast(pl.Int64, strict=False)
    return pl.when(pl.col("_kind") == "return").then(number.abs()).otherwise(number)


def _price_micros(rows: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """Unit price in millionths of its own currency, exact for prices of up to six decimals."""
    if "price" not in mapping.columns:
        return pl.repeat(None, rows.height, dtype=pl.Int64, eager=True)
    prices = rows[mapping.columns["price"]]
    if prices.dtype.is_float():
        # The nearest whole micro is the decimal that the float was written as.
        return (prices * MICROS).round().cast(pl.Int64)
    exact = prices.cast(pl.String).str.strip_chars().str.to_decimal(scale=6)
    return (exact * MICROS).cast(pl.Int64)


def _priced(events: pl.DataFrame, mapping: Mapping) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Prices in base currency by the mapping's rates; rows without a rate are rejects."""
    rated = (
        pl.col("currency").is_in(list(mapping.rates)) | pl.col("original_price_micros").is_null()
    )
    refused = events.filter(~rated).select(pl.lit("unknown_currency").alias("reason"), "raw")
    pairs = events.select("currency", "original_price_micros").unique()
    known = pairs.filter(rated & pl.col("original_price_micros").is_not_null())
    base = [_convert(micros, mapping.rates[code]) for code, micros in known.rows()]
    rates = known.with_columns(price_micros=pl.Series(base, dtype=pl.Int64))
    priced = events.filter(rated).join(
        rates, on=["currency", "original_price_micros"], how="left", maintain_order="left"
    )
    return priced.select(*EVENT_SCHEMA, "raw"), refused


def _convert(micros: int, rate: str) -> int:
    return int((Decimal(micros) * Decimal(rate)).to_integral_value(ROUND_HALF_EVEN))


def _microseconds(times: pl.Series, mapping: Mapping) -> pl.Series:
    """Moments in UTC; unreadable ones are null.

    Local times that occur twice mean the first; those that a clock change skips lie an hour later.
    """
    if times.dtype.is_integer():
        return times.cast(pl.Int64) * SECOND
    if times.dtype == pl.String:
        times = times.str.to_datetime(mapping.time_format, time_unit="us", strict=False)
    zone = getattr(times.dtype, "time_zone", None)
    times = times.cast(pl.Datetime("us", zone))
    if zone is None:
        local = times.dt.replace_time_zone(mapping.zone, ambiguous="earliest", non_existent="null")
        later = times.dt.offset_by("1h").dt.replace_time_zone(
            mapping.zone, ambiguous="earliest", non_existent="null"
        )
        times = local.fill_null(later)
    return times.dt.convert_time_zone("UTC").cast(pl.Int64)


def _users(chunk: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    user, locale = mapping.columns["user_id"], mapping.locale_column
    assert locale is not None, "only mappings with a locale make users"
    return (
        chunk.select(user_id=pl.col(user).cast(pl.String), locale=pl.col(locale).cast(pl.String))
        .filter(pl.col("user_id").is_not_null())
        .unique("user_id", keep="last", maintain_order=True)
    )
