"""The page of ``demo_intervention.py``: profit, spend, verdict, and one shopper's story."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from demo_shop import Decided, Shop
from demo_story import story, table
from demo_twins import ACTIONS, COSTS, MARGIN
from feature_repo.settings import iso
from serving.settings import Promotion
from training.drawing import FLOOR_COLOURS, INK, MODEL_COLOUR, SECOND_COLOUR, svg
from training.pages import card, cards, document, header, listing, section

KINDS = ("persuadable", "sure thing", "lost cause", "sleeping dog")


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
    verdict: str
    """What `experiment analyse` said; empty where no experiment began."""
    home: Path
    """Where the shop keeps what it learnt and promoted."""

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
        f"seed {told.shop.world.seed}",
    ]
    parts = [
        header("Interventions: what they earned", facts),
        _cards(told),
        section("Profit above leaving everybody alone", _profit(told)),
        section("By policy, against the oracle", _policies(told)),
        section("Spend against the budget", _spend(told)),
        section("The verdict", _verdict(told)),
        section("One shopper's story", story(told.shop)),
    ]
    path.write_text(document("Interventions", parts), encoding="utf-8")
    return path


def _cards(told: Told) -> str:
    names = ("Nudge", "oracle", "by chance")
    nudge, oracle, chance = (float(told.gained(name).sum()) for name in names)
    last = told.chapters[-1]
    rows = [one for one in told.shop.decided if one.day >= last.first]
    share = _true(rows).sum() / max(sum(told.shop.twins["oracle"].gains[last.first :]), 1e-9)
    books = told.shop.books
    spent = sum(books.spent) / sum(books.budgets)
    kept = all(s <= b + 1e-6 for s, b in zip(books.spent, books.budgets, strict=True))
    days = f"by true chances, days {last.first + 1} to {last.last}"
    earned = f"coupons by chance {chance:+,.0f}, the oracle {oracle:+,.0f}"
    held = "on no day more than it" if kept else "too much"
    return cards(
        (
            card("Earned above doing nothing", f"{nudge:+,.0f}", earned, _mood(nudge > 0)),
            card("Of the oracle's gain, at the end", f"{share:.0%}", days, _mood(share > 0)),
            card("Of the budget spent", f"{spent:.0%}", held, _mood(kept)),
        )
    )


def _mood(good: bool) -> str:
    return "better" if good else "worse"


def _profit(told: Told) -> str:
    def draw(axes: Axes) -> None:
        days = np.arange(len(told.shop.books.profit) + 1)
        colours = {"oracle": INK, "Nudge": MODEL_COLOUR, "by chance": FLOOR_COLOURS[1]}
        for name, colour in colours.items():
            line = np.append(0.0, np.cumsum(told.gained(name)))
            axes.plot(days, line, color=colour, lw=2)
            axes.annotate(name, (days[-1], line[-1]), xytext=(6, 0), textcoords="offset points",
                          color=colour, va="center")  # fmt: skip
        _chapters(axes, told)
        axes.axhline(0, color=FLOOR_COLOURS[0], lw=1)
        axes.set(xlabel="day", xlim=(0, days[-1] * 1.12))

    note = (
        "The same people, with the same luck, live in four shops: one that the endpoint decides "
        "about, one that leaves them alone (the line at 0), one that sends coupons by chance as "
        "long as the day's budget lasts, and one whose budgeted policy is told each shopper's true "
        f"reaction, which no shop can know. An order counts as {told.shop.books.value:.2f} "
        f"({MARGIN:.0%} of what orders were worth before), a coupon takes a tenth off it, and "
        f"sending one costs {COSTS['coupon']:.2f}."
    )
    cost = float(told.gained("Nudge")[: told.chapters[0].last].sum())
    note += (
        f" Acting largely by chance, to learn from it, made {cost:+,.0f} by day "
        f"{told.chapters[0].last}."
    )
    return f'<p class="note">{note}</p>' + svg(draw, "profit", 9.0, 3.4)


def _policies(told: Told) -> str:
    """True gain of a hundred decisions by policy and chapter, beside floor and oracle."""
    rows, twins = [], told.shop.twins
    for chapter in told.chapters:
        inside = [one for one in told.shop.decided if chapter.first <= one.day < chapter.last]
        beside = [
            100 * sum(twins[name].gains[chapter.first : chapter.last]) / max(len(inside), 1)
            for name in ("by chance", "oracle")
        ]
        for policy in dict.fromkeys(one.policy for one in inside):
            own = [one for one in inside if one.policy == policy]
            shares = [
                np.mean([one.action != ACTIONS[0] for one in own if one.kind == kind] or [False])
                for kind in KINDS
            ]
            gains = (f"{gain:+.1f}" for gain in (100 * _true(own).mean(), *beside))
            cells = [f"{len(own):,}", *gains, *(f"{s:.0%}" for s in shares)]
            rows.append((f"{chapter.title}: {policy}", cells))
    heads = ["decisions", "gain of 100", "by chance", "oracle", *(f"{kind}s" for kind in KINDS)]
    note = (
        "The gain is what the chosen actions truly add to the week's profit on average, by the "
        "chances that the simulated shop draws from. Chance and the oracle spend the whole day's "
        "budget; an arm of an experiment shares it. Last, whom each acted on, by what they really "
        "are."
    )
    return f'<p class="note">{note}</p>' + table(["", *heads], rows)


def _spend(told: Told) -> str:
    def draw(axes: Axes) -> None:
        spent = told.shop.books.spent
        axes.bar(np.arange(1, len(spent) + 1), spent, color=SECOND_COLOUR, width=0.7)
        budgets = told.shop.books.budgets
        edges = np.arange(len(spent) + 1) + 0.5
        axes.stairs(budgets, edges, baseline=None, color=INK, lw=1.2)
        axes.annotate("budget", (edges[-1] + 0.3, budgets[-1]), color=INK, va="center")
        axes.set(xlabel="day", ylabel="reserved", xlim=(0, len(spent) * 1.12))

    return svg(draw, "spend", 9.0, 2.6)


def _verdict(told: Told) -> str:
    """What the log said when policies were learnt and promoted, and what the experiment found."""
    rows = [
        (
            f"learnt {_day(made['lineage']['as_of'])}; the other: what was done",
            _cells(made["metrics"]),
        )
        for made in sorted(_learnt(told.home), key=lambda one: one["lineage"]["as_of"])
    ]
    promoted = Promotion.read(told.home)
    if promoted is not None and promoted.judged is not None:
        name = f"promoted {promoted.promoted_at[:10]}; the other: the first policy"
        rows.append((name, _cells(promoted.judged)))
    heads = ["decisions", "worth", "it would earn", "the other", "lead", ""]
    ended = "was promoted" if told.shop.goes_on else "was kept back, and the first policy went on"
    note = (
        f"The second policy {ended}. Profit a decision by the log of what was done (doubly robust, "
        "95 % intervals of shoppers), each decision judged by what did not learn from its shopper."
    )
    if not told.verdict:
        return f'<p class="note">{note} No experiment began.</p>' + table(["", *heads], rows)
    lines = [line.strip() for line in told.verdict.splitlines() if line.strip()]
    first = next((n for n, line in enumerate(lines) if line.startswith("Exposed:")), 0)
    lines = [line for line in lines[first:] if not line.startswith("page:")]
    said = '<p class="note">The experiment said:</p>' + listing(lines)
    return f'<p class="note">{note}</p>' + table(["", *heads], rows) + said


def _learnt(home: Path) -> list[dict[str, Any]]:
    """What `python -m training policy` and the turns wrote."""
    return [json.loads(path.read_text()) for path in home.glob("policies/*/bundle.json")]


def _day(at: int) -> str:
    return iso(at)[:10]


def _cells(judged: dict[str, Any]) -> list[str]:
    spans = [
        f"{judged[f'{name}_value']:+.3f}<small>{judged[f'{name}_low']:+.3f} to "
        f"{judged[f'{name}_high']:+.3f}</small>"
        for name in ("own", "served", "lead")
    ]
    refused = "it cannot tell" if judged["refusals"] else ""
    return [f"{judged['num_rows']:,}", f"{judged['effective']:,.0f}", *spans, refused]


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
