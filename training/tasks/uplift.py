"""What would each action change? Every decision of the past is an example of the action it took.

The heads are called ``OUTCOME@ACTION``: the chance of the outcome if that is done, which is what
``uplift_budget`` reads. A row teaches the head of what was done with it, and the backbone is shared
(TARNet: Shalit, Johansson and Sontag, 2017). Next: ``../policies/budgeted.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.tasks.heads import amount_loss, head_metrics, log_loss
from training.tasks.task import ALL, Columns

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor, nn

    from training.datasets.spine import Calendar, Split
    from training.models.batch import Batch, Output

DAY = 86_400_000_000
WEEK, MONTH = 7 * DAY, 28 * DAY
FLOOR = 0.05
"""Least chance that learning believes: what is rare must not outweigh what is learnt."""
ACTIONS = ("nothing", "reminder", "coupon")
VISITS = ("impression", "view", "cart", "purchase")
CHANCES, AMOUNTS = ("purchase_7d", "visit_7d", "leave_28d"), ("spend_7d",)


def _under(outcomes: Sequence[str]) -> tuple[str, ...]:
    """Each outcome under each action."""
    return tuple(f"{outcome}@{action}" for outcome in outcomes for action in ACTIONS)


@dataclass(frozen=True)
class Uplift:
    """Purchase, visit and spend in the week after each action, and leaving: four weeks without a
    purchase.

    Spend is the chance of a purchase times what a purchase is worth; profit is a share of it.
    """

    decisions: pl.DataFrame | None = None
    """``user_id``, ``asked_at``, ``action`` and the ``propensity`` it was drawn with; None: of
    nobody, so that there is nothing to learn from."""
    heads: tuple[str, ...] = _under((*CHANCES, *AMOUNTS))
    amounts: tuple[str, ...] = _under(AMOUNTS)
    labels: tuple[str, ...] = ()
    service: str = "shopper"

    @property
    def logits(self) -> tuple[str, ...]:
        """The heads themselves; an amount's is the log of what those spend who buy."""
        return self.heads

    @property
    def told(self) -> str:
        """Which decisions it knows."""
        if self.decisions is None:
            return ""
        from training.datasets.decided import SCHEMA

        rows = self.decisions.select(*SCHEMA).write_csv()
        return hashlib.sha256(rows.encode()).hexdigest()[:16]

    def examples(self, events: pl.DataFrame, calendar: Calendar, split: Split) -> pl.DataFrame:
        """One row per decision about a known shopper whose week closes inside the split.

        ``weight`` is 1 / (actions x propensity), so that each action weighs alike and all x are
        seen as often under each. Labels of what was not done are null, and those of leaving where
        the four weeks do not close inside the split.
        """
        import polars as pl

        from training.datasets.decided import SCHEMA
        from training.datasets.spine import first_known, known_before

        start, end = calendar.window(split)
        known = known_before(events, end)
        asked = pl.DataFrame(schema=SCHEMA) if self.decisions is None else self.decisions
        asked = (
            asked.select(*SCHEMA)
            .filter(
                pl.col("action").is_in(ACTIONS)
                & (pl.col("asked_at") >= (start or 0))
                & (pl.col("asked_at") + WEEK <= end)
            )
            .join(first_known(known), on="user_id")
            .filter(pl.col("first_known_at") < pl.col("asked_at"))
            .sort("asked_at", "user_id")
        )
        labels = [
            pl.when(pl.col("action") == action).then(came).alias(f"{outcome}@{action}")
            for outcome, came in _came(asked, known, end).items()
            for action in ACTIONS
        ]
        chance = pl.col("propensity").clip(FLOOR, 1.0)
        weight = (1.0 / (len(ACTIONS) * chance)).alias("weight")
        return asked.select("user_id", "asked_at", weight, *labels)

    def head(self, width: int) -> nn.Module:
        """Chances under nothing, and what each action adds to their logits: none at first."""
        from training.models.effects import EffectHead

        return EffectHead(width, len(CHANCES), len(AMOUNTS), len(ACTIONS))

    def taught(self, label_BH: Tensor) -> Tensor:
        """The labels; a spend of nothing says nothing of what those spend who buy."""
        import torch

        chance_BH, spend_BA = label_BH.split([len(_under(CHANCES)), len(self.amounts)], dim=1)
        return torch.cat([chance_BH, torch.where(spend_BA > 0, spend_BA, torch.nan)], dim=1)

    def answer(self, logit_BH: Tensor) -> Tensor:
        """Chances, and spend: the chance of a purchase times what a purchase is worth."""
        import torch

        logit_BH, log_BA = logit_BH.split([len(_under(CHANCES)), len(self.amounts)], dim=1)
        chance_BH = logit_BH.sigmoid()
        return torch.cat([chance_BH, chance_BH[:, : len(ACTIONS)] * log_BA.exp()], dim=1)

    def loss(self, output: Output, batch: Batch, columns: Columns = ALL) -> Tensor:
        """Log loss of the heads of what was done, in nats, and the distance of logs of spend."""
        logit_BH = output.logit_BH[:, columns.logits]
        taught_BH = self.taught(batch.label_BH[:, columns.heads])
        num = len(_under(CHANCES))
        loss = log_loss(logit_BH[:, :num], taught_BH[:, :num], batch.weight_B)
        spend_BA = taught_BH[:, num:]
        done_BA = ~spend_BA.isnan()
        row_T = done_BA.nonzero()[:, 0]
        told = (logit_BH[:, num:][done_BA], spend_BA[done_BA], batch.weight_B[row_T])
        return loss + amount_loss(*told)

    def metrics(
        self, scores: np.ndarray, labels: np.ndarray | Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Quality of answers `scores` ``(n, heads)`` for `labels`, NaN where there is none."""
        return head_metrics(self.heads, scores, labels, self.amounts)


def _came(asked: pl.DataFrame, known: pl.DataFrame, end: int) -> dict[str, pl.Expr]:
    """What came after each decision, by outcome; null for a leaving not told by `end`."""
    import polars as pl

    from training.tasks.windows import happened, spent

    bought = known.filter(pl.col("kind") == "purchase")
    stayed = pl.lit(happened(asked, bought, MONTH))
    return {
        "purchase_7d": pl.lit(happened(asked, bought, WEEK)),
        "visit_7d": pl.lit(happened(asked, known.filter(pl.col("kind").is_in(VISITS)), WEEK)),
        "leave_28d": pl.when(pl.col("asked_at") + MONTH <= end).then(1.0 - stayed),
        "spend_7d": pl.lit(spent(asked, bought, WEEK)),
    }
