"""A shop's own files into the warehouse, chunk by chunk, by one mapping or several.

A repeat skips what is finished and completes what a kill left. Next: ``validate.py`` for a look
before, ``publish.py`` for what comes after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from feature_repo.events import EVENT_SCHEMA
from feature_repo.importing.convert import convert, said, unnameable
from feature_repo.importing.mapping import Mapping
from feature_repo.importing.readers import CHUNK_ROWS, Chunk, files_of, read
from feature_repo.importing.resume import Progress
from feature_repo.importing.returns import match_returns
from feature_repo.importing.survey import BOUGHT, survey
from feature_repo.importing.text_files import BLOCK_BYTES
from feature_repo.ingest import Report, ingest
from feature_repo.merging import merge
from feature_repo.warehouse import Warehouse


def import_files(
    warehouse: Warehouse,
    paths: Sequence[Path],
    mapping: Mapping | Sequence[Mapping],
    *,
    now: int,
    progress: Callable[[int], None] | None = None,
    chunk_rows: int = CHUNK_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> Report:
    """Read files or folders into the warehouse; a repeat completes what a kill left.

    Parameters
    ----------
    mapping
        One source, or several: a file is of the first whose `files` fits its name.
    chunk_rows, block_bytes
        How much is in memory at once; the warehouse is the same for all.

    Raises
    ------
    ValueError
        When a path, a file or a column of the mapping is missing, or the warehouse keeps amounts in
        another currency.
    """
    sources = [mapping] if isinstance(mapping, Mapping) else list(mapping)
    files = files_of(paths)
    warehouse.base_currency(sources[0].base_currency)
    run = _Run(warehouse, now, progress, chunk_rows, block_bytes)
    report = Report()
    for path in files:
        source = next((one for one in sources if one.reads(path)), None)
        if source is None:
            report.notices.append(f"{path} was not read: no source's `files` fits its name")
        else:
            report.add(run.file(path, source))
    report.add(Report(notices=[*_notices(report), *survey(warehouse).notices()]))
    return report


@dataclass(frozen=True, slots=True)
class _Run:
    """One import: where to, as of when, and how much at once."""

    warehouse: Warehouse
    now: int
    progress: Callable[[int], None] | None
    chunk_rows: int
    block_bytes: int

    def file(self, path: Path, mapping: Mapping) -> Report:
        """What is not done yet of a file; the report counts all of it."""
        sizes = (self.chunk_rows, self.block_bytes)
        done = Progress(self.warehouse, path, mapping, sizes, self.now)
        report = Report(notices=list(mapping.notices))
        report.add(done.report)
        if self.progress is not None and done.report.read:
            self.progress(done.report.read)
        if done.finished:
            return report
        chunk_rows, block_bytes = sizes
        chunks = read(
            path,
            mapping.source_columns,
            mapping.layout,
            chunk_rows=chunk_rows,
            block_bytes=block_bytes,
        )
        for chunk in islice(chunks, done.num_chunks, None):
            part = self.chunk(chunk, mapping)
            done.note(part)
            report.add(part)
        done.finish()
        return report

    def chunk(self, chunk: Chunk, mapping: Mapping) -> Report:
        """Keep what the rows tell of events, users and items."""
        rows = chunk.rows
        events, rejects = EVENT_SCHEMA.to_frame(), _rejects(chunk.broken, "bad_row")
        report = Report()
        if mapping.holds == "events":
            events, refused = convert(rows, mapping)
            events = match_returns(events, self.earlier)
            rejects = pl.concat([rejects, refused])
        else:
            key = f"{mapping.holds[:-1]}_id"
            unnamed = unnameable(rows, mapping, key)
            rejects = pl.concat([rejects, unnamed])
            num = rows.height - unnamed.height
            report.add(Report(read=num, accepted=num))
            if self.progress is not None:
                self.progress(num)
        self.tell(rows, mapping)
        kept = ingest(
            self.warehouse,
            events,
            source=mapping.name,
            now=self.now,
            rejects=rejects,
            precedence=mapping.precedence if mapping.event_key else None,
            progress=self.progress,
        )
        report.add(kept)
        return report

    def tell(self, rows: pl.DataFrame, mapping: Mapping) -> None:
        """Keep what is said of users and items beside the events."""
        for key, told in (("user_id", mapping.users), ("item_id", mapping.items)):
            if told.source_columns and key in mapping.columns:
                merge(self.warehouse, key, said(rows, mapping, key, told), mapping.precedence)

    def earlier(self, user_ids: list[str], item_ids: list[str]) -> pl.DataFrame:
        """Kept purchases and returns of these users, and of these items if they are not many."""
        return self.warehouse.events(user_ids=user_ids, item_ids=item_ids, kinds=BOUGHT)


def _rejects(raws: Sequence[str], reason: str) -> pl.DataFrame:
    return pl.DataFrame({"raw": list(raws)}, schema={"raw": pl.String}).select(
        pl.lit(reason).alias("reason"), "raw"
    )


def _notices(report: Report) -> Iterator[str]:
    if report.skipped:
        yield f"{report.skipped:,} rows were imported before and are not read again"
    if report.replaced:
        yield (
            f"{report.replaced:,} events were replaced by what a source of higher precedence says: "
            "rows of features and sets made before now differ"
        )
