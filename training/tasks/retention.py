"""Who stays? Every customer is asked about once a week, as a shop's report would.

Weekly snapshots of everyone who ever bought. What happened in the horizon after a snapshot is its
label, as far as it was over at the cut. Next: ``horizons.py``, ``windows.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.tasks.heads import amount_loss, head_metrics, log_loss
from training.tasks.horizons import ends, hazards_taught, survival, survival_labels
from training.tasks.task import ALL, Columns

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor, nn

    from training.datasets.spine import Calendar, Split
    from training.models.batch import Batch, Output

DAY = 86_400_000_000
LOOKS = ("impression", "view", "click", "cart", "search")
"""Kinds that say that somebody came; a purchase is a visit too."""
NUM_CHANCES = 5
"""Logits that are chances; the last one is the log of an amount."""


class Retention:
    """When a customer buys again, comes by, sends something back, and what is spent.

    Names are those of the standard horizon of 90 days; a calendar with another one stretches all
    windows.
    """

    heads = (
        *("leave_90d", "purchase_30d", "leave_60d", "leave_30d"),
        *("visit_30d", "return_90d", "spend_90d"),
    )
    logits = ("hazard_30d", "hazard_60d", "hazard_90d", "visit_30d", "return_90d", "spend_90d")
    amounts = ("spend_90d",)
    labels: tuple[str, ...] = ()
    service = "shopper"
    told = ""

    def examples(self, events: pl.DataFrame, calendar: Calendar, split: Split) -> pl.DataFrame:
        """One row per snapshot and customer with a purchase known before the snapshot at t.

        ``leave_90d`` is 1 without a purchase in [t, t + horizon), ``leave_60d`` and ``leave_30d``
        in its first two thirds and its first; ``purchase_30d`` is 1 - ``leave_30d``. ``visit_30d``
        is 1 with any behaviour of ``LOOKS`` or a purchase in the first third, ``return_90d`` with a
        return in the horizon, and ``spend_90d`` is the value of its purchases. A window that is
        open at the split's end has no label, and neither has what a shop did not record yet.
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
        asked = _asked(bought, moments)
        seen = end - pl.col("asked_at")
        soon, later, late = survival_labels(_wait(asked, bought), seen, horizon)
        return asked.select(
            "user_id",
            "asked_at",
            pl.lit(1.0).alias("weight"),
            late.alias("leave_90d"),
            (1.0 - soon).alias("purchase_30d"),
            later.alias("leave_60d"),
            soon.alias("leave_30d"),
            *_beside(asked, known, seen, horizon),
        )

    def head(self, width: int) -> nn.Module:
        """A small layer over the features: what it tells is not linear in them."""
        from training.models.retention import RetentionHead

        return RetentionHead(width, len(self.logits), len(self.amounts))

    def taught(self, label_BH: Tensor) -> Tensor:
        """Purchases in each interval that was waited for, and what who bought spent."""
        import torch

        spend_B1 = label_BH[:, 6:]
        spend_B1 = torch.where(spend_B1 > 0, spend_B1, torch.nan)
        return torch.cat([hazards_taught(label_BH[:, [3, 2, 0]]), label_BH[:, 4:6], spend_B1], 1)

    def answer(self, logit_BH: Tensor) -> Tensor:
        """Survival from the hazards, and spend: the chance to buy times what buying is worth."""
        import torch

        chance_BH = logit_BH[:, :NUM_CHANCES].sigmoid()
        soon, later, late = survival(chance_BH[:, :3]).unbind(dim=1)
        spend = (1.0 - late) * logit_BH[:, NUM_CHANCES].exp()
        visit, back = chance_BH[:, 3:].unbind(dim=1)
        return torch.stack([late, 1.0 - soon, later, soon, visit, back, spend], dim=1)

    def loss(self, output: Output, batch: Batch, columns: Columns = ALL) -> Tensor:
        """Negative log likelihood of the chances, in nats, and the distance of logs of spend."""
        logit_BH = output.logit_BH[:, columns.logits]
        taught_BH = self.taught(batch.label_BH[:, columns.heads])
        chances = slice(None, NUM_CHANCES)
        spent = amount_loss(logit_BH[:, NUM_CHANCES], taught_BH[:, NUM_CHANCES], batch.weight_B)
        return log_loss(logit_BH[:, chances], taught_BH[:, chances], batch.weight_B) + spent

    def metrics(
        self, scores: np.ndarray, labels: np.ndarray | Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Quality of answers `scores` ``(n, heads)`` for `labels`, NaN where there is none."""
        return head_metrics(self.heads, scores, labels, self.amounts)


def _asked(bought: pl.DataFrame, moments: Sequence[int]) -> pl.DataFrame:
    """Every moment with each customer whose first purchase was known before it, in their order."""
    import polars as pl

    from training.datasets.spine import first_known

    asked_at = pl.DataFrame({"asked_at": moments}, schema={"asked_at": pl.Int64})
    asked = first_known(bought).join(asked_at, how="cross")
    return asked.filter(pl.col("first_known_at") < pl.col("asked_at")).sort("asked_at", "user_id")


def _wait(asked: pl.DataFrame, bought: pl.DataFrame) -> pl.Series:
    """Microseconds until the next purchase, null where none is known."""
    import polars as pl

    following = asked.join_asof(
        bought.select("user_id", bought_at="event_at"),
        left_on="asked_at",
        right_on="bought_at",
        by="user_id",
        strategy="forward",
        check_sortedness=False,
    )
    return following.select(pl.col("bought_at") - pl.col("asked_at")).to_series()


def _beside(
    asked: pl.DataFrame, known: pl.DataFrame, seen: pl.Expr, horizon: int
) -> list[pl.Expr | pl.Series]:
    """Visits, returns and spend; null while the window is open or before the first of its kind."""
    import polars as pl

    from training.tasks.windows import happened, spent

    kind, soon = pl.col("kind"), ends(horizon)[0]
    priced = (kind == "purchase") & pl.col("price_micros").is_not_null()

    def told(values: pl.Series, window: int, first: pl.Expr) -> pl.Expr:
        since = known.filter(first)["event_at"].min()
        recorded = pl.lit(since, pl.Int64) <= pl.col("asked_at")
        return pl.when((seen >= window) & recorded).then(pl.lit(values)).alias(values.name)

    visits = happened(asked, known.filter(kind.is_in([*LOOKS, "purchase"])), soon)
    returns = happened(asked, known.filter(kind == "return"), horizon)
    spends = spent(asked, known.filter(kind == "purchase"), horizon)
    return [
        told(visits.alias("visit_30d"), soon, kind.is_in(LOOKS)),
        told(returns.alias("return_90d"), horizon, kind == "return"),
        told(spends.alias("spend_90d"), horizon, priced),
    ]
