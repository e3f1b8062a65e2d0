"""How many events a second enter a warehouse, and how fast they are read again.

SQLite in a temporary folder, or the empty PostgreSQL database of ``NUDGE_BENCH_URL``.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import polars as pl

from feature_repo.events import EVENT_SCHEMA
from feature_repo.importing.importers import import_files
from feature_repo.importing.mapping_file import read_mapping
from feature_repo.ingest import ingest
from feature_repo.settings import SECOND
from feature_repo.warehouse import Warehouse

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("NUDGE_DATA", ROOT.parent / "shared" / "data")) / "uci_online_retail"
NUM_EVENTS = 400_000
NOW = 1_900_000_000 * SECOND


class Measured:
    """Prints what a block did each second, by the clock on the wall and by that of the CPU."""

    def __init__(self, what: str) -> None:
        self.what, self.num = what, NUM_EVENTS

    def __enter__(self) -> Measured:
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        print(
            f"{self.what}: {self.num:,} rows in {wall:.1f} s ({self.num / wall:,.0f}/s), "
            f"{cpu:.1f} CPU-s ({self.num / cpu:,.0f}/s)"
        )


def purchases() -> pl.DataFrame:
    """Events of 5,000 shoppers in the order of their times."""
    row = pl.int_range(NUM_EVENTS)
    known = pl.select(
        event_id=pl.format("event-{}", row),
        kind=pl.lit("purchase"),
        user_id=pl.format("shopper-{}", row * 7919 % 5_000),
        event_at=NOW - (NUM_EVENTS - row) * SECOND,
        received_at=NOW - (NUM_EVENTS - row) * SECOND,
        item_id=pl.format("item-{}", row * 104_729 % 4_000),
        order_id=pl.format("order-{}", row // 20),
        quantity=row % 5 + 1,
        price_micros=(row % 900 + 1) * 10_000,
        currency=pl.lit("GBP"),
        original_price_micros=(row % 900 + 1) * 10_000,
        text=pl.lit("a tea pot with flowers and a lid"),
    )
    return known.with_columns(decision_id=pl.lit(None, dtype=pl.String)).select(*EVENT_SCHEMA)


def fresh(folder: str, name: str) -> Warehouse:
    """An empty warehouse."""
    warehouse = Warehouse(os.environ.get("NUDGE_BENCH_URL", f"sqlite:///{folder}/{name}.db"))
    warehouse.migrate()
    return warehouse


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        warehouse, frame = fresh(folder, "made"), purchases()
        with Measured("ingest"):
            assert ingest(warehouse, frame, source="bench", now=NOW).accepted == NUM_EVENTS
        with Measured("ingest of the same again"):
            assert ingest(warehouse, frame, source="bench", now=NOW).duplicates == NUM_EVENTS
        with Measured("read all"):
            assert warehouse.events().height == NUM_EVENTS
        if "NUDGE_BENCH_URL" in os.environ:
            print("import of uci_online_retail: measured on SQLite only")
        elif DATA.exists():
            retail, mapping = fresh(folder, "retail"), read_mapping("uci_online_retail")
            with Measured("import of uci_online_retail") as measured:
                measured.num = import_files(retail, [DATA], mapping, now=NOW).read
        else:
            print("import of uci_online_retail: not measured, it is not in NUDGE_DATA")
