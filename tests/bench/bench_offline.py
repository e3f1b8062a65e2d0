"""Point-in-time rows through plain Feast on DuckDB and on our store, and by Polars by hand.

The same spine and the same facts: thirty numbers, and of the last fifty purchases of each shopper
what, for how much and when, as a sequence model reads them. Feast on DuckDB reads those from
columns of lists, one for each row, made beforehand and not counted; ours collects them from one row
for each purchase, as does the hand-written code.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from tests.bench.harness import Bench, Goal, Measured, run

NUM_FEATURES, LAST, SPAN_US = 30, 50, 300 * 86_400_000_000
START = datetime(2025, 1, 1, tzinfo=UTC)
NAMES = [f"f{number:02}" for number in range(NUM_FEATURES)]
LISTS = ["item", "amount", "bought_at"]
SIZES = {
    "50,000 × 1 M": (50_000, 1_000_000),
    "200,000 × 5 M": (200_000, 5_000_000),
    "1 M × 5 M": (1_000_000, 5_000_000),
}
OURS, DUCKDB, HAND = "Nudge", "Feast on DuckDB", "Polars by hand"


def make(folder: Path, size: str) -> None:
    """Feature rows of ``num_rows / 50`` shoppers and a spine of moments, seeded."""
    num_spine, num_rows = SIZES[size]
    rng = np.random.default_rng(7)
    num_users = num_rows // 50

    def frame(num: int) -> pl.DataFrame:
        # To the microsecond: of two rows of one moment each side would take another.
        micros = pl.Series(rng.integers(0, SPAN_US, num)).cast(pl.Int64)
        users = pl.Series("user_id", rng.integers(0, num_users, num)).cast(pl.String)
        at = (pl.lit(START) + pl.duration(microseconds=micros)).dt.cast_time_unit("us")
        return pl.select(users, at.alias("event_timestamp"))

    rows = frame(num_rows).sort("event_timestamp").with_columns(created="event_timestamp")
    items = rows.with_columns(
        item=pl.Series(rng.integers(0, 20_000, num_rows)),
        amount=pl.Series(rng.integers(99, 9_999, num_rows) / 100),
        bought_at=pl.col("event_timestamp").dt.epoch("us"),
    )
    items.write_parquet(folder / "items.parquet")
    rows = rows.hstack(pl.DataFrame({name: rng.random(num_rows) for name in NAMES}))
    rows.write_parquet(folder / "rows.parquet")
    if num_spine < 1_000_000:  # lists for DuckDB, which is not measured at the largest
        rows.hstack(lists_of(items)).write_parquet(folder / "wide.parquet")
    frame(num_spine).write_parquet(folder / "spine.parquet")


def lists_of(items: pl.DataFrame) -> pl.DataFrame:
    """The last purchases of the shopper at each row, as a store of lists keeps them."""
    order = items.with_row_index("row").sort("user_id", "event_timestamp")
    lists = last_lists(order, pl.Series(range(len(order))))
    return lists.with_columns(order["row"]).sort("row").drop("row")


def last_lists(order: pl.DataFrame, place: pl.Series) -> pl.DataFrame:
    """What was bought up to each `place` of rows in order of shopper and time, the last alone."""
    within = order.select(pl.int_range(pl.len()).over("user_id")).to_series()
    lengths = np.minimum(within.gather(place).to_numpy() + 1, LAST)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(ends[-1]) - np.repeat(ends[:-1] - (place.to_numpy() - lengths + 1), lengths)
    offsets = pa.array(ends, pa.int32())
    return pl.DataFrame(
        {
            name: pa.ListArray.from_arrays(offsets, order[name].gather(places).to_arrow())
            for name in LISTS
        }
    )


def by_feast(folder: Path, store: str) -> Callable[[], pl.DataFrame]:
    """A plain Feast repository over the files; its retrieval."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Array, Float64, Int64, String

    config = RepoConfig(
        project="bench",
        provider="local",
        registry={"registry_type": "file", "path": str(folder / f"{store}.registry")},
        offline_store={"type": store},
        online_store=None,
        entity_key_serialization_version=3,
    )
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)

    def view(name: str, file: str, fields: dict, tags: dict | None = None) -> FeatureView:
        source = FileSource(
            path=str(folder / file),
            timestamp_field="event_timestamp",
            created_timestamp_column="created",
        )
        schema = [Field(name="user_id", dtype=String)]
        schema += [Field(name=name, dtype=kind) for name, kind in fields.items()]
        return FeatureView(
            name=name, entities=[user], ttl=timedelta(0), schema=schema, source=source, tags=tags
        )

    numbers = dict.fromkeys(NAMES, Float64)
    lists = {"item": Array(Int64), "amount": Array(Float64), "bought_at": Array(Int64)}
    if store == "duckdb":
        views = [view("state", "wide.parquet", numbers | lists)]
    else:
        history = view("history", "items.parquet", lists, {"collect": str(LAST)})
        views = [view("state", "rows.parquet", numbers), history]
    asked = [f"{one.name}:{field.name}" for one in views for field in one.features]
    feast = FeatureStore(config=config)
    feast.apply([user, *views])
    spine = pl.read_parquet(folder / "spine.parquet").to_pandas()

    def read() -> pl.DataFrame:
        job = feast.get_historical_features(entity_df=spine, features=asked)
        return pl.DataFrame(pl.from_arrow(job.to_arrow()))

    return read


def by_hand(folder: Path) -> Callable[[], pl.DataFrame]:
    """What one would write without a feature store: an as-of join, and a gather of the last."""

    def read() -> pl.DataFrame:
        columns = ["user_id", "event_timestamp"]
        rows = pl.read_parquet(folder / "rows.parquet", columns=[*columns, *NAMES])
        spine = pl.read_parquet(folder / "spine.parquet").with_row_index("row")
        spine = spine.sort("event_timestamp")
        joined = spine.join_asof(rows.sort("event_timestamp"), on="event_timestamp", by="user_id")
        items = pl.read_parquet(folder / "items.parquet", columns=[*columns, *LISTS])
        items = items.sort("user_id", "event_timestamp").with_columns(place=pl.int_range(pl.len()))
        newest = items.drop(LISTS).sort("event_timestamp")
        found = spine.join_asof(newest, on="event_timestamp", by="user_id").sort("row")
        known = found.drop_nulls("place").select("row", "place")
        lists = last_lists(items, known["place"]).with_columns(known["row"])
        return (
            joined.sort("row").join(lists, on="row", how="left", maintain_order="left").drop("row")
        )

    return read


def side(read_of: Callable[[Path], Callable[[], pl.DataFrame]]) -> Callable:
    """A side of the bench, whose answer is what its rows sum to."""

    def made(folder: Path, size: str) -> Callable:
        read = read_of(folder)

        def call() -> Measured:
            rows = read()
            return Measured(answer=lambda: answer(rows))

        return call

    return made


def answer(rows: pl.DataFrame) -> list[float]:
    """Rows, known values, and sums that change when a value moves to another row."""
    rows = rows.sort("user_id", "event_timestamp", "f00")
    weight = pl.int_range(pl.len()) % 1_009
    sums = rows.select(
        *((pl.col(name) * weight).sum() for name in NAMES),
        *((pl.col(name).list.sum().cast(pl.Float64) * weight).sum() for name in LISTS),
        (pl.col("item").list.first().fill_null(0) * weight).sum().alias("first"),
        pl.col("item").list.len().fill_null(0).sum().alias("num"),
        pl.col("f00").is_not_null().sum().alias("known"),
    ).row(0)
    return [rows.height, *(float(f"{total:.12g}") for total in sums)]


BENCH = Bench(
    name="offline",
    title="Point-in-time rows",
    line=(
        "`get_historical_features` of plain Feast: spine rows × feature rows, thirty numbers and, "
        "as three lists, the last fifty purchases of each shopper (300 days, fifty rows a shopper, "
        "one file for each view, in order of time; plain Feast finds the lists ready made). "
        f"“{HAND}” is what one would write without a feature store."
    ),
    goals=(
        Goal(words="8 times less CPU than Feast on DuckDB", figure="cpu_s", against=DUCKDB,
             at_least=8.0, size="200,000 × 5 M"),
        Goal(words="at most 1.5 times the CPU of Polars by hand", figure="cpu_s", against=HAND,
             at_least=1 / 1.5, size="200,000 × 5 M"),
        Goal(words="1 M rows in at most 3 GiB", figure="peak_mib", at_most=3072.0),
    ),
    figure="cpu_s",
    sizes=tuple(SIZES),
    make=make,
    sides={
        DUCKDB: side(lambda folder: by_feast(folder, "duckdb")),
        OURS: side(lambda folder: by_feast(folder, "feature_repo.offline.AsOfOfflineStore")),
        HAND: side(by_hand),
    },
    obvious=DUCKDB,
    ours=OURS,
    only={DUCKDB: ("50,000 × 1 M", "200,000 × 5 M")},
    reading=(
        "Eight times less than DuckDB is reached at the smaller size, and missed at the larger. "
        "There a third of our CPU unpacks thirty columns: 4 % of the rows answer, and each page "
        "of 1.2 GB holds some of them. A third is the kernel's, for new memory and for files that "
        "fell out of it between the rounds ([profile](lab-log.md))."
    ),
)  # fmt: skip

if __name__ == "__main__":
    run(BENCH)
