"""One shopper's story as a table of the page, and how tables look. First: ``demo_page.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import polars as pl

from demo_shop import Decided, Shop
from demo_twins import ACTIONS
from feature_repo.settings import DAY, iso

TOLD_KINDS = ("purchase", "return", "message", "cart", "search")


def story(shop: Shop) -> str:
    """What was decided about one shopper and why, and what that shopper did."""
    user = _somebody(shop)
    own = [one for one in shop.decided if one.user == user]
    note = f"{user}, in truth a {own[0].kind}; what the endpoint said is in bold."
    rows = sorted(_moments(shop, user, own))
    return f'<p class="note">{escape(note)}</p>' + table(
        ["when", "what", "why, or what it was"], [(when, cells) for when, *cells in rows], left=True
    )


def _somebody(shop: Shop) -> str:
    """Of those who were acted on and bought after it, the one with most to tell."""
    acted = {one.decision_id: one.user for one in shop.decided if one.action != ACTIONS[0]}
    events = pl.concat(shop.events)
    answered = events.filter(pl.col("kind") == "purchase", pl.col("decision_id").is_in(list(acted)))
    on_them = events.filter(pl.col("user_id").is_in(list(acted.values())))
    pool = next(some for some in (answered, on_them, events) if some.height)
    told = {one.user for one in shop.decided}
    counts = pool.filter(pl.col("user_id").is_in(list(told))).group_by("user_id").len()
    return str(counts.sort("len", "user_id", descending=[True, False])["user_id"][0])


def _moments(shop: Shop, user: str, own: list[Decided]) -> Iterator[tuple[str, str, str]]:
    start = shop.world.start_at + shop.first_day * DAY
    for one in own:
        at = iso(start + one.day * DAY + 4 * 3_600_000_000)[:16].replace("T", " ")
        yield at, f"<b>{escape(one.action)}</b>", escape(one.reason)
    events = pl.concat(shop.events).filter(pl.col("user_id") == user)
    happened = events.filter(pl.col("kind").is_in(TOLD_KINDS)).group_by("kind", "event_at")
    for row in happened.agg("text", "price_micros", "quantity").iter_rows(named=True):
        at = iso(row["event_at"])[:16].replace("T", " ")
        paid = sum(
            p * q for p, q in zip(row["price_micros"], row["quantity"], strict=True) if p and q
        )
        price = f" ({paid / 1e6:.2f})" if paid else ""
        yield at, escape(row["kind"]), escape(", ".join(t or "" for t in row["text"]) + price)


def table(
    heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], left: bool = False
) -> str:
    """Rows under `heads`, each with its name; cells are HTML."""
    style = ' style="text-align:left;white-space:normal"' if left else ""
    head = "".join(f"<th{style}>{escape(name)}</th>" for name in heads)
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td{style}>{cell}</td>' for cell in cells)}</tr>"
        for name, cells in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'
