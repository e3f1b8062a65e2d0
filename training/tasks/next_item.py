"""What will this shopper buy next? One example per order, asked just before it.

The lines of an order share one moment and one target, the order's distinct items: what else lies
in a basket says nothing about what was asked before it. Next: ``retention.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from training.tasks.heads import Plain
from training.tasks.task import ALL, Columns

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from torch import Tensor, nn

    from training.datasets.spine import Calendar, Split
    from training.models.batch import Batch, Output


class NextItem(Plain):
    """A ranking of all items that existed, for the shopper's next order."""

    heads: tuple[str, ...] = ()
    service = "shopper"
    told = ""

    def examples(self, events: pl.DataFrame, calendar: Calendar, split: Split) -> pl.DataFrame:
        """One row per order in the split, of shoppers with an earlier behaviour.

        ``asked_at`` is the time of the order's first line, and features know what became known
        strictly before it. ``weight`` is 1 for every order: a long basket counts as one.
        """
        import polars as pl

        from training.datasets.spine import first_known, known_before

        start, end = calendar.window(split)
        known = known_before(events, end)
        orders = (
            known.filter((pl.col("kind") == "purchase") & pl.col("item_id").is_not_null())
            .group_by("user_id", pl.coalesce("order_id", "event_id").alias("order"))
            .agg(
                pl.col("event_at").min().alias("asked_at"),
                pl.col("item_id").unique().sort().alias("targets"),
            )
            .filter((pl.col("asked_at") >= (start or 0)) & (pl.col("asked_at") < end))
        )
        return (
            orders.join(first_known(known), on="user_id")
            .filter(pl.col("first_known_at") < pl.col("asked_at"))
            .sort("asked_at", "user_id", "order")
            .select("user_id", "asked_at", pl.lit(1.0).alias("weight"), "targets")
        )

    def head(self, width: int) -> nn.Module:
        """No head: items are scored by the network itself."""
        from torch import nn

        return nn.Identity()

    def loss(self, output: Output, batch: Batch, columns: Columns = ALL) -> Tensor:
        """Cross-entropy of a softmax over the items that existed, in nats per order.

        An order's loss is the mean over its items of -log p(item), so that an order of a hundred
        lines weighs as much as one of a single line. Where scores have a row for each position,
        each behaviour counts as an order of its own.
        """
        from training.models.softmax import cross_entropy

        target_T, at_T, example_T = batch.target_T, batch.target_row_T, batch.target_row_T
        if output.is_everywhere:
            target_T, at_T, example_T = _after_each(batch)
        asked_S, row_T, num_S = at_T.unique_consecutive(return_inverse=True, return_counts=True)
        share_T = batch.weight_B[example_T] / num_S[row_T] / max(len(asked_S), 1)
        return cross_entropy(output.scores.of(asked_S), target_T, row_T, share_T)

    def metrics(
        self, scores: np.ndarray, labels: np.ndarray | Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Ranking quality of `scores` ``(n, items)`` for baskets `labels` (n arrays of items)."""
        from training.metrics.ranking import ranking_metrics

        return ranking_metrics(scores, labels)


def _after_each(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Targets of every position, the positions (ascending), and the examples they belong to.

    A position's target is the item of the next behaviour; a history's last has the example's.
    """
    import torch

    from training.models.blocks import Blocks

    blocks = Blocks(batch.shapes)
    ahead_P = blocks.ahead(batch.item_P)
    example_P = blocks.spread(torch.arange(len(batch), device=ahead_P.device))
    is_last_P = (batch.kind_P > 0) & (blocks.ahead(batch.kind_P) == 0)
    last_B = example_P.new_full((len(batch),), -1)
    last_B[example_P[is_last_P]] = is_last_P.nonzero().squeeze(1)
    inner_T = ahead_P.nonzero().squeeze(1)
    is_known_T = last_B[batch.target_row_T] >= 0
    target_T = torch.cat([ahead_P[inner_T], batch.target_T[is_known_T]])
    at_T, order_T = torch.cat([inner_T, last_B[batch.target_row_T][is_known_T]]).sort(stable=True)
    return target_T[order_T], at_T, example_P[at_T]
