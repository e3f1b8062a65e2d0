"""Events into the warehouse: once, whatever is sent twice, late or out of order.

``read == accepted + duplicates + rejected`` holds for every report. A rejected row is kept raw as
a dead letter with its reason. Next: ``importing/importers.py`` for files,
``publish.py`` for the live way.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl
import sqlalchemy as sa

from feature_repo.engine import among, insert
from feature_repo.events import EVENT_SCHEMA, FUTURE_TOLERANCE, check, known_at
from feature_repo.merging import settle, sign
from feature_repo.tables import dead_letters, events
from feature_repo.warehouse import Warehouse

BATCH = 50_000
IDENTITY = ("kind", "user_id", "item_id", "quantity", "price_micros", "text")
"""Two events of one id that differ in these are two events: the second is a conflict. So are two
whose times differ by more than clamping can move them."""


@dataclass(slots=True)
class Report:
    """What became of the rows that were read."""

    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    """Reason to number of rejected rows."""
    replaced: int = 0
    """Of the accepted, those that took the place of an event of a source of lower precedence."""
    skipped: int = 0
    """Of the read, rows that an earlier run of the same import had finished."""
    notices: list[str] = field(default_factory=list)
    """What a person should know about the import."""
    accepted_ids: list[str] = field(default_factory=list)
    """Ids of the newly kept events, in the order of the batch; empty unless asked for."""
    rejects: list[tuple[str, str]] = field(default_factory=list)
    """(event id or "", reason) of each reject; empty unless asked for."""

    def add(self, other: Report) -> None:
        """Count `other` in."""
        self.read += other.read
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.rejected += other.rejected
        self.reasons = dict(Counter(self.reasons) + Counter(other.reasons))
        self.replaced += other.replaced
        self.skipped += other.skipped
        self.notices += [said for said in other.notices if said not in self.notices]
        self.accepted_ids += other.accepted_ids
        self.rejects += other.rejects


def ingest(
    warehouse: Warehouse,
    frame: pl.DataFrame,
    *,
    source: str,
    now: int,
    rejects: pl.DataFrame | None = None,
    precedence: int | None = None,
    progress: Callable[[int], None] | None = None,
    detail: bool = False,
) -> Report:
    """Keep the events of `frame`, each id once; whole batches commit, so a repeat completes.

    Parameters
    ----------
    frame
        ``EVENT_SCHEMA``; an optional column ``raw`` holds the row as it came.
    rejects
        Rows that were refused before: columns ``reason`` and ``raw``.
    precedence
        Of `source`, where other sources tell of the same events by the same ids: the word of the
        higher one counts, whichever came first. None: the first counts.
    progress
        Called with the number of rows read after each batch.
    detail
        List accepted ids and rejects in the report.
    """
    report = Report()
    if rejects is not None and rejects.height:
        with warehouse.begin(lock="ingest") as connection:
            _bury(connection, rejects, source, now)
        reasons = dict(rejects["reason"].value_counts().iter_rows())
        report.add(Report(read=rejects.height, rejected=rejects.height, reasons=reasons))
        if progress is not None:
            progress(rejects.height)
    for batch in frame.cast(dict(EVENT_SCHEMA)).iter_slices(BATCH):  # type: ignore[arg-type]
        report.add(_ingest_batch(warehouse, batch, source, precedence, now, detail))
        if progress is not None:
            progress(batch.height)
    assert report.read == report.accepted + report.duplicates + report.rejected
    return report


def _ingest_batch(
    warehouse: Warehouse,
    batch: pl.DataFrame,
    source: str,
    precedence: int | None,
    now: int,
    detail: bool,
) -> Report:
    good, bad = check(batch, now)
    outranked = replaced = 0
    with warehouse.begin(lock="ingest") as connection:
        if precedence is not None:
            good, outranked, replaced = settle(connection, good, source, precedence, now)
        new, repeated, conflicting = _sort_out(connection, good)
        bad = pl.concat([bad, conflicting.select(bad.columns)])
        _bury(connection, bad, source, now)
        rows = new.select(*EVENT_SCHEMA, known_at=known_at())
        if rows.height:
            insert(connection, events, rows)
        if precedence is not None:
            sign(connection, new["event_id"].to_list(), source, precedence, now)
    report = Report(
        read=batch.height,
        accepted=new.height,
        duplicates=repeated + outranked,
        rejected=bad.height,
        reasons=dict(bad["reason"].value_counts().iter_rows()),
        replaced=replaced,
    )
    if detail:
        report.accepted_ids = new["event_id"].to_list()
        report.rejects = [
            (name or "", why) for name, why in bad.select("event_id", "reason").rows()
        ]
    return report


def received_times(warehouse: Warehouse, ids: Sequence[str]) -> dict[str, int]:
    """When those of the events `ids` that are kept were received, by id."""
    with warehouse.read() as connection:
        columns = [events.c.event_id, events.c.received_at]
        return {row.event_id: row.received_at for row in among(connection, columns, ids)}


def _sort_out(
    connection: sa.Connection, good: pl.DataFrame
) -> tuple[pl.DataFrame, int, pl.DataFrame]:
    """New events, the number of repeats, and rows whose id belongs to another event."""
    ids = good["event_id"].unique().to_list()
    kept = _kept(connection, ids)
    if kept.is_empty() and len(ids) == good.height:
        return good, 0, good.clear().with_columns(reason=pl.lit(None, dtype=pl.String))
    first = good.unique("event_id", keep="first", maintain_order=True)
    new = first.join(kept, on="event_id", how="anti", maintain_order="left")
    owners = pl.concat([kept, new.select(kept.columns)])
    judged = good.with_row_index("row").join(owners, on="event_id", how="left", suffix="_kept")
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_kept")) for name in IDENTITY)
    near = (pl.col("event_at") - pl.col("event_at_kept")).abs() <= FUTURE_TOLERANCE
    conflicting = judged.filter(~(same & near)).with_columns(reason=pl.lit("conflicting_duplicate"))
    repeated = good.height - new.height - conflicting.height
    return new, repeated, conflicting


def _kept(connection: sa.Connection, ids: list[str]) -> pl.DataFrame:
    """What the warehouse already holds under `ids`."""
    names = ("event_id", "event_at", *IDENTITY)
    rows = [tuple(row) for row in among(connection, [events.c[name] for name in names], ids)]
    types = {name: EVENT_SCHEMA[name] for name in names}
    return pl.DataFrame(rows, schema=types, orient="row")


def _bury(connection: sa.Connection, bad: pl.DataFrame, source: str, now: int) -> None:
    """Keep rejected rows raw, each once per source and content."""
    letters = {str(letter["letter_id"]): letter for letter in _letters(bad, source, now)}
    for (letter_id,) in among(connection, [dead_letters.c.letter_id], list(letters)):
        letters.pop(letter_id)
    if letters:
        insert(connection, dead_letters, pl.DataFrame(list(letters.values())))


def _letters(bad: pl.DataFrame, source: str, now: int) -> Iterator[dict[str, object]]:
    raws = bad["raw"].to_list() if "raw" in bad.columns else _raw(bad)
    for raw, reason in zip(raws, bad["reason"].to_list(), strict=True):
        digest = hashlib.sha256(f"{source}\n{raw}".encode()).hexdigest()
        yield {
            "letter_id": digest,
            "source": source,
            "reason": reason,
            "raw": raw.replace("\0", "\\u0000"),  # PostgreSQL keeps no NUL in a text
            "received_at": now,
        }


def _raw(bad: pl.DataFrame) -> Iterator[str]:
    for row in bad.select(EVENT_SCHEMA.names()).iter_rows(named=True):
        yield json.dumps({name: value for name, value in row.items() if value is not None})
