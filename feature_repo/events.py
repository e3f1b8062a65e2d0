"""The vocabulary of behaviour: kinds, fields, units, and what makes an event acceptable.

Times are microseconds since 1970 (UTC), money is micros of the warehouse's base currency. Next:
``warehouse.py`` for where events live, ``ingest.py`` for how they get there.
"""

from __future__ import annotations

import polars as pl

from feature_repo.settings import SECOND

KINDS = (
    "view",
    "click",
    "cart",
    "purchase",
    "return",
    "search",
    "message",
    "impression",
    "treatment",
    "outcome",
)
KIND_CODES = {kind: code for code, kind in enumerate(KINDS, start=1)}
"""Integer code of each kind; 0 is padding."""

EVENT_SCHEMA = pl.Schema(
    {
        "event_id": pl.String(),
        "kind": pl.String(),
        "user_id": pl.String(),
        "event_at": pl.Int64(),
        "received_at": pl.Int64(),
        "item_id": pl.String(),
        "order_id": pl.String(),
        "quantity": pl.Int64(),
        "price_micros": pl.Int64(),
        "currency": pl.String(),
        "original_price_micros": pl.Int64(),
        "text": pl.String(),
        "decision_id": pl.String(),
    }
)
FUTURE_TOLERANCE = 60 * SECOND


def known_at() -> pl.Expr:
    """When an event became known: the later of its own time and the time it was received."""
    return pl.max_horizontal("event_at", "received_at")


MAX_ID_LENGTH = 128
MAX_TEXT_LENGTH = 2_000
MAX_QUANTITY = 1_000_000_000
MAX_PRICE_MICROS = 10**16
"""Of one piece and of a whole line: sums over a shopper's lines stay far from the end of Int64."""
EARLIEST = 0
"""Before 1970 nothing happened in a shop that keeps such files."""

REJECT_REASONS: dict[str, str] = {
    "bad_row": "the line has another number of fields than the first, or is no JSON object; check "
    "quotes and separator",
    "ignored": "a rule of the mapping leaves such rows out",
    "missing_event_id": "the row has no id; map a column to event_id, or let it be hashed",
    "bad_id": f"an id is longer than {MAX_ID_LENGTH} characters or holds a NUL; shorten it",
    "no_user": "the row names no user; map the session id to user when visitors have no account",
    "unknown_kind": f"kind is none of {', '.join(KINDS)}; add a kind rule to the mapping",
    "bad_time": "the time is missing, unreadable or before 1970; check time, format and zone",
    "future": "the event lies more than 60 s after it was received, or was received in the "
    "future; check the sender's clock and zone",
    "missing_item": "a view, click, cart, purchase, return or impression names no item",
    "bad_quantity": "the quantity is unreadable, 0, negative or over 10^9, or it is missing "
    "from a purchase, return or cart",
    "bad_price": "the price is unreadable, negative, or makes a line of over 10^10 currency units",
    "unknown_currency": "the mapping's [rates] has no rate for the row's currency, or it is not "
    "written in three capitals (ISO 4217)",
    "bad_text": f"the text is longer than {MAX_TEXT_LENGTH} characters or holds a NUL; cut it",
    "service_code": "the item is a service such as postage or a fee, not a product",
    "stock_adjustment": "a line that corrects the stock, not a customer's behaviour",
    "conflicting_duplicate": "the id was used before for another event; ids must be unique",
}
"""Why a row is kept as a dead letter, and how to mend it."""

NEEDS_ITEM = ("view", "click", "cart", "purchase", "return", "impression")
NEEDS_QUANTITY = ("purchase", "return", "cart")


def check(frame: pl.DataFrame, now: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split `frame` into events that can be kept, clamped, and rejects with their `reason`.

    Nothing was received later than `now`, and an event up to 60 s later than it was received is
    clamped to that moment: what is known now became known by now.
    """
    reasons = [pl.when(rule).then(pl.lit(reason)) for reason, rule in _rules(now).items()]
    judged = frame.with_columns(reason=pl.coalesce(*reasons, pl.lit(None, dtype=pl.String)))
    good = judged.filter(pl.col("reason").is_null()).drop("reason")
    received = pl.min_horizontal("received_at", pl.lit(now))
    clamped = good.with_columns(
        event_at=pl.min_horizontal("event_at", received), received_at=received
    )
    return clamped, judged.filter(pl.col("reason").is_not_null())


def _rules(now: int) -> dict[str, pl.Expr]:
    """Reason to the rule that a bad row meets; the first that holds is named."""
    ids = ("event_id", "user_id", "item_id", "order_id", "decision_id")
    bad_id = [
        (pl.col(name).str.len_chars() > MAX_ID_LENGTH)
        | pl.col(name).str.contains("\0", literal=True)
        for name in ids
    ]
    kind = pl.col("kind")
    line_value = pl.col("price_micros").cast(pl.Float64) * pl.col("quantity")
    late = pl.col("event_at") > pl.min_horizontal("received_at", pl.lit(now)) + FUTURE_TOLERANCE
    return {
        "missing_event_id": _blank("event_id"),
        "no_user": _blank("user_id"),
        "bad_id": pl.any_horizontal(rule.fill_null(False) for rule in bad_id),
        "unknown_kind": kind.is_null() | ~kind.is_in(KINDS),
        "bad_time": pl.any_horizontal(
            pl.col(name).is_null() | (pl.col(name) < EARLIEST)
            for name in ("event_at", "received_at")
        ),
        "future": late | (pl.col("received_at") > now + FUTURE_TOLERANCE),
        "missing_item": kind.is_in(NEEDS_ITEM) & _blank("item_id"),
        "bad_quantity": (kind.is_in(NEEDS_QUANTITY) & pl.col("quantity").is_null())
        | ~pl.col("quantity").is_between(1, MAX_QUANTITY),
        "bad_price": ~pl.col("price_micros").is_between(0, MAX_PRICE_MICROS)
        | (line_value > MAX_PRICE_MICROS),
        "unknown_currency": ~pl.col("currency").str.contains("^[A-Z]{3}$"),
        "bad_text": (pl.col("text").str.len_chars() > MAX_TEXT_LENGTH)
        | pl.col("text").str.contains("\0", literal=True),
    }


def _blank(name: str) -> pl.Expr:
    return pl.col(name).is_null() | (pl.col(name).str.strip_chars() == "")
