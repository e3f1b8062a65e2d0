"""Events become state rows: what is known about a user or an item after each event.

Pure Polars over frames of ``events.EVENT_SCHEMA``. The batch build runs it on all events, the live
update on one shopper's. Every row is stamped one microsecond after the event that made it became
known, so a read at time t sees only what was known strictly before t. Nothing here ages; what does
is computed by ``derive.py`` at the moment of asking. Next: ``derive.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from feature_repo.events import KIND_CODES, known_at
from feature_repo.settings import DAY

MICROS = 1_000_000
BEHAVIOURS = ("view", "click", "cart", "purchase", "return", "search", "message")
COUNTED = (*BEHAVIOURS, "orders", "spend_micros")
"""What is counted by UTC day."""

USER_STATE: tuple[str, ...] = (
    "first_at",
    "first_purchase_at",
    *(f"last_{kind}_at" for kind in BEHAVIOURS),
    *(f"num_{kind}" for kind in BEHAVIOURS),
    "num_orders",
    "num_purchase_days",
    "spend_micros",
    "returned_micros",
    "running_day",
    *(f"running_{column}" for column in COUNTED),
)
USER_DAYS: tuple[str, ...] = ("closed_day", *(f"closed_{column}" for column in COUNTED))
HISTORY: dict[str, type[pl.DataType]] = {
    "history_at": pl.Int64,
    "history_kind": pl.Int64,
    "history_item": pl.String,
    "history_quantity": pl.Int64,
    "history_amount": pl.Float64,
    "history_order": pl.String,
}
ITEM_STATE: tuple[str, ...] = ("item_first_at", "price_micros", "item_num_buyers")
ITEM_DAYS: tuple[str, ...] = ("sold_day", "sold_purchases", "sold_views")
DAYS_KEPT = 128
"""Increments kept per user or item: the 90 days of the longest window, and room for late events."""
_TOLD = pl.Schema({"item_id": pl.String, "known_at": pl.Int64, "text": pl.String})
STAMPS = ("event_timestamp", "created")


@dataclass(frozen=True, slots=True)
class UserRows:
    """State rows of users, each sorted by (user, stamp): `state`, `days` and `history`."""

    state: pl.DataFrame
    days: pl.DataFrame
    history: pl.DataFrame


@dataclass(frozen=True, slots=True)
class ItemRows:
    """State rows of items, each sorted by (item, stamp): `state` and `days`."""

    state: pl.DataFrame
    days: pl.DataFrame


def user_rows(events: pl.DataFrame) -> UserRows:
    """All rows that `events` make, for every user in them.

    Order is the order of becoming known, ties by event time, then id.
    """
    known = in_order(events.filter(pl.col("kind").is_in(BEHAVIOURS)), "user_id")
    steps = known.with_columns(_behaviour_columns())
    return UserRows(state=_user_state(steps), days=_user_days(steps), history=_history(known))


def item_rows(events: pl.DataFrame, items: pl.DataFrame | None = None) -> ItemRows:
    """All rows that `events` make, for every item in them; items change at midnight UTC only.

    Where the events don't describe an item, the text of its own row in `items` serves (columns of
    the warehouse's table), from when that was known.
    """
    bearing = pl.col("item_id").is_not_null() & pl.col("kind").is_in(
        ["view", "click", "cart", "purchase"]
    )
    known = in_order(events.filter(bearing), "item_id").with_columns(
        closing=(pl.col("known") // DAY + 1) * DAY
    )
    told = _TOLD.to_frame() if items is None else items.select(*_TOLD).cast(_TOLD)
    return ItemRows(state=_item_state(known, told), days=_item_days(known))


def in_order(events: pl.DataFrame, key: str) -> pl.DataFrame:
    """Sort by order of becoming known and stamp."""
    return (
        events.with_columns(known=known_at())
        .with_columns(stamp=pl.col("known") + 1, day=pl.col("event_at") // DAY)
        .sort(key, "known", "event_at", "event_id")
    )


def _behaviour_columns() -> list[pl.Expr]:
    """Per event: is it of each kind, does it open an order or a purchase day, its money."""
    purchase = pl.col("kind") == "purchase"
    order = pl.coalesce("order_id", pl.col("event_id"))
    amount = (pl.col("price_micros") * pl.coalesce("quantity", 1)).fill_null(0)
    opens_order = purchase & pl.struct("kind", order.alias("order")).is_first_distinct().over(
        "user_id"
    )
    opens_day = purchase & pl.struct("kind", "day").is_first_distinct().over("user_id")
    return [
        *((pl.col("kind") == kind).cast(pl.Int64).alias(kind) for kind in BEHAVIOURS),
        opens_order.cast(pl.Int64).alias("orders"),
        opens_day.cast(pl.Int64).alias("purchase_days"),
        pl.when(purchase).then(amount).otherwise(0).alias("spend_micros"),
        pl.when(pl.col("kind") == "return").then(amount).otherwise(0).alias("returned_micros"),
        (pl.col("known") // DAY == pl.col("day")).alias("on_time"),
    ]


def _user_state(steps: pl.DataFrame) -> pl.DataFrame:
    """One row per (user, stamp): everything after the last event of that stamp."""

    def so_far(column: pl.Expr, name: str) -> pl.Expr:
        return column.cum_sum().over("user_id").alias(name)

    def latest(kind: str) -> pl.Expr:
        time = pl.when(pl.col("kind") == kind).then("event_at")
        return time.cum_max().forward_fill().over("user_id").alias(f"last_{kind}_at")

    purchased_at = pl.when(pl.col("kind") == "purchase").then("event_at")
    running = pl.when("on_time").then("day").forward_fill().over("user_id")
    state = steps.with_columns(running_day=running).with_columns(
        pl.col("event_at").cum_min().over("user_id").alias("first_at"),
        purchased_at.cum_min().forward_fill().over("user_id").alias("first_purchase_at"),
        *(latest(kind) for kind in BEHAVIOURS),
        *(so_far(pl.col(kind), f"num_{kind}") for kind in BEHAVIOURS),
        so_far(pl.col("orders"), "num_orders"),
        so_far(pl.col("purchase_days"), "num_purchase_days"),
        so_far(pl.col("spend_micros"), "total_spend_micros"),
        so_far(pl.col("returned_micros"), "total_returned_micros"),
        *(
            pl.when("on_time")
            .then(column)
            .otherwise(0)
            .cum_sum()
            .over("user_id", "running_day")
            .alias(f"running_{column}")
            for column in COUNTED
        ),
    )
    return stamped(
        state.with_columns(
            spend_micros="total_spend_micros", returned_micros="total_returned_micros"
        ).unique(["user_id", "stamp"], keep="last", maintain_order=True),
        "user_id",
        list(USER_STATE),
    )


def _user_days(steps: pl.DataFrame) -> pl.DataFrame:
    """Increments by day: a day on time once a later day has begun, a late event at once."""
    sums = [pl.col(column).sum().alias(f"closed_{column}") for column in COUNTED]
    on_time = (
        steps.filter("on_time")
        .group_by("user_id", "day", maintain_order=True)
        .agg(*sums, pl.col("stamp").first().alias("opened"))
        .with_columns(stamp=pl.col("opened").shift(-1).over("user_id"))
        .filter(pl.col("stamp").is_not_null())
        .drop("opened")
    )
    late = (
        steps.filter(~pl.col("on_time"))
        .group_by("user_id", "day", "stamp", maintain_order=True)
        .agg(*sums)
        .select(on_time.columns)
    )
    rows = pl.concat([on_time, late]).rename({"day": "closed_day"})
    return stamped(rows.sort("user_id", "stamp", "closed_day"), "user_id", list(USER_DAYS))


def _history(known: pl.DataFrame) -> pl.DataFrame:
    """One scalar row per behaviour, with its absolute time."""
    amount = known.select((pl.col("price_micros") * pl.coalesce("quantity", 1)).fill_null(0))
    rows = known.with_columns(
        history_at="event_at",
        history_kind=pl.col("kind").replace_strict(KIND_CODES, return_dtype=pl.Int64),
        history_item=pl.col("item_id").fill_null(""),
        history_quantity=pl.col("quantity").fill_null(0),
        # NumPy divides. Polars multiplies by 1e-6 where there are several rows, and divides one
        # row: a live update would differ from the batch in the last bit.
        history_amount=pl.Series(amount.to_series().to_numpy() / MICROS),
        history_order=pl.col("order_id").fill_null(""),
    )
    return stamped(rows, "user_id", [*HISTORY, "event_id"])


def _item_state(known: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """One row per (item, day of change), stamped at the midnight that ends the day."""
    price = pl.when((pl.col("kind") == "purchase") & (pl.col("price_micros") > 0)).then(
        "price_micros"
    )
    opens_buyer = (pl.col("kind") == "purchase") & pl.struct("kind", "user_id").is_first_distinct()
    state = known.with_columns(
        pl.col("event_at").cum_min().over("item_id").alias("item_first_at"),
        price.forward_fill().over("item_id").alias("price_micros"),
        opens_buyer.over("item_id")
        .cast(pl.Int64)
        .cum_sum()
        .over("item_id")
        .alias("item_num_buyers"),
        pl.col("text").forward_fill().over("item_id"),
    ).unique(["item_id", "closing"], keep="last", maintain_order=True)
    told = told.rename({"text": "own_text", "known_at": "told_at"})
    own_text = pl.when(pl.col("told_at") < pl.col("closing")).then("own_text")
    state = state.join(told, on="item_id", how="left", maintain_order="left").with_columns(
        text=pl.coalesce("text", own_text, pl.lit(""))
    )
    return stamped(state.with_columns(stamp="closing"), "item_id", [*ITEM_STATE, "text"])


def _item_days(known: pl.DataFrame) -> pl.DataFrame:
    """Increments per (item, day of the event, day of becoming known), stamped at its end."""
    rows = known.group_by("item_id", "closing", "day").agg(
        (pl.col("kind") == "purchase").cast(pl.Int64).sum().alias("sold_purchases"),
        (pl.col("kind") == "view").cast(pl.Int64).sum().alias("sold_views"),
    )
    rows = rows.rename({"day": "sold_day", "closing": "stamp"})
    return stamped(rows.sort("item_id", "stamp", "sold_day"), "item_id", list(ITEM_DAYS))


def stamped(rows: pl.DataFrame, key: str, columns: list[str]) -> pl.DataFrame:
    """Key, both stamps as timestamps and `columns`; a row is created when it becomes known."""
    stamp = pl.col("stamp").cast(pl.Datetime("us", "UTC"))
    return rows.select(key, stamp.alias("event_timestamp"), stamp.alias("created"), *columns)
