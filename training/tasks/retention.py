"""Who stays? Every customer is asked about once a week, as a shop's report would.

Weekly snapshots of everyone who ever bought. What happened in the horizon after a snapshot is its
label, as far as it was over at the cut. Next: ``horizons.py``, ``../datasets/spine.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.tasks.heads import head_metrics, log_loss
from training.tasks.horizons import ends, hazards_taught, survival, survival_labels
from training.tasks.task import ALL, Columns

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor, nn

    from training.datasets.spine import Calendar, Split
    from training.models.batch import Batch, Output

DAY = 86_400_000_000
HIDDEN = 32


class Retention:
    """No purchase in each third of the horizon's end, and a purchase in its first.

    Names are those of the standard horizon of 90 days; a calendar with another one stretches all
    windows.
    """

    heads = ("leave_90d", "purchase_30d", "leave_60d", "leave_30d")
    logits = ("hazard_30d", "hazard_60d", "hazard_90d")
    labels: tuple[str, ...] = ()
    service = "shopper"
    told = ""

    def examples(self, events: pl.DataFrame, calendar: Calendar, split: Split) -> pl.DataFrame:
        """One row per snapshot and customer with a purchase known before the snapshot at t.

        ``leave_90d`` is 1 without a purchase in [t, t + horizon), ``leave_60d`` and ``leave_30d``
        in its first two thirds and its first; ``purchase_30d`` is 1 - ``leave_30d``. A window that
        is open at the split's end has no label.
        """
        import polars as pl

        from training.datasets.spine import known_before

        _, end = calendar.window(split)
        known = known_before(events, end)
        bought = known.filter(pl.col("kind") == "purchase").sort("event_at")
        horizon = calendar.horizon_days * DAY
        first_at: int | None = known["event_at"].min()  # type: ignore[assignment]
        moments = calendar.snapshots(
            split, end if first_at is None else first_at, window=ends(horizon)[0]
        )
        returned = _asked(bought, moments).join_asof(
            bought.select("user_id", bought_at="event_at"),
            left_on="asked_at",
            right_on="bought_at",
            by="user_id",
            strategy="forward",
            check_sortedness=False,
        )
        wait, seen = pl.col("bought_at") - pl.col("asked_at"), end - pl.col("asked_at")
        soon, later, late = survival_labels(wait, seen, horizon)
        return returned.sort("asked_at", "user_id").select(
            "user_id",
            "asked_at",
            pl.lit(1.0).alias("weight"),
            late.alias("leave_90d"),
            (1.0 - soon).alias("purchase_30d"),
            later.alias("leave_60d"),
            soon.alias("leave_30d"),
        )

    def head(self, width: int) -> nn.Module:
        """A small layer over the features: what it tells is not linear in them."""
        from torch import nn

        return nn.Sequential(
            nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, len(self.logits))
        )

    def taught(self, label_BH: Tensor) -> Tensor:
        """Whether a purchase came in each interval that was waited for."""
        return hazards_taught(label_BH[:, [3, 2, 0]])

    def answer(self, logit_BH: Tensor) -> Tensor:
        """Survival, from the hazards."""
        import torch

        soon, later, late = survival(logit_BH.sigmoid()).unbind(dim=1)
        return torch.stack([late, 1.0 - soon, later, soon], dim=1)

    def loss(self, output: Output, batch: Batch, columns: Columns = ALL) -> Tensor:
        """Negative log likelihood of the hazards, in nats."""
        taught_BH = self.taught(batch.label_BH[:, columns.heads])
        return log_loss(output.logit_BH[:, columns.logits], taught_BH, batch.weight_B)

    def metrics(
        self, scores: np.ndarray, labels: np.ndarray | Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Quality of probabilities `scores` ``(n, heads)`` for `labels` of 0, 1 and NaN."""
        return head_metrics(self.heads, scores, labels)


def _asked(bought: pl.DataFrame, moments: Sequence[int]) -> pl.DataFrame:
    """Every moment with each customer whose first purchase was known before it, in their order."""
    import polars as pl

    from training.datasets.spine import first_known

    asked_at = pl.DataFrame({"asked_at": moments}, schema={"asked_at": pl.Int64})
    asked = first_known(bought).join(asked_at, how="cross")
    return asked.filter(pl.col("first_known_at") < pl.col("asked_at")).sort("asked_at")
