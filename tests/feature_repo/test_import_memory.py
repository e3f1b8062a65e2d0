"""A file several times larger than the memory that its import takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

NUM_ROWS = 5_000_000
SLICE = 500_000
MAX_PEAK_MB = 1_000
START = 1_600_000_000

IMPORT = """
import resource, sys
from pathlib import Path
from feature_repo.importing.importers import import_files
from feature_repo.importing.mapping import Mapping
from feature_repo.warehouse import Warehouse
folder = Path(sys.argv[1])
warehouse = Warehouse(f"sqlite:///{folder}/shop.db")
warehouse.migrate()
mapping = Mapping(
    name="large", base_currency="EUR", time_format="unix_s",
    columns={"event_id": "id", "user_id": "user", "event_at": "at", "item_id": "item",
             "order_id": "order", "kind": "kind", "price": "price", "quantity": "pieces",
             "text": "title"},
)
report = import_files(warehouse, [folder / "events.csv"], mapping, now=1_900_000_000_000_000)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
cpu = resource.getrusage(resource.RUSAGE_SELF).ru_utime
print(report.accepted, peak, round(cpu))
"""


def rows(first: int) -> pl.DataFrame:
    row = pl.int_range(first, first + SLICE)
    kind = pl.when(row % 50 == 0).then(pl.lit("return")).otherwise(pl.lit("purchase"))
    return pl.select(
        id=pl.format("event-{}", row),
        user=pl.format("shopper-{}", row * 7919 % 200_000),
        at=START + row,
        item=pl.format("item-{}", row * 104_729 % 50_000),
        order=pl.format("order-{}", row // 3),
        kind=kind,
        price=(row % 900 + 1) / 100,
        pieces=row % 5 + 1,
        title=pl.format(
            "a tea pot with flowers and a lid, {} of a set; {}", row % 9, pl.lit("x" * 90)
        ),
    )


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_an_import_of_a_gigabyte_takes_less_memory_than_the_file(tmp_path):
    path: Path = tmp_path / "events.csv"
    with path.open("wb") as file:
        for first in range(0, NUM_ROWS, SLICE):
            rows(first).write_csv(file, include_header=first == 0)
    size_mb = path.stat().st_size >> 20
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(tmp_path)], capture_output=True, text=True, timeout=3000
    )
    assert done.returncode == 0, done.stderr
    accepted, peak_mb, cpu_s = map(int, done.stdout.split())
    print(f"{accepted:,} rows, {size_mb} MB: peak {peak_mb} MB, {cpu_s} CPU-s")
    assert accepted == NUM_ROWS
    assert peak_mb < MAX_PEAK_MB < size_mb
