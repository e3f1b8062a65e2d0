"""The page of ``demo_intervention.py``: profit, spend, verdict, and one shopper's story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from demo_learn import Judged
from demo_shop import ACTIONS, Decided, Shop
from demo_story import story, table
from training.drawing import FLOOR_COLOURS, INK, MODEL_COLOUR, SECOND_COLOUR, svg
from training.pages import document, header, listing, section

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
    """What the command said."""
    judged: tuple[Judged, Judged]
    """What the log said of the second policy, before its trial and after."""
    goes_on: bool
    """Whether it was promoted."""
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
        f"seed {told.seed}",
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
    nudge, oracle = (float(told.gained(name).sum()) for name in ("Nudge", "oracle"))
    last = told.chapters[-1]
    rows = [one for one in told.shop.decided if one.day >= last.first]
    share = _true(rows).sum() / max(sum(told.shop.twins["oracle"].gains[last.first :]), 1e-9)
    books = told.shop.books
    spent = sum(books.spent) / sum(books.budgets)
    kept = all(s <= b + 1e-6 for s, b in zip(books.spent, books.budgets, strict=True))
    days = f"by true chances, days {last.first + 1} to {last.last}"
    cards = (
        ("Earned above doing nothing", f"{nudge:+,.0f}", f"the oracle {oracle:+,.0f}", nudge > 0),
        ("Of the oracle's gain, at the end", f"{share:.0%}", days, share > 0),
        (
            "Of the budget spent",
            f"{spent:.0%}",
            "on no day more than it" if kept else "too much",
            kept,
        ),
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
    cost = float(told.gained("Nudge")[: told.chapters[0].last].sum())
    note += (
        f" Acting by chance, to learn from it, made {cost:+,.0f} by day {told.chapters[0].last}; "
        "whom it drove away stays away."
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
    heads = [
        "decisions",
        "true gain of 100",
        "the oracle's",
        *(k.replace(" ", "\n") + "s" for k in KINDS),
    ]
    note = (
        "The true gain is what the chosen actions add to the week's profit on average, by the "
        "chances that the simulated shop draws from. The oracle spends the whole day's budget; an "
        "arm of an experiment shares it. Last, whom each acted on, by what they really are."
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
    rows = []
    for when, one in zip(("before its trial", "after it"), told.judged, strict=True):
        cells = [f"{one.num_rows:,}", f"{one.effective:,.0f}"]
        cells += [f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})" for e in (one.own, one.served)]
        cells += [f"{one.lead.value:+.3f} ({one.lead.low:+.3f} to {one.lead.high:+.3f})"]
        rows.append((when, [*cells, "refused" if one.refusals else "told"]))
    heads = ["decisions", "worth", "second policy", "first policy", "lead", ""]
    ended = "promoted" if told.goes_on else "kept back, and the first policy went on"
    note = (
        "Profit a decision, by the log of what was done (doubly robust, 95 % intervals), on "
        f"shoppers that the judged policy did not learn from. The second policy was {ended}. "
        "The experiment said:"
    )
    lines = [line.strip() for line in told.verdict.splitlines() if line.strip()]
    first = next(n for n, line in enumerate(lines) if line.startswith("Exposed:"))
    lines = [line for line in lines[first:] if not line.startswith("page:")]
    return table(["", *heads], rows) + f'<p class="note">{note}</p>' + listing(lines)


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
