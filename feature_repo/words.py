"""What shoppers wrote to the shop: one row for each message, with its absolute time and text.

An event of kind ``message`` is a behaviour like any other and stands in the history; its words lie
here, so that only who asks for them reads them. Pure, like ``rollups.py``, for the batch build and
the live update alike. Next: ``derive.py``.
"""

from __future__ import annotations

import polars as pl

from feature_repo.rollups import in_order, stamped

MESSAGE = "message"
MESSAGES: dict[str, type[pl.DataType]] = {"message_at": pl.Int64, "message_text": pl.String}
MESSAGES_KEPT = 8
"""Per shopper, the last that became known: of older ones the history tells that they were."""


def message_rows(events: pl.DataFrame) -> pl.DataFrame:
    """One row for each message in `events` (``EVENT_SCHEMA``), sorted by (user, stamp).

    A message without words, or of spaces alone, has an empty text.
    """
    said = in_order(events.filter(pl.col("kind") == MESSAGE), "user_id").with_columns(
        message_at="event_at", message_text=pl.col("text").fill_null("").str.strip_chars()
    )
    return stamped(said, "user_id", [*MESSAGES, "event_id"])
