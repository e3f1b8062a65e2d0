"""The verbs of the store: ``python -m feature_repo VERB``.

``autofeature``, ``validate``, ``import`` lead a shop's files into the warehouse that ``init``
makes, ``simulate`` fills it by itself; ``rollup``, ``materialize`` fill the feature store;
``features`` lists it, ``parity``, ``doctor`` prove it; ``clock`` sets the shop's own time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from feature_repo import filling, show
from feature_repo.settings import Settings, SystemClock, iso, microseconds

if TYPE_CHECKING:
    from feature_repo.parity import Parity

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
console = show.console


app.command()(filling.init)
app.command()(filling.autofeature)
app.command()(filling.validate)
app.command("import")(filling.import_)
app.command()(filling.simulate)


@app.command()
def rollup() -> None:
    """Build the feature files behind all views from the warehouse."""
    from feature_repo.publish import rollup as build
    from feature_repo.warehouse import Warehouse

    settings = Settings()
    rows = build(Warehouse(settings.warehouse), settings)
    show.counts("rows of state", rows)


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
    from feature_repo.replay import events_of, replay
    from feature_repo.scratch import scratch

    events, whose = events_of(settings, num, seed)
    console.print(f"{events.height:,} events {whose}, seed {seed}, {late:.1%} late")
    with scratch(settings) as shop, show.bar() as progress:
        task = progress.add_task("replay", total=events.height)
        report, compared = replay(
            events, shop, seed=seed, late=late, progress=lambda num: progress.advance(task, num)
        )
    show.report(report)
    for service, found in compared.items():
        rows = {name: found.differences.get(name, 0) for name in found.features}
        show.counts(f"{service}: of {found.num_rows:,} rows differ", rows)
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
        raise typer.BadParameter("--last and --set are two moments; give one of them")
    span = Warehouse(settings.warehouse).span() if last else None
    if last and span is None:
        raise typer.BadParameter(
            "the warehouse has no last event; import or simulate some first, or give --set"
        )
    try:
        if span is not None:
            shop.move_to(span[1] + 60_000_000)
        elif at is not None:
            shop.move_to(microseconds(at))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    console.print(iso(shop.now()))


if __name__ == "__main__":
    app()
