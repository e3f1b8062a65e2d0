"""Is this shop in order? Each check says what it found and, when bad, how to mend it.

A check that fails by itself is a bad finding, and the next one runs. Next: ``checks.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from feature_repo.checks import Finding, access, disk, versions
from feature_repo.heal import behind
from feature_repo.lean import lean
from feature_repo.ledger import Ledger
from feature_repo.publish import VIEWS
from feature_repo.rollups import BEHAVIOURS
from feature_repo.settings import DAY, SECOND, Settings, SystemClock, iso, without_password
from feature_repo.warehouse import Warehouse

OLDEST = {"PostgreSQL": (14,), "SQLite": (3, 35), "Redis": (6, 2)}
"""Of each server, the oldest version that this can work with."""
SKEW_S = 2.0
NO_WAREHOUSE = "start the database, mend NUDGE_WAREHOUSE_URL, or run `python -m feature_repo init`"


def examine(settings: Settings) -> Iterator[Finding]:
    """Check versions, access, warehouse, disk, clock, files, registry and online rows."""
    yield from _safely("versions", "run `make .venv`", versions)
    yield from _safely("access", "mend NUDGE_HOME", lambda: access(settings))
    yield from _safely("warehouse", NO_WAREHOUSE, lambda: _warehouse(settings))
    yield from _safely("clock", f"mend {settings.home / 'clock'}", lambda: _clock(settings))
    yield from _safely("files", "run `python -m feature_repo rollup`", lambda: _files(settings))
    registry_cure = "mend NUDGE_REGISTRY_URL, then run `feast apply`"
    yield from _safely("registry", registry_cure, lambda: _registry(settings))
    online_cure = (
        "start Redis, or mend NUDGE_ONLINE_URL; then run `python -m feature_repo materialize`"
    )
    yield from _safely("online store", online_cure, lambda: _online(settings))


def _safely(name: str, cure: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of `check`, and one more when it fails."""
    try:
        yield from check()
    except Exception as error:
        said = without_password(f"{type(error).__name__}: {error}".splitlines()[0])
        yield Finding(name, False, said, cure)


def _warehouse(settings: Settings) -> Iterator[Finding]:
    warehouse, address = _open(settings), without_password(settings.warehouse)
    server = warehouse.server()
    yield _version("warehouse server", server.name, server.version)
    cure = "make a database with ENCODING 'UTF8', and move the tables there"
    yield Finding("warehouse encoding", server.encoding == "UTF8", server.encoding, cure)
    cure = "set fsync and synchronous_commit on: an acknowledged decision must outlive a crash"
    found = "a commit is on disk before it is acknowledged" if server.is_durable else "it may lie"
    yield Finding("warehouse durability", server.is_durable, found, cure)
    yield _schema(warehouse)
    yield disk(settings, server.num_bytes)
    if server.clock is not None:
        ahead_s = (server.clock - time.time_ns() // 1000) / SECOND
        cure = "let both machines keep time by NTP: known-at stamps come from this one's clock"
        yield Finding("server clock", abs(ahead_s) < SKEW_S, f"{ahead_s:+.1f} s from ours", cure)
    num_events = warehouse.counts()["events"]
    found = f"{num_events} events in {address}"
    yield Finding("warehouse", num_events > 0, found, "import or simulate events")


def _schema(warehouse: Warehouse) -> Finding:
    cure = "run `python -m feature_repo init`, or use the newer Nudge that made them"
    try:
        warehouse.check()
    except ValueError as error:
        return Finding("schema", False, str(error), cure)
    return Finding("schema", True, "the tables are of this version")


def _clock(settings: Settings) -> Iterator[Finding]:
    clock = SystemClock(settings.home)
    warehouse, now = _open(settings), clock.now()
    back_s = clock.behind() / SECOND
    found = f"the machine's clock is {back_s:.0f} s behind the shop's {iso(now)}"
    cure = "set it right; if the shop's is the wrong one, remove NUDGE_HOME/clock.mark"
    yield Finding("machine clock", back_s <= 1, found, cure)
    span, decided = warehouse.span(), Ledger(warehouse).decisions(limit=1)
    if span is None:
        yield Finding("clock", True, iso(now))
        return
    behind_days = (now - span[1]) / DAY
    found = f"{iso(now)}, {behind_days:.1f} days after the last event"
    cure = "serve a shop of the past at its own time: `python -m feature_repo clock --last`"
    yield Finding("clock", behind_days < 30, found, cure)
    newest = max([span[1], *(decision.decided_at for decision in decided)])
    found = f"the newest event or decision is of {iso(newest)}"
    cure = f"another clock made it: `python -m feature_repo clock --set {iso(newest)[:19]}`"
    yield Finding("clock runs on", now >= newest - 60 * SECOND, found, cure)


def _files(settings: Settings) -> Iterator[Finding]:
    for name in VIEWS:
        path = settings.offline_path / f"{name}.parquet"
        if not path.exists():
            yield Finding(name, False, "no file", "run `python -m feature_repo rollup`")
            continue
        kind = pl.read_parquet_schema(path)["event_timestamp"]
        good = kind == pl.Datetime("us", "UTC")
        yield Finding(name, good, f"event_timestamp is {kind}", "write timestamps as us, UTC")
    yield _freshness(settings, settings.offline_path / "user_state.parquet")


def _freshness(settings: Settings, path: Path) -> Finding:
    """Whether the files know what the warehouse has known for a day."""
    newest = pl.scan_parquet(path).select(pl.col("event_timestamp").max().cast(pl.Int64))
    told = newest.collect().item() or 0
    activity = _open(settings).activity(BEHAVIOURS, SystemClock(settings.home).now())
    known = activity["known_at"].max() or 0
    assert isinstance(known, int), "microseconds"
    found = f"{max(0, known - told) / DAY:.1f} days behind the warehouse"
    return Finding("file age", known - told < DAY, found, "run `python -m feature_repo rollup`")


def _registry(settings: Settings) -> Iterator[Finding]:
    with lean():
        from feature_repo import services
    from feature_repo.retrieval import schema

    for service in (services.shopper, services.shopper_with_messages, services.item):
        views = service.feature_view_projections
        declared = {field.name: str(field.dtype) for view in views for field in view.features}
        found = schema(service.name, settings)
        wrong = sorted(dict(declared.items() ^ found.items()))
        said = f"{len(found)} features" + (f"; {wrong[0]} is not as defined" if wrong else "")
        yield Finding(f"registry: {service.name}", not wrong, said, "run `feast apply`")


def _online(settings: Settings) -> Iterator[Finding]:
    from feature_repo.online import open_rows

    about = open_rows(settings.online).about()
    number = tuple(int(part) for part in about["version"].split(".")[:2])
    yield _version("online server", about["name"], number)
    cure = "set maxmemory-policy noeviction: a forgotten row reads as a shopper nobody knows"
    full = f"when full: {about['eviction']}"
    yield Finding("online eviction", about["eviction"] == "noeviction", full, cure)
    num_behind = sum(1 for _ in behind(_open(settings), settings, SystemClock(settings.home).now()))
    found = f"{num_behind} shoppers behind in {without_password(settings.online)}"
    cure = "run `python -m feature_repo materialize`; a running service catches up by itself"
    yield Finding("online rows", num_behind == 0, found, cure)


def _version(name: str, server: str, found: tuple[int, ...]) -> Finding:
    oldest = OLDEST[server]
    shown, wanted = (".".join(map(str, number)) for number in (found, oldest))
    return Finding(name, found >= oldest, f"{server} {shown}", f"use {server} {wanted} or newer")


def _open(settings: Settings) -> Warehouse:
    """The warehouse; asking for a SQLite file that is not there would make an empty one."""
    warehouse = Warehouse(settings.warehouse)
    path = warehouse.engine.url.database
    if warehouse.engine.dialect.name == "sqlite" and path and not Path(path).exists():
        raise ValueError(f"there is no file {path}; run `python -m feature_repo init`")
    return warehouse
