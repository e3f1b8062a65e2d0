"""What the reports on a user's own table are put together from, and how they are written.

Next: ``../pages.py`` for the look.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from rich.console import Console
from rich.table import Table

from training.pages import document, header, number, span

console = Console()


def report(title: str, facts: Iterable[str], parts: Iterable[str]) -> str:
    """The page: its name, a line of facts, and sections made by ``training/pages.py``."""
    return document(title, [header(title, facts), *parts])


def note(text: str) -> str:
    """A line of plain words below a section's title."""
    return f'<p class="note">{escape(text)}</p>'


def pair(*pictures: str) -> str:
    """Pictures side by side, where there is room."""
    return f'<div class="pair">{"".join(pictures)}</div>'


def cell(value: float, low: float, high: float, digits: int = 3) -> str:
    """A number with its interval below it."""
    return f"{number(value, digits)}\n{span(low, high, digits)}"


def digits_for(values: Iterable[float]) -> int:
    """Decimals that show the largest of `values` with three figures, 0 to 6."""
    most = max((abs(value) for value in values if value == value), default=1.0)
    for digits in range(6):
        if most * 10**digits >= 100:
            return digits
    return 6


def write(path: Path, text: str) -> None:
    """Keep the page, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    console.print(f"page: {path}", markup=False, highlight=False, soft_wrap=True)


def figures(
    path: Path | None,
    title: str,
    facts: Iterable[str],
    tables: Mapping[str, tuple[list[str], list]],
) -> None:
    """Keep tables (heads and rows by title) as JSON, for whoever sets them beside others.

    Without a path nobody asked for them.
    """
    if path is None:
        return
    told = {
        "title": title,
        "facts": list(facts),
        "tables": {name: {"heads": heads, "rows": rows} for name, (heads, rows) in tables.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(f"figures: {path}", markup=False, highlight=False, soft_wrap=True)


def tell(lines: Iterable[str]) -> None:
    """Print plain sentences."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def show(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table whose first column is a name, in as many parts as the terminal is narrow."""
    lines = [[text.replace("\n", "  ") for text in row] for row in rows]
    widths = [max(map(len, column)) + 3 for column in zip(heads, *lines, strict=True)]
    place = 1
    while place < len(heads):
        end, room = place + 1, console.width - widths[0] - widths[place] - 1
        while end < len(heads) and widths[end] <= room:
            room -= widths[end]
            end += 1
        table = Table(title=title, title_justify="left", title_style="bold")
        table.add_column(heads[0], no_wrap=True)
        for head in heads[place:end]:
            table.add_column(head, justify="right", no_wrap=True)
        for name, *cells in lines:
            table.add_row(name, *cells[place - 1 : end - 1])
        console.print(table)
        place = end
