"""What came in the time after a moment of asking: whether, and how much.

Next: ``retention.py``, ``uplift.py``, which ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MICROS = 1_000_000
LAST_BEFORE = -1
"""Microseconds: windows hold their beginning and not their end."""


def happened(asked: pl.DataFrame, events: pl.DataFrame, window: int) -> pl.Series:
    """1.0 where a row's shopper has an event in [asked_at, asked_at + window), else 0.0."""
    import polars as pl

    first = asked.join_asof(
        events.select("user_id", happened_at="event_at").sort("happened_at"),
        left_on="asked_at",
        right_on="happened_at",
        by="user_id",
        strategy="forward",
        check_sortedness=False,
    )
    inside = pl.col("happened_at") - pl.col("asked_at") < window
    return first.select(inside.fill_null(False).cast(pl.Float64)).to_series()


def spent(asked: pl.DataFrame, purchases: pl.DataFrame, window: int) -> pl.Series:
    """Value of a row's shopper's `purchases` in [asked_at, asked_at + window), base currency."""
    import polars as pl

    value = (pl.col("price_micros") * pl.coalesce("quantity", 1)).fill_null(0)
    so_far = purchases.sort("event_at").select(
        "user_id", "event_at", value.cum_sum().over("user_id").alias("total")
    )

    def until(moment: pl.Expr) -> pl.Series:
        found = asked.with_columns((moment + LAST_BEFORE).alias("at"), row=pl.row_index())
        found = found.sort("at").join_asof(
            so_far,
            left_on="at",
            right_on="event_at",
            by="user_id",
            strategy="backward",
            check_sortedness=False,
        )
        return found.sort("row")["total"].fill_null(0)

    ends = until(pl.col("asked_at") + window) - until(pl.col("asked_at"))
    return (ends / MICROS).cast(pl.Float64)
