"""How every report looks: one page that needs nothing else, and the parts it is put together from.

Next: ``drawing.py`` for the plots.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

CSS = """
:root { --ink: #2b2f36; --soft: #6b7280; --line: #e5e8ee; --model: #1f5fa8; --good: #22713f;
  --bad: #b3372f; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { margin: 0; font-size: 30px; }
header p, .note, small { color: var(--soft); }
header p { margin: 4px 0 24px; }
h2 { margin: 0 0 4px; font-size: 19px; }
h3 { margin: 0 0 8px; font-size: 14px; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 20px 24px;
  margin-top: 20px; }
.note { margin: 0 0 12px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 16px; }
.card { background: #fff; border: 1px solid var(--line); border-top: 4px solid var(--soft);
  border-radius: 10px; padding: 16px 20px; }
.card.better { border-top-color: var(--good); }
.card.worse { border-top-color: var(--bad); }
.card p { margin: 0; }
.big { font-size: 34px; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.big small { font-size: 14px; font-weight: 400; margin-left: 8px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
th { font-weight: 500; color: var(--soft); }
th:first-child { text-align: left; color: var(--ink); }
td small { display: block; font-size: 11px; }
td.model { background: #eef4fb; }
td.best { font-weight: 650; }
td.better { color: var(--good); }
td.worse { color: var(--bad); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 24px;
  align-items: center; margin-top: 16px; }
svg { max-width: 100%; height: auto; }
ul { margin: 8px 0 0; padding-left: 20px; }
li { margin: 6px 0; }
@media print { body { background: #fff; } section, .card { break-inside: avoid; } }
"""


def document(title: str, body: Iterable[str]) -> str:
    """The whole page from its parts, which are HTML already."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{CSS}</style></head>'
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def header(title: str, facts: Iterable[str]) -> str:
    """The name of the page and a line of facts, empty ones left out."""
    line = " · ".join(escape(fact) for fact in facts if fact)
    return f"<header><h1>{escape(title)}</h1><p>{line}</p></header>"


def section(title: str, body: str) -> str:
    """A box with a title; `body` is HTML."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def listing(lines: Iterable[str]) -> str:
    """Plain sentences, one below the other."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def cards(all_cards: Iterable[str]) -> str:
    """A row of boxes made by ``card``."""
    return f'<div class="cards">{"".join(all_cards)}</div>'


def card(title: str, big: str, words: str, mood: str = "", unit: str = "") -> str:
    """A box with one large thing in it, all plain text; `mood` is better, worse or nothing."""
    small = f"<small>{escape(unit)}</small>" if unit else ""
    return (
        f'<div class="card {mood}"><h3>{escape(title)}</h3>'
        f'<p class="big">{escape(big)}{small}</p><p>{escape(words)}</p></div>'
    )


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Plain cells below plain heads, small print after a line end; a row begins with its name."""
    lines = ["".join(f"<th>{escape(head)}</th>" for head in heads)]
    for name, *cells in rows:
        lines.append(f"<th>{_small(name)}</th>" + "".join(f"<td>{_small(c)}</td>" for c in cells))
    return (
        '<div class="scroll"><table>'
        + "".join(f"<tr>{line}</tr>" for line in lines)
        + "</table></div>"
    )


def _small(text: str) -> str:
    first, *rest = text.split("\n")
    return escape(first) + "".join(f"<small>{escape(line)}</small>" for line in rest)


def number(value: float | None, digits: int = 3) -> str:
    """`value` with `digits` decimals, or a dash when there is none."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def span(low: float, high: float, digits: int = 3) -> str:
    """An interval."""
    return f"{number(low, digits)} to {number(high, digits)}"
