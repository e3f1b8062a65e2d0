"""What the commands print: bars while they work, tables when they are done.

Next: ``__main__.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from feature_repo.settings import iso

if TYPE_CHECKING:
    from feature_repo.importing.validate import Validation
    from feature_repo.ingest import Report
    from feature_repo.proposing.proposal import Proposal

MAX_EXAMPLE_LENGTH = 300
console = Console()


@contextmanager
def plainly() -> Iterator[None]:
    """A user's mistake ends a command with a sentence, not with a trace."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def bar() -> Progress:
    """A progress bar; nothing where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def counts(title: str, numbers: Mapping[str, int | str]) -> None:
    """A table of names and numbers."""
    table = Table(title, "")
    for name, number in numbers.items():
        table.add_row(name, number if isinstance(number, str) else f"{number:,}")
    console.print(table)


def report(found: Report, title: str = "rows") -> None:
    """What became of the rows, and what a person should know."""
    names = ("read", "accepted", "duplicates", "rejected")
    numbers: dict[str, int | str] = {name: getattr(found, name) for name in names}
    if found.replaced:
        numbers["  replaced another source's"] = found.replaced
    if found.skipped:
        numbers["  imported before"] = found.skipped
    counts(title, numbers | {f"  {reason}": num for reason, num in found.reasons.items()})
    for notice in found.notices:
        console.print(f"[yellow]notice[/] {_escaped(notice)}")


def validation(found: Validation) -> None:
    """What an import would do."""
    report(found.report, "an import would find rows")
    rejects(found)
    about = found.survey
    span = "none" if about.span is None else " to ".join(iso(moment) for moment in about.span)
    numbers: dict[str, int | str] = {"time span": span}
    numbers |= {f"events: {kind}": num for kind, num in sorted(about.kinds.items())}
    numbers |= {f"paid in {code}": num for code, num in sorted(about.currencies.items())}
    numbers |= {"shoppers": about.num_users, "items": about.num_items}
    numbers |= {"shoppers with attributes": about.num_users_told} if about.num_users_told else {}
    numbers |= {"items with attributes": about.num_items_told} if about.num_items_told else {}
    counts("an empty warehouse would hold", numbers)


def rejects(found: Validation) -> None:
    """Why rows would be rejected, how to mend it, and some of them."""
    from feature_repo.events import REJECT_REASONS

    for reason, raws in found.examples.items():
        num, cure = found.report.reasons.get(reason, 0), REJECT_REASONS.get(reason, "")
        console.print(f"[red]{reason}[/] {num:,} rows: {_escaped(cure)}")
        for raw in raws:
            shown = raw if len(raw) <= MAX_EXAMPLE_LENGTH else f"{raw[:MAX_EXAMPLE_LENGTH]}…"
            console.print(f"  {shown}", markup=False, highlight=False)


def proposal(found: Proposal, paths: Sequence[Path], output: Path) -> None:
    """Which column was chosen for which field and why, what is unsure, and what to do next."""
    table = Table("field", "column", "because")
    for field, column, why in found.choices:
        table.add_row(field, _escaped(column), _escaped(why))
    console.print(table)
    for question in found.unsure:
        console.print(f"[yellow]unsure[/] {_escaped(question)}")
    files = " ".join(str(path) for path in paths)
    console.print(f"written: {output}. Look at it, then:", markup=False)
    command = f"python -m feature_repo validate {files} --mapping {output}"
    console.print(command, markup=False, highlight=False, soft_wrap=True)


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
