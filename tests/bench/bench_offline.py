"""Point-in-time rows: plain Feast on DuckDB, plain Feast on our store, and Polars by hand.

The same spine, the same files, the same features, interleaved, each in a process of its own, at two
sizes. Prints a Markdown table of CPU and wall seconds (medians), and fails when answers differ.
Feast on DuckDB is measured where ``feast[duckdb]`` is installed, which Nudge itself does not need.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl

NUM_FEATURES, NUM_ROUNDS, SPAN_US = 30, 3, 300 * 86_400_000_000
SIZES = ((50_000, 1_000_000), (200_000, 5_000_000))
START = datetime(2025, 1, 1, tzinfo=UTC)
NAMES = [f"f{number:02}" for number in range(NUM_FEATURES)]
STORES = {
    "feast on DuckDB": "duckdb",
    "feast on ours": "feature_repo.offline.AsOfOfflineStore",
}


def make(folder: Path, num_spine: int, num_rows: int) -> None:
    """Feature rows of ``num_rows / 50`` shoppers and a spine of moments, seeded."""
    rng = np.random.default_rng(7)
    num_users = num_rows // 50

    def frame(num: int) -> pl.DataFrame:
        # To the microsecond: of two rows of one moment each side would take another.
        micros = pl.Series(rng.integers(0, SPAN_US, num)).cast(pl.Int64)
        users = pl.Series("user_id", rng.integers(0, num_users, num)).cast(pl.String)
        at = (pl.lit(START) + pl.duration(microseconds=micros)).dt.cast_time_unit("us")
        return pl.select(users, at.alias("event_timestamp"))

    features = {name: rng.random(num_rows) for name in NAMES}
    rows = frame(num_rows).with_columns(pl.DataFrame(features), created="event_timestamp")
    rows.sort("event_timestamp").write_parquet(folder / "rows.parquet")
    frame(num_spine).write_parquet(folder / "spine.parquet")


def by_feast(folder: Path, store: str) -> Callable[[], pl.DataFrame]:
    """A plain Feast repository over the file; its retrieval."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64, String

    config = RepoConfig(
        project="bench",
        provider="local",
        registry={"registry_type": "file", "path": str(folder / f"{store}.registry")},
        offline_store={"type": store},
        online_store=None,
        entity_key_serialization_version=3,
    )
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="state",
        entities=[user],
        ttl=timedelta(0),
        schema=[Field(name="user_id", dtype=String)]
        + [Field(name=name, dtype=Float64) for name in NAMES],
        source=FileSource(
            path=str(folder / "rows.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        ),
    )
    feast = FeatureStore(config=config)
    feast.apply([user, view])
    spine = pl.read_parquet(folder / "spine.parquet").to_pandas()

    def read() -> pl.DataFrame:
        job = feast.get_historical_features(
            entity_df=spine, features=[f"state:{name}" for name in NAMES]
        )
        return pl.DataFrame(pl.from_arrow(job.to_arrow()))

    return read


def by_hand(folder: Path) -> Callable[[], pl.DataFrame]:
    """What one would write without a feature store."""

    def read() -> pl.DataFrame:
        rows = pl.read_parquet(
            folder / "rows.parquet", columns=["user_id", "event_timestamp", *NAMES]
        )
        spine = pl.read_parquet(folder / "spine.parquet").with_row_index("row")
        joined = spine.sort("event_timestamp").join_asof(
            rows.sort("event_timestamp"), on="event_timestamp", by="user_id"
        )
        return joined.sort("row").drop("row")

    return read


def measure(folder: Path, who: str) -> None:
    """One retrieval; prints CPU seconds, wall seconds and a sum over the answer."""
    read = by_feast(folder, STORES[who]) if who in STORES else by_hand(folder)
    cpu, wall = time.process_time(), time.perf_counter()
    rows = read()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    rows = rows.sort("user_id", "event_timestamp", "f00").select(NAMES)
    known = rows.select(pl.all().is_not_null().sum()).row(0)
    answer = [rows.height, *known, *(round(total, 6) for total in rows.sum().row(0))]
    print(json.dumps({"cpu": cpu, "wall": wall, "answer": answer}))


def main() -> None:
    """All of them, interleaved, at every size."""
    who = ["polars by hand", "feast on ours"]
    if find_spec("duckdb") and find_spec("ibis"):
        who.append("feast on DuckDB")
    print("| spine rows | feature rows | | CPU-s | s | by hand = 1 |")
    print("|---|---|---|---|---|---|")
    for num_spine, num_rows in SIZES:
        with tempfile.TemporaryDirectory() as place:
            make(Path(place), num_spine, num_rows)
            found = {name: [] for name in who}
            for _ in range(NUM_ROUNDS):
                for name in who:
                    command = [sys.executable, "-W", "ignore", __file__, place, name]
                    said = subprocess.run(command, capture_output=True, text=True, check=True)
                    found[name].append(json.loads(said.stdout.splitlines()[-1]))
            answers = {json.dumps(run["answer"]) for runs in found.values() for run in runs}
            assert len(answers) == 1, f"the answers differ: {answers}"
            floor = statistics.median(run["cpu"] for run in found["polars by hand"])
            for name, runs in found.items():
                cpu, wall = (
                    statistics.median(run[what] for run in runs) for what in ("cpu", "wall")
                )
                print(
                    f"| {num_spine:,} | {num_rows:,} | {name} | {cpu:.2f} | {wall:.2f} | "
                    f"{cpu / floor:.2f} |"
                )
    print(f"\nload {os.getloadavg()[0]:.1f}, {NUM_ROUNDS} rounds, answers equal")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]), sys.argv[2])
    else:
        main()
