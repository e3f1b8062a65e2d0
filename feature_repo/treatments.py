"""What the shop did to a shopper: one row for each treatment, with its absolute time.

An event of kind ``treatment`` names the action (``coupon``, ``reminder``, …) as its text. It is no
behaviour: it makes nobody known, and stands in no history. Pure, like ``rollups.py``, for the batch
build and the live update alike; what is counted is counted when asked. Next: ``derive.py``.
"""

from __future__ import annotations

import polars as pl

from feature_repo.rollups import in_order, stamped

TREATMENT = "treatment"
TREATMENTS: dict[str, type[pl.DataType]] = {
    "treatment_at": pl.Int64,
    "treatment_action": pl.String,
}
TREATMENTS_KEPT = 64
"""Per shopper, the last that became known: what a window counts at most."""


def treatment_rows(events: pl.DataFrame) -> pl.DataFrame:
    """One row for each treatment in `events` (``EVENT_SCHEMA``), sorted by (user, stamp)."""
    done = in_order(events.filter(pl.col("kind") == TREATMENT), "user_id").with_columns(
        treatment_at="event_at", treatment_action=pl.col("text").fill_null("")
    )
    return stamped(done, "user_id", [*TREATMENTS, "event_id"])
