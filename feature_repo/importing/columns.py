"""What stands in a file's columns becomes exact money, whole pieces and moments in UTC.

Each distinct value is read once, exactly, by Python's own decimals and dates. Next:
``convert.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from fractions import Fraction
from zoneinfo import ZoneInfo

import polars as pl

UNREADABLE_PRICE = -1
UNREADABLE_QUANTITY = 0
"""Values that no check accepts: the row becomes a reject with its reason, not a crash."""
UNIX_UNITS = {
    "unix_s": Decimal(1_000_000),
    "unix_ms": Decimal(1_000),
    "unix_us": Decimal(1),
    "unix_ns": Decimal("0.001"),
}
"""Time formats of numbers: microseconds in one of them, counted from 1970 (UTC)."""

_SIGNS = r"(?:[A-Za-z]{1,4}\.?|[$€£¥₩₽₹元円])?"
_AMOUNT = {
    mark: re.compile(
        rf"{_SIGNS}\s*([-−]?)\s*{_SIGNS}\s*"
        rf"(\d{{1,3}}(?:[{thousand}'’\s]\d{{3}})+|\d+)(?:[{mark}](\d+))?\s*{_SIGNS}"
    )
    for mark, thousand in ((".", ","), (",", "."))
}
_MICROS = Decimal(1_000_000)
_LARGEST = 10**18
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def money(prices: pl.Series, decimal: str | None = None) -> pl.Series:
    """Prices in millionths, exact to six decimals and rounded half to even beyond.

    A float counts as the shortest decimal that reads back as it: 2.55 is 2,550,000. An empty price
    is null, an unreadable one ``UNREADABLE_PRICE``. With a `decimal` mark, text may hold currency
    signs and marks between thousands: € 1.234,50.
    """
    mark = decimal if prices.dtype == pl.String else None
    return _each(
        prices.cast(pl.String), lambda text: _whole(plain(text, mark), _MICROS, UNREADABLE_PRICE)
    )


def plain(amount: str, decimal: str | None) -> str:
    """`amount` as Python writes numbers; what is no amount stays as it is."""
    if decimal is None:
        return amount
    found = _AMOUNT[decimal].fullmatch(amount)
    if found is None:
        return amount if decimal == "." else f"{amount} is no amount"
    sign, whole, fraction = found.groups()
    return f"{'-' if sign else ''}{re.sub(r'[^0-9]', '', whole)}.{fraction or '0'}"


def unit_prices(amounts: pl.Series, quantities: pl.Series) -> pl.Series:
    """Amounts of lines (micros) by their pieces, rounded half to even; unreadable ones stay so."""

    def price(amount: int | None, quantity: int | None) -> int | None:
        if amount is None or amount == UNREADABLE_PRICE or not quantity:
            return amount
        return round(Fraction(amount, quantity))

    pairs = zip(amounts, quantities, strict=True)
    return pl.Series(amounts.name, [price(*pair) for pair in pairs], dtype=pl.Int64)


def convert(micros: pl.Series, rate: str) -> pl.Series:
    """Amounts at `rate` (decimal text), rounded half to even; unreadable ones stay so."""
    exact = Decimal(rate)
    found = {None: None} | {
        amount: int((amount * exact).to_integral_value(ROUND_HALF_EVEN)) if amount > 0 else amount
        for amount in micros.drop_nulls().unique().to_list()
    }
    return pl.Series(micros.name, [found[amount] for amount in micros], dtype=pl.Int64)


def pieces(quantities: pl.Series, decimal: str | None = None) -> pl.Series:
    """Whole numbers; an empty one is null, a fraction or word is ``UNREADABLE_QUANTITY``."""
    mark = decimal if quantities.dtype == pl.String else None

    def read(text: str) -> int:
        number = _decimal(plain(text, mark))
        is_whole = number is not None and abs(number) < _LARGEST and number == int(number)
        return int(number) if number is not None and is_whole else UNREADABLE_QUANTITY

    return _each(quantities.cast(pl.String), read)


def moments(times: pl.Series, zone: str, time_format: str | None) -> pl.Series:
    """Microseconds since 1970 (UTC); what can't be read is null.

    Times without a zone are local to `zone`: one that occurs twice means the first, one that a
    clock change skips lies as much later as the clock was moved. Text is ISO 8601 unless
    `time_format` says else, a number is in seconds unless it names a unit of ``UNIX_UNITS``.
    """
    if times.dtype.is_numeric() or time_format in UNIX_UNITS:
        unit = UNIX_UNITS[time_format or "unix_s"]
        return _each(times.cast(pl.String), lambda text: _whole(text, unit, None))
    if times.dtype == pl.String:
        if time_format is None:
            local = ZoneInfo(zone)
            return _each(times, lambda text: _iso(text, local))
        times = times.str.strip_chars().str.to_datetime(time_format, time_unit="us", strict=False)
    return _utc(times, zone)


def _utc(times: pl.Series, zone: str) -> pl.Series:
    """A column of dates or times, vectorised."""
    own_zone = getattr(times.dtype, "time_zone", None)
    times = times.cast(pl.Datetime("us", own_zone))
    if own_zone is None:
        rules: dict[str, object] = {"ambiguous": "earliest", "non_existent": "null"}
        local = times.dt.replace_time_zone(zone, **rules)  # type: ignore[arg-type]
        later = times.dt.offset_by("1h").dt.replace_time_zone(zone, **rules)  # type: ignore[arg-type]
        times = local.fill_null(later)
    return times.dt.convert_time_zone("UTC").cast(pl.Int64)


def _each(texts: pl.Series, read: Callable[[str], int | None]) -> pl.Series:
    """`read` of each text without its outer spaces, called once for equal ones; empty is null."""
    texts = texts.str.strip_chars()
    found: dict[str | None, int | None] = {text: read(text) for text in texts.unique() if text}
    return pl.Series(texts.name, [found.get(text) for text in texts], dtype=pl.Int64)


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and "_" not in text else None


def _whole(text: str, unit: Decimal, unreadable: int | None) -> int | None:
    """`text` times `unit` as a whole number."""
    number = _decimal(text)
    if number is None or abs(number) * unit >= _LARGEST:
        return unreadable
    return int((number * unit).to_integral_value(ROUND_HALF_EVEN))


def _iso(text: str, local: ZoneInfo) -> int | None:
    if text.endswith((" UTC", " GMT")):
        text = f"{text[:-4]}+00:00"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Python takes the first of two equal local times, and reads a skipped one by the old offset.
    moment = moment if moment.tzinfo else moment.replace(tzinfo=local)
    return (moment - _EPOCH) // _MICROSECOND
