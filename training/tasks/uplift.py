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

from training.tasks.heads import Plain, head_metrics, log_loss
from training.tasks.task import ALL, Columns

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor, nn

    from training.datasets.spine import Calendar, Split
    from training.models.batch import Batch, Output

DAY = 86_400_000_000
WINDOW_DAYS = 7
FLOOR = 0.05
"""Least chance that learning believes: what is rare must not outweigh what is learnt."""
ACTIONS = ("nothing", "reminder", "coupon")
OUTCOMES = {"purchase_7d": ("purchase",), "visit_7d": ("impression", "view", "cart", "purchase")}
"""Kinds of behaviour of which one within the window makes the outcome true."""


@dataclass(frozen=True)
class Uplift(Plain):
    """Chances of a purchase and of a visit in the week after each action."""

    decisions: pl.DataFrame | None = None
    """``user_id``, ``asked_at``, ``action`` and the ``propensity`` it was drawn with; None: of
    nobody, so that there is nothing to learn from."""
    heads: tuple[str, ...] = tuple(f"{outcome}@{action}" for outcome in OUTCOMES
                                   for action in ACTIONS)  # fmt: skip
    service: str = "shopper"

    @property
    def told(self) -> str:
        """Which decisions it knows."""
        if self.decisions is None:
            return ""
        from training.datasets.decided import SCHEMA

        rows = self.decisions.select(*SCHEMA).write_csv()
        return hashlib.sha256(rows.encode()).hexdigest()[:16]

    def examples(self, events: pl.DataFrame, calendar: Calendar, split: Split) -> pl.DataFrame:
        """One row per decision about a known shopper whose window closes inside the split.

        ``weight`` is 1 / (actions x propensity), so that each action weighs alike and all x are
        seen as often under each. Labels of what was not done are null.
        """
        import polars as pl

        from training.datasets.decided import SCHEMA
        from training.datasets.spine import first_known, known_before
        from training.tasks.windows import happened

        start, end = calendar.window(split)
        known = known_before(events, end)
        window = WINDOW_DAYS * DAY
        asked = pl.DataFrame(schema=SCHEMA) if self.decisions is None else self.decisions
        asked = (
            asked.select(*SCHEMA)
            .filter(
                pl.col("action").is_in(ACTIONS)
                & (pl.col("asked_at") >= (start or 0))
                & (pl.col("asked_at") + window <= end)
            )
            .join(first_known(known), on="user_id")
            .filter(pl.col("first_known_at") < pl.col("asked_at"))
            .sort("asked_at", "user_id")
        )
        labels = []
        for outcome, kinds in OUTCOMES.items():
            came = happened(asked, known.filter(pl.col("kind").is_in(kinds)), window)
            labels += [
                pl.when(pl.col("action") == action).then(came).alias(f"{outcome}@{action}")
                for action in ACTIONS
            ]
        chance = pl.col("propensity").clip(FLOOR, 1.0)
        weight = (1.0 / (len(ACTIONS) * chance)).alias("weight")
        return asked.select("user_id", "asked_at", weight, *labels)

    def head(self, width: int) -> nn.Module:
        """Chances under nothing, and what each action adds to their logits: none at first."""
        from training.models.effects import EffectHead

        return EffectHead(width, len(OUTCOMES), len(ACTIONS))

    def loss(self, output: Output, batch: Batch, columns: Columns = ALL) -> Tensor:
        """Log loss of the heads of what was done, in nats, summed over outcomes."""
        logit_BH, label_BH = output.logit_BH[:, columns.logits], batch.label_BH[:, columns.heads]
        return log_loss(logit_BH, label_BH, batch.weight_B)

    def metrics(
        self, scores: np.ndarray, labels: np.ndarray | Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Quality of probabilities `scores` ``(n, heads)`` for `labels` of 0, 1 and NaN."""
        return head_metrics(self.heads, scores, labels)
