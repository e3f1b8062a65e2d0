"""What will this shopper do next, when, and with what? The next steps, each with its chances.

Asked at the weekly snapshots of ``retention.py`` about everyone who ever did anything. A step is
one kind of behaviour at one moment: an order's lines are one step. Who does nothing more before the
horizon closes leaves, and to leave is the last step. Next: ``../models/future.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.metrics.steps import ASKED, LEAVE, NUM_STEPS, OUTCOMES, STEP_LABELS
from training.tasks.heads import Plain
from training.tasks.task import ALL, Columns

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor, nn

    from training.datasets.spine import Calendar, Split
    from training.models.batch import Batch, Output
    from training.models.future import Future

DAY = 86_400_000_000
SIDE_WEIGHT = 0.3
"""Of when and which category beside the kinds, whose loss is the task's own."""


class NextActions(Plain):
    """The next five steps: chances of each kind and of leaving, days to it, and its category."""

    heads: tuple[str, ...] = ()
    labels: tuple[str, ...] = STEP_LABELS
    service = "shopper"
    told = ""

    def examples(self, events: pl.DataFrame, calendar: Calendar, split: Split) -> pl.DataFrame:
        """One row per snapshot and shopper with a behaviour known before the snapshot at t.

        ``kind_1`` … are places in ``OUTCOMES`` of the steps in [t, t + horizon), and LEAVE from
        where there are no more; ``days_1`` … their days after t and ``category_1`` … their
        categories' numbers, null where unknown or left. A snapshot whose horizon is not over when
        the split ends is left out: what is not known yet is never taken for leaving.
        """
        import polars as pl

        from training.datasets.spine import first_known, known_before
        from training.datasets.steps import following

        _, end = calendar.window(split)
        known = known_before(events, end)
        first_at: int | None = known["event_at"].min()  # type: ignore[assignment]
        moments = calendar.snapshots(split, end if first_at is None else first_at)
        horizon = calendar.horizon_days * DAY
        assert all(moment + horizon <= end for moment in moments), "label windows are closed"
        asked = first_known(known).join(
            pl.DataFrame({"asked_at": moments}, schema={"asked_at": pl.Int64}), how="cross"
        )
        asked = asked.filter(pl.col("first_known_at") < pl.col("asked_at")).sort("asked_at")
        found = following(asked, known, horizon)
        return found.sort("asked_at", "user_id").select(
            "user_id", "asked_at", pl.lit(1.0).alias("weight"), *self.labels
        )

    def head(self, width: int) -> nn.Module:
        """A decoder of the next steps."""
        from training.models.config import MAX_CATEGORIES
        from training.models.future import FutureDecoder

        return FutureDecoder(
            width,
            num_steps=NUM_STEPS,
            num_outcomes=len(OUTCOMES),
            num_categories=MAX_CATEGORIES,
        )

    def loss(self, output: Output, batch: Batch, columns: Columns = ALL) -> Tensor:
        """-Σ_t log ŷ_t in nats per shopper, beside it 0.3 times that of when and of which category.

        ŷ_t is the chance of what was done at step t, given the steps before it as they were
        (teacher forcing: Williams and Zipser, 1989), so that the sum is -log of the chance of the
        whole sequence. After leaving nothing is left to be wrong about. Days lose
        |log(1 + foreseen) - log(1 + real)|, whose best answer is the median.
        """
        label_BX = batch.label_BH[:, columns.labels]
        asked = ~label_BX[:, 0].isnan()
        if output.future is None or not asked.any():
            return label_BX.new_zeros(())
        future = type(output.future)(*(part[asked] for part in output.future))
        kind_BU, days_BU, category_BU = label_BX[asked].unflatten(1, (len(ASKED), -1)).unbind(1)
        loss_B = -log_likelihood(future, kind_BU)
        loss_B = loss_B + SIDE_WEIGHT * _side_loss(future, days_BU, category_BU)
        return (loss_B * batch.weight_B[asked]).mean()

    def metrics(
        self, scores: np.ndarray, labels: np.ndarray | Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Quality of chances `scores` ``(n, steps, outcomes)`` for places in ``OUTCOMES``
        ``(n, steps)``, by step."""
        import numpy as np

        from training.metrics.steps import step_metrics

        return step_metrics(scores, np.asarray(labels))


def log_likelihood(future: Future, kind_BU: Tensor) -> Tensor:
    """Σ_t log ŷ_t (B,) of the steps `kind_BU` (places in ``OUTCOMES``), each given the one before.

    A step after leaving adds nothing.
    """
    import torch

    kind_BU = kind_BU.long()
    start_B1 = torch.zeros_like(kind_BU[:, :1])
    before_BU = torch.cat([start_B1, kind_BU[:, :-1] + 1], dim=1)
    has_left_BU = before_BU > LEAVE
    row_B1 = torch.arange(len(kind_BU), device=kind_BU.device).unsqueeze(1)
    step_U = torch.arange(kind_BU.shape[1], device=kind_BU.device)
    log_BU = future.log_step_BUJO[row_B1, step_U, before_BU.clamp(max=LEAVE), kind_BU]
    return log_BU.masked_fill(has_left_BU, 0.0).sum(dim=1)


def _side_loss(future: Future, days_BU: Tensor, category_BU: Tensor) -> Tensor:
    """Loss (B,) of when and of which category, of the steps where they are known."""
    from torch.nn import functional as F

    late_BU = (future.days_BU.log1p() - days_BU.nan_to_num().log1p()).abs()
    known_BU = ~category_BU.isnan()
    category_B = F.cross_entropy(
        future.category_BUC.flatten(0, 1),
        category_BU.nan_to_num().long().flatten(),
        reduction="none",
    ).view_as(category_BU)
    return (late_BU * ~days_BU.isnan()).sum(dim=1) + (category_B * known_BU).sum(dim=1)
