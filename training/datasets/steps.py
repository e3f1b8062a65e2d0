"""Events become steps, and steps what came next after a moment.

A step is one kind of behaviour at one moment: a purchase's lines are one step, at the first of
them. Next: ``../tasks/next_actions.py``.
"""

from __future__ import annotations

import polars as pl

from training.metrics.steps import KINDS, LEAVE, NUM_STEPS, OUTCOMES

DAY = 86_400_000_000


def steps(known: pl.DataFrame) -> pl.DataFrame:
    """Steps of all shoppers in their order: ``user_id``, ``step_at``, ``kind``, ``category``.

    The category of a step of several items is the commonest, of equals the lowest number.
    """
    category = pl.col("category") if "category" in known.columns else pl.lit(None, pl.Int64)
    order = pl.when(pl.col("kind") == "purchase").then("order_id")
    return (
        known.filter(pl.col("kind").is_in(KINDS))
        .with_columns(
            category.alias("category"),
            pl.col("kind").replace_strict(list(OUTCOMES), range(len(OUTCOMES))).alias("kind"),
            pl.coalesce(order, pl.col("event_at").cast(pl.String)).alias("moment"),
        )
        .group_by("user_id", "kind", "moment")
        .agg(
            pl.col("event_at").min().alias("step_at"),
            pl.col("category").drop_nulls().mode().min(),
        )
        .sort("user_id", "step_at", "kind", "moment")
    )


def following(asked: pl.DataFrame, known: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """`asked` (``user_id``, ``asked_at``) with the next steps of each shopper within `horizon`.

    Adds the columns of ``STEP_LABELS``: ``kind_1`` … is a place in ``OUTCOMES``, LEAVE from where
    there are no more steps; ``days_1`` … and ``category_1`` … are null there.
    """
    numbered = steps(known).with_columns(place=pl.int_range(pl.len()).over("user_id"))
    first = asked.join_asof(
        numbered.group_by("user_id", "step_at").agg(pl.col("place").min()).sort("step_at"),
        left_on="asked_at",
        right_on="step_at",
        by="user_id",
        strategy="forward",
        check_sortedness=False,
    ).drop("step_at")
    for number in range(1, NUM_STEPS + 1):
        step = numbered.select(
            "user_id",
            (pl.col("place") - (number - 1)).alias("place"),
            "step_at",
            pl.col("kind").alias("done"),
            "category",
        )
        wait = pl.col("step_at") - pl.col("asked_at")
        inside = (wait < horizon).fill_null(False)
        first = first.join(step, on=["user_id", "place"], how="left").with_columns(
            pl.when(inside).then("done").otherwise(LEAVE).cast(pl.Float64).alias(f"kind_{number}"),
            pl.when(inside).then(wait / DAY).alias(f"days_{number}"),
            pl.when(inside).then("category").cast(pl.Float64).alias(f"category_{number}"),
        ).drop("step_at", "done", "category")  # fmt: skip
    return first
