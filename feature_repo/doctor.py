"""Is this shop in order? Each check says what it found and, when bad, how to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

import polars as pl

from feature_repo.settings import DAY, SECOND, Settings, SystemClock, iso
from feature_repo.warehouse import Warehouse

VERSIONS = {"feast": "0.67", "sqlalchemy": "2.1", "bentoml": "1.4", "polars": "2."}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its `name`, whether it is `good`, what was found, and the cure if it is not."""

    name: str
    good: bool
    found: str
    cure: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Check versions, warehouse, Parquet files, registry and clock, in this order."""
    for package, wanted in VERSIONS.items():
        found = version(package)
        cure = f"install {package} {wanted}*: `make` sets up the tested versions"
        yield Finding(f"{package} version", found.startswith(wanted), found, cure)
    warehouse = Warehouse(settings.warehouse)
    try:
        warehouse.check()
        num_events = warehouse.counts()["events"]
    except Exception as error:
        cure = "run `python -m feature_repo init`, or mend NUDGE_WAREHOUSE_URL"
        yield Finding("warehouse", False, f"{type(error).__name__}: {error}", cure)
        return
    yield Finding("warehouse", num_events > 0, f"{num_events} events", "import or simulate events")
    yield from _parquet(settings)
    yield _registry(settings)
    yield _clock(settings, warehouse)


def _parquet(settings: Settings) -> Iterator[Finding]:
    for name in ("user_state", "user_days", "user_history", "item_state", "item_days"):
        path = settings.offline_path / f"{name}.parquet"
        if not path.exists():
            yield Finding(name, False, "no file", "run `python -m feature_repo rollup`")
            continue
        kind = pl.read_parquet_schema(path)["event_timestamp"]
        good = kind == pl.Datetime("us", "UTC")
        yield Finding(name, good, f"event_timestamp is {kind}", "write timestamps as us, UTC")


def _registry(settings: Settings) -> Finding:
    from feature_repo.retrieval import schema

    try:
        found = f"{len(schema('shopper', settings)) + len(schema('item', settings))} features"
    except Exception as error:
        return Finding("registry", False, str(error), "run `feast apply`")
    return Finding("registry", True, found)


def _clock(settings: Settings, warehouse: Warehouse) -> Finding:
    clock = SystemClock(settings.home)
    now, span = clock.now(), warehouse.span()
    if clock.behind() > SECOND:
        found = (
            f"the machine's clock is {clock.behind() / SECOND:.0f} s behind the shop's {iso(now)}"
        )
        cure = "set it right; if the shop's is the wrong one, remove NUDGE_HOME/clock.mark"
        return Finding("clock", False, found, cure)
    if span is None:
        return Finding("clock", True, iso(now))
    behind_days = (now - span[1]) / DAY
    found = f"{iso(now)}, {behind_days:.1f} days after the last event"
    cure = "serve a shop of the past at its own time: `python -m feature_repo clock --last`"
    return Finding("clock", -1 <= behind_days < 30, found, cure)
