"""The page of ``demo_intervention.py``: profit, spend, verdict, and one shopper's story."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from demo_shop import ACTIONS, Decided, Shop
from feature_repo.settings import DAY, iso
from training.drawing import FLOOR_COLOURS, INK, MODEL_COLOUR, SECOND_COLOUR, svg
from training.pages import document, header, listing, section

KINDS = ("persuadable", "sure thing", "lost cause", "sleeping dog")
TOLD_KINDS = ("purchase", "return", "message", "treatment", "cart")


@dataclass(frozen=True)
class Chapter:
    """Days `first` to `last` (not included) of the story."""

    title: str
    first: int
    last: int


@dataclass(frozen=True)
class Told:
    """All that the page is made of."""

    shop: Shop
    chapters: Sequence[Chapter]
    budget: float
    verdict: str
    """What the command said."""
    seed: int

    def gained(self, name: str) -> np.ndarray:
        """Profit above leaving everybody alone, (days,), of the endpoint or of a twin."""
        books = self.shop.books if name == "Nudge" else self.shop.twins[name].books
        return np.array(books.profit) - np.array(self.shop.twins["nothing"].books.profit)


def write(path: Path, told: Told) -> Path:
    """Put the page at `path`."""
    num_days = len(told.shop.books.profit)
    facts = [
        f"{num_days} simulated days",
        f"{len(told.shop.decided):,} decisions and {told.shop.num_events:,} events over HTTP",
        f"{len(told.shop.customers):,} customers",
        f"budget {told.budget:g} a day",
        f"seed {told.seed}",
    ]
    parts = [
        header("Interventions: what they earned", facts),
        _cards(told),
        section("Profit above leaving everybody alone", _profit(told)),
        section("By policy, against the oracle", _policies(told)),
        section("Spend against the budget", _spend(told)),
        section("The experiment's verdict", _verdict(told)),
        section("One shopper's story", _story(told)),
    ]
    path.write_text(document("Interventions", parts), encoding="utf-8")
    return path


def _cards(told: Told) -> str:
    nudge, oracle = (float(told.gained(name).sum()) for name in ("Nudge", "oracle"))
    last = told.chapters[-1]
    rows = [one for one in told.shop.decided if one.day >= last.first]
    share = _true(rows).sum() / max(sum(told.shop.twins["oracle"].gains[last.first :]), 1e-9)
    spent = sum(told.shop.books.spent) / told.budget / len(told.shop.books.spent)
    most = max(told.shop.books.spent)
    days = f"by true chances, days {last.first + 1} to {last.last}"
    cards = (
        ("Earned above doing nothing", f"{nudge:+,.0f}", f"the oracle {oracle:+,.0f}", nudge > 0),
        ("Of the oracle's gain, at the end", f"{share:.0%}", days, share > 0),
        ("Of the budget spent", f"{spent:.0%}", f"{most:.2f} a day at most", most <= told.budget),
    )
    return f'<div class="cards">{"".join(_card(*card) for card in cards)}</div>'


def _card(title: str, big: str, small: str, good: bool) -> str:
    kind = "better" if good else "worse"
    return (
        f'<div class="card {kind}"><h3>{escape(title)}</h3>'
        f'<p class="big">{escape(big)}</p><p class="note">{escape(small)}</p></div>'
    )


def _profit(told: Told) -> str:
    def draw(axes: Axes) -> None:
        days = np.arange(len(told.shop.books.profit) + 1)
        for name, colour in (("oracle", INK), ("Nudge", MODEL_COLOUR)):
            line = np.append(0.0, np.cumsum(told.gained(name)))
            axes.plot(days, line, color=colour, lw=2)
            axes.annotate(name, (days[-1], line[-1]), xytext=(6, 0), textcoords="offset points",
                          color=colour, va="center")  # fmt: skip
        _chapters(axes, told)
        axes.axhline(0, color=FLOOR_COLOURS[0], lw=1)
        axes.set(xlabel="day", xlim=(0, days[-1] * 1.12))

    note = (
        "The same people, with the same luck, live in three shops: one that the endpoint decides "
        "about, one that leaves them alone (the line at 0), and one whose budgeted policy is told "
        "each shopper's true reaction, which no shop can know. An order is worth 10, a coupon "
        "takes 2.50 off, sending costs 0.10."
    )
    return f'<p class="note">{note}</p>' + svg(draw, "profit", 9.0, 3.4)


def _policies(told: Told) -> str:
    """True gain of a hundred decisions by policy and chapter, beside that of the oracle."""
    rows = []
    oracle = told.shop.twins["oracle"].gains
    for chapter in told.chapters:
        inside = [one for one in told.shop.decided if chapter.first <= one.day < chapter.last]
        best = 100 * sum(oracle[chapter.first : chapter.last]) / max(len(inside), 1)
        for policy in dict.fromkeys(one.policy for one in inside):
            own = [one for one in inside if one.policy == policy]
            gain = 100 * _true(own).mean()
            shares = [
                np.mean([one.action != ACTIONS[0] for one in own if one.kind == kind] or [0.0])
                for kind in KINDS
            ]
            cells = [f"{len(own):,}", f"{gain:+.1f}", f"{best:+.1f}", *(f"{s:.0%}" for s in shares)]
            rows.append((f"{chapter.title}: {policy}", cells))
    heads = ["decisions", "true gain of 100", "the oracle's", *(f"{k}s" for k in KINDS)]
    note = (
        "The true gain is what the chosen actions add to the week's profit on average, by the "
        "chances that the simulated shop draws from. The oracle spends the whole day's budget; an "
        "arm of an experiment shares it. Last, whom each acted on, by what they really are."
    )
    return f'<p class="note">{note}</p>' + _table(["", *heads], rows)


def _spend(told: Told) -> str:
    def draw(axes: Axes) -> None:
        spent = told.shop.books.spent
        axes.bar(np.arange(1, len(spent) + 1), spent, color=SECOND_COLOUR, width=0.7)
        axes.axhline(told.budget, color=INK, lw=1)
        axes.annotate("budget", (len(spent) + 0.6, told.budget), color=INK, va="center")
        axes.set(xlabel="day", ylabel="reserved", xlim=(0, len(spent) * 1.12))

    return svg(draw, "spend", 9.0, 2.6)


def _verdict(told: Told) -> str:
    lines = [line.strip() for line in told.verdict.splitlines() if line.strip()]
    return listing(lines)


def _story(told: Told) -> str:
    user = _somebody(told.shop)
    own = [one for one in told.shop.decided if one.user == user]
    note = f"{user}, in truth a {own[0].kind}; what the endpoint said is in bold."
    rows = sorted(_moments(told, user, own))
    return f'<p class="note">{escape(note)}</p>' + _table(
        ["when", "what", "why, or what it was"], [(when, cells) for when, *cells in rows], left=True
    )


def _somebody(shop: Shop) -> str:
    """Of those who were acted on and bought after it, the one with most to tell."""
    acted = {one.decision_id: one.user for one in shop.decided if one.action != ACTIONS[0]}
    events = pl.concat(shop.events)
    answered = events.filter(pl.col("kind") == "purchase", pl.col("decision_id").is_in(list(acted)))
    pool = (
        answered
        if answered.height
        else events.filter(pl.col("user_id").is_in(list(acted.values())))
    )
    pool = pool if pool.height else events
    told = {one.user for one in shop.decided}
    counts = pool.filter(pl.col("user_id").is_in(list(told))).group_by("user_id").len()
    return str(counts.sort("len", "user_id", descending=[True, False])["user_id"][0])


def _moments(told: Told, user: str, own: list[Decided]) -> Iterator[tuple[str, str, str]]:
    start = told.shop.world.start_at + told.shop.first_day * DAY
    for one in own:
        at = iso(start + one.day * DAY + 4 * 3_600_000_000)[:16].replace("T", " ")
        yield at, f"<b>{escape(one.action)}</b>", escape(one.reason)
    events = pl.concat(told.shop.events).filter(user_id=user)
    for row in events.filter(pl.col("kind").is_in(TOLD_KINDS)).iter_rows(named=True):
        if row["kind"] != "treatment":
            at = iso(row["event_at"])[:16].replace("T", " ")
            price = "" if row["price_micros"] is None else f" for {row['price_micros'] / 1e6:.2f}"
            yield at, escape(row["kind"]), escape(f"{row['text'] or ''}{price}")


def _chapters(axes: Axes, told: Told) -> None:
    for chapter in told.chapters:
        if chapter.first:
            axes.axvline(chapter.first, color="#d5d9e0", lw=1, ls="--")
        axes.annotate(chapter.title, (chapter.first, 1.0), xycoords=("data", "axes fraction"),
                      xytext=(4, -2), textcoords="offset points", va="top",
                      color="#6b7280")  # fmt: skip


def _true(rows: Sequence[Decided]) -> np.ndarray:
    """True gain (n,) of what was done."""
    return np.array([one.gains[ACTIONS.index(one.action)] for one in rows] or [0.0])


def _table(
    heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], left: bool = False
) -> str:
    style = ' style="text-align:left;white-space:normal"' if left else ""
    head = "".join(f"<th{style}>{escape(name)}</th>" for name in heads)
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td{style}>{cell}</td>' for cell in cells)}</tr>"
        for name, cells in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'
