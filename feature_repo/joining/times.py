"""Moments in microseconds since 1970 (UTC), of Python, of columns, and spans of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

Ints = np.ndarray[Any, np.dtype[np.int64]]
NEVER = np.iinfo(np.int64).max
DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """From one moment to another, both included."""

    low: int = -NEVER
    high: int = NEVER - 1

    def meets(self, low: int, high: int) -> bool:
        """Whether a moment of this span lies between `low` and `high`."""
        return low <= self.high and high >= self.low


def micros(moment: datetime) -> int:
    """Rounded down; without a zone it is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def day_start(day: str) -> int:
    """The first moment of a day, YYYY-MM-DD.

    Raises
    ------
    ValueError
        When it is no such day.
    """
    return (date.fromisoformat(day).toordinal() - _EPOCH.toordinal()) * DAY


def stamps(column: pa.ChunkedArray, name: str) -> pl.Series:
    """The timestamps of `column`, rounded up: nothing is known before it happened.

    Raises
    ------
    ValueError
        When the column holds no timestamps.
    """
    times = pl.Series(column)
    if not isinstance(times.dtype, pl.Datetime):
        raise ValueError(
            f"column {name!r} holds {times.dtype}, not timestamps; write timestamp[us, UTC]"
        )
    if times.dtype.time_unit == "ns":
        return -(-times.cast(pl.Int64) // 1000)
    return times.dt.epoch("us")


def moments(column: pd.Series) -> Ints:
    """The times of a spine, rounded down; without a zone they are UTC.

    Raises
    ------
    ValueError
        When one is null.
    """
    times = pd.to_datetime(column, utc=True)
    if times.isna().any():
        raise ValueError(
            f"entity_df has {int(times.isna().sum())} null in {column.name!r}; drop them"
        )
    return times.dt.floor("us").dt.as_unit("us").astype("int64").to_numpy()
