"""The verbs of the store: ``python -m feature_repo VERB``.

``init``, ``import``, ``simulate`` fill the warehouse; ``rollup``, ``materialize`` fill the feature
store; ``features`` lists it, ``parity``, ``doctor`` prove it; ``clock`` sets the shop's own time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from feature_repo.settings import DAY, Settings, SystemClock, iso, microseconds

if TYPE_CHECKING:
    from feature_repo.parity import Parity

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
console = Console()


@app.command()
def init() -> None:
    """Create the warehouse, empty feature files and the folders of this shop."""
    from feature_repo.publish import rollup as build
    from feature_repo.warehouse import Warehouse

    settings = Settings()
    warehouse = Warehouse(settings.warehouse)
    warehouse.migrate()
    if not (settings.offline_path / "user_state.parquet").exists():
        build(warehouse, settings)
    console.print(f"ready: {settings.home.resolve()}")


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(help="CSV or Parquet files, or folders of them")],
    mapping: Annotated[str, typer.Option(help="a shipped mapping's name or a TOML file")],
) -> None:
    """Read a shop's own files into the warehouse; safe to repeat."""
    from feature_repo.importers import import_files
    from feature_repo.mapping import read_mapping
    from feature_repo.warehouse import Warehouse

    init()
    settings = Settings()
    with _progress() as progress:
        task = progress.add_task("import", total=None)
        report = import_files(
            Warehouse(settings.warehouse),
            paths,
            read_mapping(mapping),
            now=SystemClock(settings.home).now(),
            progress=lambda num: progress.advance(task, num),
        )
    _print_report(report)


@app.command()
def simulate(
    shoppers: Annotated[int, typer.Option(min=1)] = 60,
    items: Annotated[int, typer.Option(min=2)] = 120,
    days: Annotated[int, typer.Option(min=1)] = 340,
    seed: int = 7,
    start: Annotated[str, typer.Option(help="ISO 8601, UTC")] = "2025-01-01T00:00:00",
) -> None:
    """Fill the warehouse with a simulated shop that does nothing to its shoppers."""
    import polars as pl

    from feature_repo.ingest import ingest
    from feature_repo.warehouse import Warehouse
    from feature_repo.world import World

    init()
    settings = Settings()
    world = World(seed=seed, num_shoppers=shoppers, num_items=items, start_at=microseconds(start))
    with _progress() as progress:
        task = progress.add_task("days", total=days)
        frames = []
        for _ in range(days):
            frames.append(world.step())
            progress.advance(task)
    now = max(SystemClock(settings.home).now(), microseconds(start) + (days + 1) * DAY)
    frame = pl.concat(frames)
    _print_report(ingest(Warehouse(settings.warehouse), frame, source=f"world:{seed}", now=now))


@app.command()
def rollup() -> None:
    """Build the feature files behind all views from the warehouse."""
    from feature_repo.publish import rollup as build
    from feature_repo.warehouse import Warehouse

    settings = Settings()
    rows = build(Warehouse(settings.warehouse), settings)
    _print_counts("rows of state", rows)


@app.command()
def materialize() -> None:
    """Load the newest row of every user and item into the online store."""
    from feature_repo.publish import materialize as load
    from feature_repo.warehouse import Warehouse

    settings = Settings()
    span = load(Warehouse(settings.warehouse), settings, SystemClock(settings.home))
    if span is None:
        raise typer.BadParameter("the warehouse has no events; import or simulate some first")
    console.print(f"online rows as of {span[1].isoformat()}")


@app.command()
def parity(
    limit: Annotated[int | None, typer.Option(help="compare at most this many users")] = None,
    replay: Annotated[
        int | None, typer.Option(min=2, help="replay this many events in a scratch shop instead")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the replay")] = 0,
    late: Annotated[float, typer.Option(min=0, max=1, help="share of late events")] = 0.05,
) -> None:
    """Prove that offline rows equal online rows: now, or at every step of a replay."""
    from feature_repo.parity import compare_all

    settings = Settings()
    compared = (
        compare_all(settings, SystemClock(settings.home).now(), limit)
        if replay is None
        else _replay(settings, replay, seed, late)
    )
    for service, found in compared.items():
        console.print(
            f"{service}: {found.num_rows:,} rows x {len(found.features)} features, "
            f"{found.num_differences} differences"
        )
        for example in found.examples:
            console.print(f"  {example}", markup=False)
    raise typer.Exit(1 if any(found.num_differences for found in compared.values()) else 0)


def _replay(settings: Settings, num: int, seed: int, late: float) -> dict[str, Parity]:
    from feature_repo.replay import events_of, replay, scratch

    events, whose = events_of(settings, num, seed)
    console.print(f"{events.height:,} events {whose}, seed {seed}, {late:.1%} late")
    with scratch(settings) as shop, _progress() as progress:
        task = progress.add_task("replay", total=events.height)
        report, compared = replay(
            events, shop, seed=seed, late=late, progress=lambda num: progress.advance(task, num)
        )
    _print_report(report)
    for service, found in compared.items():
        rows = {name: found.differences.get(name, 0) for name in found.features}
        _print_counts(f"{service}: of {found.num_rows:,} rows differ", rows)
    return compared


@app.command()
def features() -> None:
    """Show every registered feature with its type, meaning and source (piped: as Markdown)."""
    from rich.markdown import Markdown

    from feature_repo.catalogue import page_of
    from feature_repo.retrieval import open_store

    text = page_of(open_store(Settings()))
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        print(text)


@app.command()
def doctor() -> None:
    """Check versions, addresses, files, registry and clock, and say how to mend what is wrong."""
    from feature_repo.doctor import examine

    table = Table("check", "", "found", "cure")
    good = True
    for finding in examine(Settings()):
        good &= finding.good
        mark = "[green]ok[/]" if finding.good else "[red]bad[/]"
        table.add_row(finding.name, mark, finding.found, "" if finding.good else finding.cure)
    console.print(table)
    raise typer.Exit(0 if good else 1)


@app.command()
def clock(
    last: Annotated[bool, typer.Option("--last", help="one minute after the last event")] = False,
    at: Annotated[str | None, typer.Option("--set", help="a moment, ISO 8601, UTC")] = None,
) -> None:
    """Show the shop's time, or let it go on from a moment (never back)."""
    from feature_repo.warehouse import Warehouse

    settings = Settings()
    shop = SystemClock(settings.home)
    if last and at is not None:
        raise typer.BadParameter("give --last or --set, not both")
    span = Warehouse(settings.warehouse).span() if last else None
    if last and span is None:
        raise typer.BadParameter("the warehouse has no events, so there is no last minute")
    try:
        if span is not None:
            shop.move_to(span[1] + 60_000_000)
        elif at is not None:
            shop.move_to(microseconds(at))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    console.print(iso(shop.now()))


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _print_counts(title: str, counts: dict[str, int]) -> None:
    table = Table(title, "")
    for name, number in counts.items():
        table.add_row(name, f"{number:,}")
    console.print(table)


def _print_report(report: object) -> None:
    counts = {
        name: getattr(report, name) for name in ("read", "accepted", "duplicates", "rejected")
    }
    reasons = {f"  {reason}": num for reason, num in report.reasons.items()}  # type: ignore[attr-defined]
    _print_counts("events", counts | reasons)


if __name__ == "__main__":
    app()
