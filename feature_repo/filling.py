"""The verbs that fill the warehouse: from a shop's own files, or from a simulated one.

Next: ``__main__.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feature_repo import show
from feature_repo.settings import DAY, Settings, SystemClock, microseconds

Files = Annotated[list[Path], typer.Argument(help="files, or folders of them")]
MappingName = Annotated[str, typer.Option(help="a shipped mapping's name or a TOML file")]


def init() -> None:
    """Create the warehouse, empty feature files and the folders of this shop."""
    from feature_repo.publish import VIEWS
    from feature_repo.publish import rollup as build
    from feature_repo.warehouse import Warehouse

    settings = Settings()
    warehouse = Warehouse(settings.warehouse)
    warehouse.migrate()
    if not all((settings.offline_path / f"{name}.parquet").exists() for name in VIEWS):
        build(warehouse, settings)
    show.console.print(f"ready: {settings.home.resolve()}")


def import_(paths: Files, mapping: MappingName) -> None:
    """Read a shop's own files into the warehouse; safe to repeat, and goes on where it ended."""
    from feature_repo.importing.importers import import_files
    from feature_repo.importing.mapping_file import read_mappings
    from feature_repo.warehouse import Warehouse

    settings = Settings()
    with show.plainly(), show.bar() as progress:
        sources = read_mappings(mapping)
        init()
        warehouse = Warehouse(settings.warehouse)
        task = progress.add_task("import", total=None)
        with warehouse.alone("import"):
            report = import_files(
                warehouse,
                paths,
                sources,
                now=SystemClock(settings.home).now(),
                progress=lambda num: progress.advance(task, num),
            )
    show.report(report)


def validate(paths: Files, mapping: MappingName) -> None:
    """Show what an import would do; writes nothing. Ends with 1 when no row would be accepted."""
    from feature_repo.importing.mapping_file import read_mappings
    from feature_repo.importing.validate import validate as look

    with show.plainly(), show.bar() as progress:
        task = progress.add_task("validate", total=None)
        found = look(
            paths,
            read_mappings(mapping),
            now=SystemClock(Settings().home).now(),
            progress=lambda num: progress.advance(task, num),
        )
    show.validation(found)
    raise typer.Exit(0 if found.report.accepted else 1)


def autofeature(
    paths: Files,
    output: Annotated[Path, typer.Option(help="where the proposed mapping goes")] = Path(
        "mapping.toml"
    ),
    force: Annotated[bool, typer.Option("--force", help="replace that file")] = False,
) -> None:
    """Propose a mapping from the names and values of a file's columns."""
    from feature_repo.proposing.proposal import propose

    with show.plainly():
        if output.exists() and not force:
            raise ValueError(f"{output} exists; give another --output, or --force to replace it")
        proposal = propose(paths)
        output.write_text(proposal.toml, "utf-8")
    show.proposal(proposal, paths, output)


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
    from feature_repo.merging import merge
    from feature_repo.warehouse import Warehouse
    from feature_repo.world import World

    init()
    settings = Settings()
    world = World(seed=seed, num_shoppers=shoppers, num_items=items, start_at=microseconds(start))
    with show.bar() as progress:
        task = progress.add_task("days", total=days)
        frames = []
        for _ in range(days):
            frames.append(world.step())
            progress.advance(task)
    now = max(SystemClock(settings.home).now(), microseconds(start) + (days + 1) * DAY)
    frame, warehouse = pl.concat(frames), Warehouse(settings.warehouse)
    show.report(ingest(warehouse, frame, source=f"world:{seed}", now=now))
    told = world.items.select("item_id", "category", known_at=pl.col("first_at"))
    merge(warehouse, "item_id", told, precedence=0)
