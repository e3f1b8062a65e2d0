"""What the values of a column look like, in a sample of its rows.

Times are tried in the formats that shops use. A day and a month that could change places are never
told apart by guessing. Next: ``autofeature.py``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from statistics import median

import polars as pl

from feature_repo.importing.columns import moments, plain

NUM_TRIED = 400
"""Distinct values of a column that are tried in every format."""
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
_DAYS = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y", "%m.%d.%Y"),
    *("%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%d.%m.%y", "%m.%d.%y"),
    *(
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%d %b %Y",
        "%d-%b-%Y",
        "%d-%b-%y",
        "%b %d, %Y",
        "%d %B %Y",
        "%Y%m%d",
    ),
    "%Y年%m月%d日",
)
FORMATS = tuple(f"{day}{clock}" for day, clock in product(_DAYS, _CLOCKS))
_MAGNITUDES = {"unix_s": 1e9, "unix_ms": 1e12, "unix_us": 1e15, "unix_ns": 1e18}


@dataclass(frozen=True, slots=True)
class TimeGuess:
    """How a column's times are written: `formats` has two when the values don't prove which."""

    formats: tuple[str | None, ...]
    has_clock: bool
    has_zone: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """One column of the sample."""

    name: str
    values: tuple[str, ...]
    """Distinct texts, without outer spaces."""
    num_rows: int
    num_filled: int
    dtype: pl.DataType

    @classmethod
    def of(cls, column: pl.Series) -> Profile:
        """Look at a column."""
        texts = column.cast(pl.String, strict=False).str.strip_chars()
        filled = texts.filter((texts != "").fill_null(False))
        return cls(
            name=column.name,
            values=tuple(filled.unique(maintain_order=True).to_list()),
            num_rows=len(column),
            num_filled=len(filled),
            dtype=column.dtype,
        )

    @property
    def is_unique(self) -> bool:
        """Whether nearly every row has a value of its own."""
        return self.num_filled > 1 and len(self.values) >= 0.95 * self.num_filled

    @property
    def tried(self) -> tuple[str, ...]:
        """Some of the values, from everywhere."""
        return self.values[:: max(1, len(self.values) // NUM_TRIED)]

    def share(self, pattern: str) -> float:
        """The part of the values that a regular expression matches in full."""
        found = sum(re.fullmatch(pattern, value) is not None for value in self.tried)
        return found / max(1, len(self.tried))

    @property
    def is_whole(self) -> bool:
        """Whether all values are whole numbers."""
        return bool(self.values) and self.share(r"[-+]?\d+(\.0*)?") == 1

    def decimal(self) -> tuple[str | None, ...] | None:
        """Decimal marks by which all values are amounts; (None,) if they are plain numbers."""
        if not self.values:
            return None
        if self.share(r"[-+]?\d*\.?\d+(e[-+]?\d+)?|nan|inf|-inf") >= 0.98:
            return (None,)
        number = re.compile(r"-?\d+\.\d+")
        found = [
            mark
            for mark in (",", ".")
            if sum(number.fullmatch(plain(value, mark)) is not None for value in self.tried)
            >= 0.95 * len(self.tried)
        ]
        return tuple(found) or None

    def time(self) -> TimeGuess | None:
        """How the values are written if they are times."""
        if self.dtype.is_temporal():
            zoned = getattr(self.dtype, "time_zone", None) is not None
            return TimeGuess((None,), self.dtype != pl.Date, zoned)
        if not self.tried:
            return None
        if self.share(r"\d+(\.0*)?") == 1:
            return _number_time([float(value) for value in self.tried])
        values = pl.Series(list(self.tried))
        if moments(values, "UTC", None).null_count() <= 0.02 * len(values):
            zoned = (
                self.share(r".*(Z|UTC|GMT|[+-]\d\d:?\d\d)") > 0.9 and self.share(r".*\d:.*") > 0.9
            )
            return TimeGuess((None,), self.share(r".*\d:\d.*") > 0.5, zoned)
        return _text_time(values)


def _number_time(numbers: Sequence[float]) -> TimeGuess | None:
    middle = median(numbers)
    for unit, second in _MAGNITUDES.items():
        if 0.3 * second <= middle <= 4.2 * second:
            return TimeGuess((unit,), True, True)
    if min(numbers) >= 19_500_101 and max(numbers) <= 21_001_231:
        days = pl.Series([str(int(number)) for number in numbers])
        if not days.str.to_date("%Y%m%d", strict=False).null_count():
            return TimeGuess(("%Y%m%d",), False, False)
    return None


def _text_time(values: pl.Series) -> TimeGuess | None:
    """Every format that reads all values; a year of four digits is none of two."""
    few = values.head(40)
    fits = [form for form in FORMATS if _reads(few, form) and _reads(values, form)]
    if any("%Y" in form for form in fits):
        fits = [form for form in fits if "%Y" in form]
    if not fits:
        return None
    # Dots stand between day and month, in this order, wherever they are used.
    dotted = [form for form in fits if form.startswith("%d.")]
    fits = dotted[:1] or fits
    return TimeGuess(tuple(fits[:2]), "%H" in fits[0] or "%I" in fits[0], False)


def _reads(values: pl.Series, form: str) -> bool:
    found = values.str.to_datetime(form, time_unit="us", strict=False)
    years = found.dt.year()
    return found.null_count() <= 0.02 * len(values) and bool(
        (years.is_between(1970, datetime.max.year) | years.is_null()).all()
    )
