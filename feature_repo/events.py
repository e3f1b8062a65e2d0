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
