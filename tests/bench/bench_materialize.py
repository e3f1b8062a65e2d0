"""``feast materialize`` into the online store: plain Feast's own stores and engine, and ours.

Twenty numbers of each shopper, one row each, from one Parquet file, into SQLite and into Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from tests.bench.harness import Bench, Goal, Measured, run
from tests.bench.redis_place import connection_string, start_redis

NAMES = [f"f{number:02}" for number in range(20)]
START = datetime(2025, 1, 1, tzinfo=UTC)
SIZES = {"2,000 rows": 2_000, "10,000 rows": 10_000, "100,000 rows": 100_000}
FEAST_SQLITE, FEAST_REDIS = "Feast, SQLite", "Feast, Redis"
OUR_SQLITE, OUR_REDIS = "Nudge, SQLite", "Nudge, Redis"


def make(folder: Path, size: str) -> None:
    """One row of twenty numbers for each shopper, at different moments."""
    num, rng = SIZES[size], np.random.default_rng(7)
    at = pl.lit(START) + pl.duration(microseconds=pl.int_range(num) * 1_000)
    rows = pl.DataFrame({name: rng.random(num).round(6) for name in NAMES})
    rows = rows.with_columns(
        pl.format("shopper-{}", pl.int_range(num)).alias("user_id"),
        at.dt.cast_time_unit("us").alias("event_timestamp"),
    )
    rows.with_columns(created="event_timestamp").write_parquet(folder / "rows.parquet")


def side(*, ours: bool, redis: bool) -> Callable[[Path, str], Callable[[], Measured]]:
    """A plain Feast repository over the file; its materialize."""

    def made(folder: Path, size: str) -> Callable[[], Measured]:
        from feast import (
            Entity,
            FeatureStore,
            FeatureView,
            Field,
            FileSource,
            RepoConfig,
            ValueType,
        )
        from feast.types import Float64, String

        place = folder / f"{ours}-{redis}"
        place.mkdir(exist_ok=True)
        (place / "online.db").unlink(missing_ok=True)
        url = start_redis() if redis else f"sqlite:///{place}/online.db"
        if ours:
            online = {"type": "feature_repo.online.PackedOnlineStore", "url": url}
        elif redis:
            online = {"type": "redis", "connection_string": connection_string(url)}
        else:
            online = {"type": "sqlite", "path": str(place / "online.db")}
        columnar = {"type": "feature_repo.materializing.ColumnarEngine"}
        config = RepoConfig(
            project="bench",
            provider="local",
            registry={"registry_type": "file", "path": str(place / "registry")},
            offline_store={"type": "feature_repo.offline.AsOfOfflineStore"},
            online_store=online,
            batch_engine=columnar if ours else "local",
            materialization={"pull_latest_features": True, "online_write_batch_size": 1_000},
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
        num = SIZES[size]

        def answer() -> list[list[float]]:
            asked = [{"user_id": f"shopper-{row}"} for row in range(0, num, num // 7)]
            names = [f"state:{name}" for name in NAMES]
            found = feast.get_online_features(features=names, entity_rows=asked).to_dict()
            return [found[name] for name in NAMES]

        def call() -> Measured:
            began = datetime.now(UTC)
            feast.materialize(START - timedelta(days=1), START + timedelta(days=1))
            seconds = (datetime.now(UTC) - began).total_seconds()
            return Measured(answer=answer, figures={"rows_per_s": num / seconds})

        return call

    return made


SMALL = ("2,000 rows", "10,000 rows")
BENCH = Bench(
    name="materialize",
    title="Materialize",
    line=(
        "`feast materialize` of one view of twenty numbers, one row a shopper, read from Parquet "
        "by the same offline store. Feast's own SQLite and Redis stores write in batches of 1,000 "
        "(`online_write_batch_size`), as its documentation advises. The ratio is that of SQLite."
    ),
    goals=(
        Goal(words="20,000 rows/s into SQLite", figure="rows_per_s", at_least=20_000.0),
        Goal(words="20 times the rate of Feast's SQLite store", figure="rows_per_s",
             against=FEAST_SQLITE, at_least=20.0, size="10,000 rows"),
        Goal(words="20,000 rows/s into Redis", figure="rows_per_s", side=OUR_REDIS,
             at_least=20_000.0),
    ),
    figure="rows_per_s",
    sizes=tuple(SIZES),
    make=make,
    sides={
        FEAST_SQLITE: side(ours=False, redis=False),
        FEAST_REDIS: side(ours=False, redis=True),
        OUR_SQLITE: side(ours=True, redis=False),
        OUR_REDIS: side(ours=True, redis=True),
    },
    obvious=FEAST_SQLITE,
    ours=OUR_SQLITE,
    rounds=2,
    only={FEAST_SQLITE: SMALL, FEAST_REDIS: SMALL},
)  # fmt: skip

if __name__ == "__main__":
    run(BENCH)
