"""Returns find the purchase they undo.

A return names a customer, an item and a quantity, but in many shops not the order. It is matched to
that customer's latest earlier purchase line of the item with enough pieces left, one of the same
price first; without one it stays a return without order. Next: ``importers.py``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

_FIELDS = (
    *("event_id", "kind", "user_id", "item_id", "event_at", "quantity", "price_micros"),
    "order_id",
)
_KEY = ["user_id", "item_id"]
Lookup = Callable[[list[str], list[str]], pl.DataFrame]


@dataclass(slots=True)
class _Line:
    """A purchase line and how many of its pieces are not returned yet."""

    event_id: str
    event_at: int | None
    price_micros: int | None
    order_id: str | None
    left: int

    def is_before(self, at: int | None) -> bool:
        """Whether what was bought then can come back at `at`."""
        return self.event_at is not None and at is not None and self.event_at <= at


_Lines = defaultdict[tuple[str, str], list[_Line]]


def match_returns(events: pl.DataFrame, earlier: Lookup | None = None) -> pl.DataFrame:
    """`events` with the order of each return replaced by that of its purchase, or null.

    Parameters
    ----------
    events
        In ``EVENT_SCHEMA``, in the order in which they are read.
    earlier
        Gives kept purchases and returns of some users and items, in the order of becoming known: a
        month's file may return what an earlier one sold. Asked for returning shoppers only.
    """
    returns = events.filter(kind="return").select(_KEY).drop_nulls().unique()
    if returns.is_empty():
        return events
    lines: _Lines = defaultdict(list)
    kept = pl.Series(dtype=pl.String)
    if earlier is not None:
        before = earlier(*(returns[name].unique().to_list() for name in _KEY))
        before = before.join(returns, on=_KEY, how="semi", maintain_order="left")
        kept = before["event_id"]
        # A kept return holds what it found: one without order took nothing then.
        _orders(
            before.filter((pl.col("kind") == "purchase") | pl.col("order_id").is_not_null()), lines
        )
    rows = events.with_row_index("row")
    new = (
        rows.join(returns, on=_KEY, how="semi", maintain_order="left")
        .filter(~pl.col("event_id").is_in(kept.implode()))
        .unique("event_id", keep="first", maintain_order=True)
    )
    found = new.select("row", found=pl.Series(_orders(new, lines), dtype=pl.String))
    order = pl.when(pl.col("kind") == "return").then("found").otherwise("order_id")
    joined = rows.join(found, on="row", how="left", maintain_order="left")
    return joined.with_columns(order_id=order).select(events.columns)


def _orders(events: pl.DataFrame, lines: _Lines) -> list[str | None]:
    """The order of each event; purchases add to `lines`, returns take from them."""
    orders = []
    for event_id, kind, user, item, at, quantity, price, order in events.select(
        _FIELDS
    ).iter_rows():
        if kind == "purchase":
            lines[user, item].append(_Line(event_id, at, price, order, quantity or 0))
        elif kind == "return":
            order = _take(lines.get((user, item), []), at, quantity or 0, price, order)
        orders.append(order)
    return orders


def _take(
    lines: list[_Line], at: int | None, quantity: int, price: int | None, named: str | None
) -> str | None:
    """The order of the line that the pieces come from; its pieces are taken off.

    When the return names the order of a purchase itself, that one is meant.
    """
    able = [line for line in lines if line.is_before(at) and line.left >= quantity]
    able = [line for line in able if line.order_id == named] or able
    if not able:
        return None
    line = max(able, key=lambda line: (line.price_micros == price, line.event_at, line.event_id))
    line.left -= quantity
    return line.order_id
