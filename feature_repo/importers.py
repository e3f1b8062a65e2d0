"""A shop's own files become events and rejects, by a column mapping in TOML.

CSV and Parquet are read in chunks of bounded size; ``mapping.py`` says what a mapping is. Next:
``publish.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from feature_repo.columns import convert as convert_money
from feature_repo.columns import moments, money, pieces
from feature_repo.events import EVENT_SCHEMA, MAX_ID_LENGTH
from feature_repo.ingest import Report, ingest
from feature_repo.mapping import Mapping
from feature_repo.returns import Returns
from feature_repo.settings import SECOND
from feature_repo.warehouse import Warehouse

CHUNK = 100_000
MAX_LOCALE_LENGTH = 64
TEXTS = ("user_id", "item_id", "order_id", "currency", "text", "decision_id")


def import_files(
    warehouse: Warehouse,
    paths: Sequence[Path],
    mapping: Mapping,
    *,
    now: int,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Read files or folders into the warehouse; a repeat completes what a kill left.

    Raises
    ------
    ValueError
        When a path, a file or a column of the mapping is missing, or the warehouse keeps amounts in
        another currency.
    """
    warehouse.base_currency(mapping.base_currency)
    report = Report()
    returns = Returns(warehouse.events(kinds=["purchase", "return"]))
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
        try:
            yield from _chunks_of(path, mapping)
        except pl.exceptions.PolarsError as error:
            raise ValueError(
                f"{path} could not be read ({error}); it must be Parquet, or CSV in UTF-8 with a "
                "first line of names"
            ) from error


def _chunks_of(path: Path, mapping: Mapping) -> Iterator[pl.DataFrame]:
    is_parquet = path.suffix.lower() == ".parquet"
    lazy = pl.scan_parquet(path) if is_parquet else pl.scan_csv(path, infer_schema=False)
    names = lazy.collect_schema().names()
    missing = [name for name in mapping.source_columns if name not in names]
    if missing:
        raise ValueError(f"{path} has no column {missing}; it has {names}; mend the mapping")
    # Hashing, and so the id of an event, depends on the order of columns: theirs is sorted.
    columns = lazy.select(mapping.source_columns)
    yield from columns.collect_batches(chunk_size=CHUNK, maintain_order=True)


def _files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path} does not exist")
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [file for file in found if file.suffix.lower() in (".csv", ".parquet")]
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
    times = {
        name: moments(rows[mapping.columns[name]], mapping.zone, mapping.time_format)
        for name in ("event_at", "received_at")
        if name in mapping.columns
    }
    received = times.get("received_at", times["event_at"] + mapping.lag_seconds * SECOND)
    return rows.select(
        "raw",
        times["event_at"].alias("event_at"),
        received.alias("received_at"),
        kind="_kind",
        event_id=_event_id(rows, mapping),
        quantity=_quantity(rows, mapping),
        original_price_micros=_price_micros(rows, mapping),
        **{name: _text(name, mapping) for name in TEXTS},
    )


def _text(name: str, mapping: Mapping) -> pl.Expr:
    """A field of text: from its column, else the constant, else null (currency: the base)."""
    if name in mapping.columns:
        return pl.col(mapping.columns[name]).cast(pl.String).str.strip_chars()
    otherwise = mapping.base_currency if name == "currency" else None
    return pl.lit(mapping.constants.get(name, otherwise), dtype=pl.String)


def _event_id(rows: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """The mapped id, or a hash of all columns the mapping reads: equal rows are one event."""
    if "event_id" in mapping.columns:
        return rows[mapping.columns["event_id"]].cast(pl.String).str.strip_chars()
    texts = [pl.col(name).cast(pl.String).fill_null("") for name in mapping.source_columns]
    lines = rows.select(pl.concat_str(pl.lit(mapping.name), *texts, separator="\x1f")).to_series()
    digests = [hashlib.sha1(line.encode()).hexdigest() for line in lines]
    return pl.Series(digests, dtype=pl.String)


def _quantity(rows: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """Pieces; the sign of a return lies in its kind. One piece where the source has none."""
    if "quantity" not in mapping.columns:
        return pl.repeat(1, rows.height, dtype=pl.Int64, eager=True)
    numbers = pieces(rows[mapping.columns["quantity"]])
    return numbers.abs().zip_with(rows["_kind"] == "return", numbers)


def _price_micros(rows: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """Unit price in millionths of its own currency."""
    if "price" not in mapping.columns:
        return pl.repeat(None, rows.height, dtype=pl.Int64, eager=True)
    return money(rows[mapping.columns["price"]])


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


def _users(chunk: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    user, locale = mapping.columns["user_id"], mapping.locale_column
    assert locale is not None, "only mappings with a locale make users"
    return (
        chunk.select(
            user_id=pl.col(user).cast(pl.String).str.strip_chars(),
            locale=pl.col(locale).cast(pl.String).str.strip_chars().str.slice(0, MAX_LOCALE_LENGTH),
        )
        .filter(pl.col("user_id").str.len_chars().is_between(1, MAX_ID_LENGTH))
        .unique("user_id", keep="last", maintain_order=True)
    )
