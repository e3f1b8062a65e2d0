"""Who stays? Every customer is asked about once a week, as a shop's report would.

Weekly snapshots of everyone who ever bought; what happened in the horizon after a snapshot is its
label, and a snapshot counts only when that horizon is over. Next: ``../datasets/spine.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.tasks.heads import head_metrics, log_loss
from training.tasks.task import ALL

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor, nn

    from training.datasets.spine import Calendar, Split
    from training.models.batch import Batch, Output

DAY = 86_400_000_000
HIDDEN = 32


class Retention:
    """Two probabilities: no purchase in the horizon, and a purchase in its first third.

    Their names are those of the standard horizon of 90 days; a calendar with another horizon
    stretches both windows.
    """

    heads = ("leave_90d", "purchase_30d")
    service = "shopper"
    told = ""

    def examples(self, events: pl.DataFrame, calendar: Calendar, split: Split) -> pl.DataFrame:
        """One row per snapshot and customer with a purchase known before the snapshot at t.

        ``leave_90d`` is 1 without a purchase in [t, t + horizon), ``purchase_30d`` is 1 with one
        in [t, t + horizon / 3).
        """
        import polars as pl

        from training.datasets.spine import first_known, known_before

        _, end = calendar.window(split)
        known = known_before(events, end)
        bought = known.filter(pl.col("kind") == "purchase").sort("event_at")
        first_at: int | None = known["event_at"].min()  # type: ignore[assignment]
        moments = calendar.snapshots(split, end if first_at is None else first_at)
        horizon = calendar.horizon_days * DAY
        assert all(moment + horizon <= end for moment in moments), "label windows are closed"
        asked = first_known(bought).join(
            pl.DataFrame({"asked_at": moments}, schema={"asked_at": pl.Int64}), how="cross"
        )
        asked = asked.filter(pl.col("first_known_at") < pl.col("asked_at")).sort("asked_at")
        returned = asked.join_asof(
            bought.select("user_id", bought_at="event_at"),
            left_on="asked_at",
            right_on="bought_at",
            by="user_id",
            strategy="forward",
            check_sortedness=False,
        )
        wait = (pl.col("bought_at") - pl.col("asked_at")).fill_null(horizon)
        return returned.sort("asked_at", "user_id").select(
            "user_id",
            "asked_at",
            pl.lit(1.0).alias("weight"),
            (wait >= horizon).cast(pl.Float64).alias("leave_90d"),
            (wait < horizon // 3).cast(pl.Float64).alias("purchase_30d"),
        )

    def head(self, width: int) -> nn.Module:
        """A small layer over the features: what it tells is not linear in them."""
        from torch import nn

        return nn.Sequential(
            nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, len(self.heads))
        )

    def loss(self, output: Output, batch: Batch, heads: slice = ALL) -> Tensor:
        """Log loss of the heads, in nats, summed over heads."""
        return log_loss(output, batch, heads)

    def metrics(
        self, scores: np.ndarray, labels: np.ndarray | Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Quality of probabilities `scores` ``(n, heads)`` for `labels` of 0 and 1."""
        return head_metrics(self.heads, scores, labels)
