"""A table of orders becomes purchases: who, when, and how much. Next: ``retention.py``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from feature_repo.events import EVENT_SCHEMA
from training.benchmarks.asked import Asked
from training.benchmarks.table import read_times
from training.own_table import check_columns, check_full, check_number, open_table

NOTHING = "order"
"""Item of every purchase: the table tells none."""
MICROS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Asked):
    """Which column is what, and how it is asked."""

    user: str = "user"
    time: str = "time"
    amount: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The purchases."""

    events: pl.DataFrame
    notes: tuple[str, ...]
    """What was left out and why, a sentence each."""


def read(path: Path, question: Question) -> Table:
    """Read and check the table at `path`.

    Raises
    ------
    ValueError
        When a column is missing or empty, a time cannot be read, or an amount is no number.
    """
    frame, q = open_table(path), question
    check_columns(frame, (q.user, q.time, *((q.amount,) if q.amount else ())), path.name)
    for column, what in ((q.user, "id"), (q.time, "instant")):
        check_full(frame, column, what)
    price = pl.Series([None] * len(frame), dtype=pl.Float64)
    if q.amount:
        check_number(frame, q.amount)
        price = frame[q.amount].cast(pl.Float64)
    rows = pl.DataFrame(
        {
            "event_id": [f"row-{number}" for number in range(len(frame))],
            "user_id": frame[q.user].cast(pl.String),
            "event_at": read_times(frame[q.time]),
            "price_micros": (price * MICROS).round(),
        }
    )
    kept = rows.filter(pl.col("price_micros").is_null() | (pl.col("price_micros") >= 0))
    left_out = len(rows) - len(kept)
    told = {"kind": "purchase", "item_id": NOTHING, "quantity": 1}
    events = kept.with_columns(
        received_at=pl.col("event_at"), **{name: pl.lit(value) for name, value in told.items()}
    )
    unknown = [pl.lit(None).alias(name) for name in EVENT_SCHEMA if name not in events.columns]
    events = events.with_columns(unknown).select(*EVENT_SCHEMA).cast(EVENT_SCHEMA)
    notes = [f"{left_out:,} rows of amounts below 0 were left out."] if left_out else []
    return Table(events, tuple(notes))
