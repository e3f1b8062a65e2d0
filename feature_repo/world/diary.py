"""A day of the simulated shop as it is written down: rows of numbers first, events at the end.

Next: ``truth.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from feature_repo.events import EVENT_SCHEMA

NONE = -1


class Diary:
    """Collects the events of one day, block by block, and turns them into one frame."""

    def __init__(self) -> None:
        self._blocks: list[dict[str, np.ndarray]] = []

    def write(
        self,
        kind: str,
        user: np.ndarray,
        at: np.ndarray,
        *,
        item: np.ndarray | None = None,
        order_day: np.ndarray | None = None,
        quantity: np.ndarray | None = None,
        price_micros: np.ndarray | None = None,
        text: Sequence[str] | None = None,
    ) -> None:
        """Add n events of one kind; users and items by index, times in microseconds.

        `order_day` names the order by the day it was placed; `text` replaces the item's text.
        """
        n, numbers = len(user), {"item": item, "order_day": order_day}
        numbers |= {"quantity": quantity, "price_micros": price_micros}
        if n:
            block = {name: _or_none(column, n) for name, column in numbers.items()}
            block |= {"user": user, "at": at, "kind": np.full(n, kind)}
            block["said"] = np.array([None] * n if text is None else list(text), dtype=object)
            self._blocks.append(block)

    def seen(self, num_shoppers: int, kinds: Sequence[str]) -> np.ndarray:
        """Who (N,) did anything of these `kinds` today."""
        present = np.zeros(num_shoppers, dtype=bool)
        for block in self._blocks:
            if block["kind"][0] in kinds:
                present[block["user"]] = True
        return present

    def frame(
        self,
        *,
        prefix: str,
        texts: Sequence[str],
        decisions: Sequence[str | None],
        currency: str,
    ) -> pl.DataFrame:
        """The day's events in order of time, `events.EVENT_SCHEMA`; ids are `prefix` + number."""
        if not self._blocks:
            return pl.DataFrame(schema=EVENT_SCHEMA)
        columns = {
            name: np.concatenate([block[name] for block in self._blocks])
            for name in self._blocks[0]
        }
        order = np.argsort(columns["at"], kind="stable")
        rows = pl.DataFrame(
            {
                name: pl.Series(column[order].tolist(), dtype=pl.String)
                if name in ("kind", "said")
                else column[order].astype(np.int64)
                for name, column in columns.items()
            }
        )
        named = pl.Series([*texts, None], dtype=pl.String)
        cited = pl.Series([*decisions, None], dtype=pl.String)
        rows = rows.with_row_index("number").with_columns(
            named.gather(np.where(rows["item"] < 0, len(texts), rows["item"])).alias("named"),
            cited.gather(rows["user"]).alias("cited"),
        )
        return rows.select(_event_columns(prefix, currency)).cast(pl.Schema(EVENT_SCHEMA))


def user_id(index: int) -> str:
    """The name of a shopper in events."""
    return f"shopper-{index:05d}"


def _event_columns(prefix: str, currency: str) -> list[pl.Expr]:
    """From a diary's numbers to the columns of `events.EVENT_SCHEMA`, in its order."""

    def digits(column: str, width: int) -> pl.Expr:
        return pl.col(column).cast(pl.String).str.zfill(width)

    def given(column: str) -> pl.Expr:
        return pl.when(pl.col(column) >= 0).then(column)

    priced = pl.when(pl.col("price_micros") >= 0)
    return [
        (pl.lit(prefix) + digits("number", 6)).alias("event_id"),
        pl.col("kind"),
        (pl.lit("shopper-") + digits("user", 5)).alias("user_id"),
        pl.col("at").alias("event_at"),
        pl.col("at").alias("received_at"),
        pl.when(pl.col("item") >= 0).then(pl.lit("item-") + digits("item", 5)).alias("item_id"),
        pl.when(pl.col("order_day") >= 0)
        .then(pl.lit("order-") + digits("order_day", 5) + "-" + digits("user", 5))
        .alias("order_id"),
        given("quantity").alias("quantity"),
        given("price_micros").alias("price_micros"),
        priced.then(pl.lit(currency)).alias("currency"),
        given("price_micros").alias("original_price_micros"),
        pl.coalesce("said", "named").alias("text"),
        pl.when(pl.col("kind") != "impression").then("cited").alias("decision_id"),
    ]


def _or_none(column: np.ndarray | None, n: int) -> np.ndarray:
    """A column of numbers, NONE everywhere when it does not apply."""
    return np.full(n, NONE) if column is None else column
