"""One shopper and 200 candidates from online rows in Redis to the matrix that a model eats.

Twenty numbers and fifty behaviours of the shopper, ten numbers of each item. Plain Feast asks for
the shopper once and for the items once; ours asks for the shopper alone, and gathers the items from
columns in the process, as the service's catalogue does. The floor is one MGET of packed numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from tests.bench.harness import Bench, Goal, Measured, run
from tests.bench.redis_place import connection_string, start_redis

USER = [f"u{number:02}" for number in range(20)]
ITEM = [f"i{number:02}" for number in range(10)]
START = datetime(2025, 1, 1, tzinfo=UTC)
NUM_USERS, NUM_REQUESTS, HISTORY = 200, 300, 50
SIZES = {"50 candidates": 50, "200 candidates": 200}
NUM_ITEMS = 1_000
FEAST, OURS, FLOOR = "Feast, Redis", "Nudge, Redis", "one packed MGET"


def make(folder: Path, size: str) -> None:
    """Rows of shoppers and of items, seeded."""
    rng = np.random.default_rng(7)
    for name, num, columns in (("user", NUM_USERS, USER), ("item", NUM_ITEMS, ITEM)):
        rows = pl.DataFrame({column: rng.random(num).round(6) for column in columns})
        if name == "user":
            history = rng.integers(0, 10**6, (num, HISTORY))
            rows = rows.with_columns(history=pl.Series(history.tolist(), dtype=pl.List(pl.Int64)))
        rows.with_columns(
            pl.format(f"{name}-{{}}", pl.int_range(num)).alias(f"{name}_id"),
            event_timestamp=pl.lit(START).dt.cast_time_unit("us"),
            created=pl.lit(START).dt.cast_time_unit("us"),
        ).write_parquet(folder / f"{name}.parquet")


def asked(number: int, num: int) -> tuple[str, np.ndarray]:
    """The shopper and the candidates of one request."""
    rng = np.random.default_rng(number)
    return f"user-{number % NUM_USERS}", rng.integers(0, NUM_ITEMS, num)


def measured(matrix: Callable[[str, np.ndarray], np.ndarray], size: str) -> Callable[[], Measured]:
    """A call that makes the matrix of many requests; its answer is what they sum to."""
    requests = [asked(number, SIZES[size]) for number in range(NUM_REQUESTS)]
    for user, items in requests[:20]:
        matrix(user, items)

    def call() -> Measured:
        cpu, walls, total = time.process_time(), [], 0.0
        for user, items in requests:
            began = time.perf_counter()
            total += float(matrix(user, items).sum())
            walls.append(time.perf_counter() - began)
        figures = {
            "cpu_ms": (time.process_time() - cpu) / len(requests) * 1e3,
            "p50_ms": float(np.median(walls)) * 1e3,
            "p99_ms": float(np.quantile(walls, 0.99)) * 1e3,
        }
        return Measured(answer=round(total, 3), figures=figures)

    return call


def repository(folder: Path, url: str, *, ours: bool):
    """A plain Feast repository with its rows materialised into Redis."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Array, Float64, Int64, String

    packed = {"type": "feature_repo.online.PackedOnlineStore", "url": url}
    plain = {"type": "redis", "connection_string": connection_string(url)}
    columnar = {"type": "feature_repo.materializing.ColumnarEngine"}
    feast = FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry={"registry_type": "file", "path": str(folder / f"registry-{ours}")},
            offline_store={"type": "feature_repo.offline.AsOfOfflineStore"},
            online_store=packed if ours else plain,
            batch_engine=columnar if ours else "local",
            materialization={"pull_latest_features": True},
            entity_key_serialization_version=3,
        )
    )
    objects = []
    for name, columns in (("user", USER), ("item", ITEM)):
        entity = Entity(name=name, join_keys=[f"{name}_id"], value_type=ValueType.STRING)
        fields = [Field(name=column, dtype=Float64) for column in columns]
        fields += [Field(name="history", dtype=Array(Int64))] if name == "user" else []
        source = FileSource(
            path=str(folder / f"{name}.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        )
        schema = [Field(name=f"{name}_id", dtype=String), *fields]
        view = FeatureView(
            name=f"{name}_state", entities=[entity], ttl=timedelta(0), schema=schema, source=source
        )
        objects += [entity, view]
    feast.apply(objects)
    feast.materialize(START - timedelta(days=1), START + timedelta(days=1))
    return feast


def joined(user: np.ndarray, history: np.ndarray, items: np.ndarray) -> np.ndarray:
    """(candidates, numbers): the shopper's beside each item's."""
    return np.hstack([np.tile(np.concatenate([user, history]), (len(items), 1)), items])


def by_feast(folder: Path, size: str) -> Callable[[], Measured]:
    """The shopper once and the items once, by names that were resolved before."""
    feast = repository(folder, start_redis(), ours=False)
    user_names = [f"user_state:{name}" for name in (*USER, "history")]
    item_names = [f"item_state:{name}" for name in ITEM]

    def matrix(user: str, items: np.ndarray) -> np.ndarray:
        mine = feast.get_online_features(user_names, [{"user_id": user}]).to_dict()
        rows = [{"item_id": f"item-{item}"} for item in items]
        theirs = feast.get_online_features(item_names, rows).to_dict()
        numbers = np.array([mine[name][0] for name in USER])
        columns = np.array([theirs[name] for name in ITEM]).T
        return joined(numbers, np.array(mine["history"][0], dtype=float), columns)

    return measured(matrix, size)


def by_nudge(folder: Path, size: str) -> Callable[[], Measured]:
    """One read of the shopper's packed row, and a gather from columns."""
    feast = repository(folder, start_redis(), ours=True)
    store, config = feast._get_provider().online_store, feast.config
    ids = [f"item-{number}" for number in range(NUM_ITEMS)]
    kept = store.read(config, ["item_state"], ids)["item_state"]
    columns = np.array([[row[2][name] for name in ITEM] for row in kept])

    def matrix(user: str, items: np.ndarray) -> np.ndarray:
        row = store.read(config, ["user_state"], [user])["user_state"][0][2]
        numbers = np.array([row[name] for name in USER])
        return joined(numbers, np.array(row["history"], dtype=float), columns[items])

    return measured(matrix, size)


def by_blobs(folder: Path, size: str) -> Callable[[], Measured]:
    """What the wire allows: all of it as packed numbers by one MGET."""
    import redis

    client = redis.Redis.from_url(start_redis())
    users = pl.read_parquet(folder / "user.parquet")
    items = pl.read_parquet(folder / "item.parquet")
    numbers = np.hstack(
        [users.select(USER).to_numpy(), np.array(users["history"].to_list(), float)]
    )
    rows = {f"user-{place}": row.tobytes() for place, row in enumerate(numbers)}
    rows |= {
        f"item-{place}": row.tobytes() for place, row in enumerate(items.select(ITEM).to_numpy())
    }
    client.mset(rows)

    def matrix(user: str, items: np.ndarray) -> np.ndarray:
        mine, *theirs = client.mget([user, *(f"item-{item}" for item in items)])
        person = np.frombuffer(mine)
        return joined(person[:20], person[20:], np.frombuffer(b"".join(theirs)).reshape(-1, 10))

    return measured(matrix, size)


BENCH = Bench(
    name="online",
    title="One shopper and 200 candidates",
    line=(
        "From online rows in Redis to a matrix of 200 rows: twenty numbers and fifty behaviours of "
        "the shopper, ten numbers of each item; 300 requests, one after the other. CPU is that of "
        "the asking process."
    ),
    goals=(
        Goal(words="at most 1 CPU-ms", figure="cpu_ms", at_most=1.0),
        Goal(words="within twice one packed MGET of everything", figure="cpu_ms", against=FLOOR,
             at_least=0.5),
        Goal(words="24 times less CPU than Feast's Redis store", figure="cpu_ms", against=FEAST,
             at_least=24.0),
    ),
    figure="cpu_ms",
    sizes=tuple(SIZES),
    make=make,
    sides={FEAST: by_feast, OURS: by_nudge, FLOOR: by_blobs},
    obvious=FEAST,
    ours=OURS,
)  # fmt: skip

if __name__ == "__main__":
    run(BENCH)
