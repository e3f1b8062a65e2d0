"""What each exposed shopper did within the window after the first exposure, and before it.

Next: ``questions.py`` for how these become metrics.
"""

from __future__ import annotations

import polars as pl

from feature_repo.experiments import Experiment
from feature_repo.settings import DAY

MICROS = 1_000_000
VISITS = ("view", "click", "cart", "search", "purchase")


def outcomes(
    exposed: pl.DataFrame,
    events: pl.DataFrame,
    costs: pl.DataFrame,
    experiment: Experiment,
    now: int,
) -> pl.DataFrame:
    """One row for each shopper whose window has closed by `now`, in order of exposure.

    Parameters
    ----------
    exposed
        user_id, arm, exposed_at (microseconds).
    events
        In ``EVENT_SCHEMA``; those of others than the exposed don't matter.
    costs
        user_id, reserved_at, cost_micros: what actions reserved.

    What happened at the very moment of the exposure led to it, and is no outcome.

    The columns, money in the base currency: user_id, arm, exposed_at; visited and purchased (0 or
    1), orders, messages, spent, returned, cost, profit = margin · (spent - returned) - cost; and
    `before`, what was spent within ``before_days`` before the exposure.
    """
    window = round(experiment.window_days * DAY)
    closed = exposed.filter(pl.col("exposed_at") + window <= now)
    since = pl.col("event_at") - pl.col("exposed_at")
    near = closed.join(events, on="user_id").filter(
        (since >= -round(experiment.before_days * DAY)) & (since < window)
    )
    value = pl.col("price_micros").fill_null(0) * pl.col("quantity").fill_null(1) / MICROS
    after, bought = since > 0, pl.col("kind") == "purchase"
    counted = near.group_by("user_id").agg(
        visited=(after & pl.col("kind").is_in(VISITS)).any(),
        purchased=(after & bought).any(),
        orders=pl.coalesce("order_id", "event_id").filter(after & bought).n_unique(),
        messages=(after & (pl.col("kind") == "message")).sum(),
        spent=value.filter(after & bought).sum(),
        returned=value.filter(after & (pl.col("kind") == "return")).sum(),
        before=value.filter((since < 0) & bought).sum(),
    )
    paid = closed.join(costs, on="user_id").filter(
        pl.col("reserved_at").is_between(
            pl.col("exposed_at"), pl.col("exposed_at") + window, closed="left"
        )
    )
    spent_on = paid.group_by("user_id").agg(cost=pl.col("cost_micros").sum() / MICROS)
    table = closed.join(counted, on="user_id", how="left", maintain_order="left")
    table = table.join(spent_on, on="user_id", how="left", maintain_order="left")
    numbers = pl.exclude("user_id", "arm", "exposed_at").cast(pl.Float64).fill_null(0.0)
    profit = experiment.margin * (pl.col("spent") - pl.col("returned")) - pl.col("cost")
    return table.with_columns(numbers).with_columns(profit=profit)
