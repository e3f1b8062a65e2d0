"""What the commands of experiments print and write: words on the terminal, one page each.

Next: ``page.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from feature_repo.settings import Settings
from serving.experiments import page, words
from serving.experiments.shop import Seen

console = Console()


def folder(settings: Settings) -> Path:
    """Where the pages of a shop's experiments lie."""
    return settings.home.resolve() / "experiments"


def report(seen: Seen, settings: Settings, verb: str, lines: Sequence[str]) -> None:
    """Print how an experiment stands and write its page."""
    name, found = seen.kept.experiment.name, seen.analysis
    if seen.kept.stop_reason:
        lines = [*lines, f"Stopped: {seen.kept.stop_reason}"]
    text = page.page(
        f"{name}: {verb}", found, seen.facts, times=seen.times, days=seen.days, notes=lines
    )
    console.print(f"[bold]{name}[/bold]: {'; '.join(seen.facts)}", highlight=False)
    lines = [*lines, f"Exposed: {seen.exposed_counts}.", *words.verdict(found)]
    write(folder(settings) / name / f"{verb}.html", text, lines)


def write(path: Path, text: str, lines: Sequence[str]) -> None:
    """Write a page, and say in words what it shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"page: {path}", markup=False, highlight=False, soft_wrap=True)
