"""Ten thousand drawn point-in-time cases against their definition, in plain loops.

A case is one row of a spine and one view. Drawn are the rows (ties, late ones, never known ones,
nulls, none at all), the files they lie in (one or many, small row groups, days in folders, in any
order, stamps in nanoseconds), the keys (text, numbers, both), TTL, guard, lists or not, and how
much is read at once. ``NUDGE_TEST_SEED`` draws others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pandas as pd
import polars as pl
import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Int64, String

from feature_repo.joining import asof, files, rows
from feature_repo.offline import AsOfOfflineStore

SEED = int(os.environ.get("NUDGE_TEST_SEED", "0"))
NUM_CASES = 10_000
BASE, DAY = 20_000 * 86_400_000_000, 86_400_000_000
KEYS = {"text": ["a", "b", "ab", "ü"], "number": [1, 2, 3, 2**53 + 1]}
Row = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """One view: its rows in order of the files, and what it says about reading them."""

    view: FeatureView
    rows: list[Row]
    keys: list[str]
    ttl: int
    collect: int | None
    is_ordered: bool


def test_ten_thousand_drawn_cases_equal_their_definition(tmp_path):
    random, num_cases, num_calls = Random(SEED), 0, 0
    while num_cases < NUM_CASES:
        told = f"NUDGE_TEST_SEED={SEED}, call {num_calls}"
        num_cases += sum(1 for _ in compared(random, tmp_path / str(num_calls), told))
        num_calls += 1
    print(f"{num_cases} cases in {num_calls} calls, NUDGE_TEST_SEED={SEED}")


def compared(random: Random, folder, told: str) -> Iterator[None]:
    """One call of the store for a few views; gives one thing for each case that was compared."""
    unit = random.choice([1, 1, DAY // 4])
    drawn = [draw(random, folder / name, name, unit) for name in random.choice(["s", "st", "stu"])]
    is_guarded = random.random() < 0.5
    spine = [draw_key(random, KEYS) | {"at": BASE + random.randrange(-3, 70) * unit}
             for _ in range(random.choice([0, 1, 100, 100]))]  # fmt: skip
    spine += spine[: random.choice([0, 10])]
    found = read(drawn, folder, spine, is_guarded, random)
    assert found.height == len(spine), told
    for row, asked in zip(found.iter_rows(named=True), spine, strict=True):
        for one in drawn:
            given = [row[f"{one.view.name}__{name}"] for name in ("num", "word")]
            assert given == defined(one, asked, is_guarded), f"{told} {one.view.name}: {asked}"
            yield


def defined(one: Drawn, asked: Row, is_guarded: bool) -> list[Any]:
    """What the view says at one row of the spine: the meaning of all this."""
    known = []
    for row in one.rows:
        if any(row[key] is None or row[key] != asked[key] for key in one.keys):
            continue
        if row["at"] is None or row["at"] > asked["at"]:
            continue
        if is_guarded and (row["made"] is None or row["made"] > asked["at"]):
            continue
        if one.ttl and row["at"] < asked["at"] - one.ttl:
            continue
        known.append(row)
    by = ["at", "made", "num"] if one.is_ordered else ["at", "made"]
    known.sort(key=lambda row: [(row[name] is not None, row[name] or 0) for name in by])
    if one.collect is None:
        return [known[-1]["num"], known[-1]["word"]] if known else [None, None]
    return [[row[name] for row in known[-one.collect :]] for name in ("num", "word")]


def draw(random: Random, folder, name: str, unit: int) -> Drawn:
    """A view over files in `folder`."""
    keys = random.choice([["text"], ["number"], ["text", "number"]])
    source_rows = [draw_row(random, unit) for _ in range(random.choice([0, 1, 20, 60, 60]))]
    order = random.choice([[], ["at"], ["number", "text", "at"]])
    source_rows.sort(
        key=lambda row: [(row[key] is not None, row[key] or type(row[key])()) for key in order]
    )
    is_daily = random.random() < 0.3
    if is_daily:
        source_rows = [row for row in source_rows if row["at"] is not None]
        source_rows.sort(key=lambda row: row["at"] // DAY)
    write(random, folder, source_rows, is_daily)
    collect, is_ordered = random.choice([None, None, 1, 3]), random.random() < 0.5
    ttl = random.choice([0, 0, 1, 9, 30]) * unit
    tags = {"collect": str(collect)} if collect else {}
    tags |= {"order": "num"} if is_ordered else {}
    tags |= {"date_partition_column": "day"} if is_daily and random.random() < 0.7 else {}
    is_file = len(list(folder.iterdir())) == 1 and not is_daily and random.random() < 0.8
    path = next(folder.iterdir()) if is_file else folder
    view = view_of(name, path, keys, ttl, tags)
    return Drawn(view, source_rows, keys, ttl, collect, is_ordered)


def draw_row(random: Random, unit: int) -> Row:
    at = None if random.random() < 0.03 else BASE + random.randrange(60) * unit
    late = random.choice([0, 0, 0, random.randrange(20) * unit, None])
    return draw_key(random, KEYS) | {
        "at": at,
        "made": None if at is None or late is None else at + late,
        "num": random.choice([None, 0, 1, 2, 2**60 + 1]),
        "word": random.choice(["x", "y", "", None]),
    }


def draw_key(random: Random, keys: dict[str, list[Any]]) -> Row:
    return {name: random.choice([*values, *values, None]) for name, values in keys.items()}


def write(random: Random, folder, source_rows: list[Row], is_daily: bool) -> None:
    """Rows as one file, as some, or as one in a folder for each day, in that order."""
    unit = random.choice(["us", "us", "ns"])
    stamp = pl.Datetime(unit, random.choice(["UTC", None]))
    schema = {"text": pl.String, "number": pl.Int64, "at": pl.Int64, "made": pl.Int64,
              "num": pl.Int64, "word": pl.String}  # fmt: skip
    frame = pl.DataFrame(source_rows, schema=schema)
    scale = pl.col("at", "made") * (1000 if unit == "ns" else 1)
    frame = frame.with_columns(scale.cast(pl.Datetime(unit)).cast(stamp))
    parts = {"0.parquet": frame}
    if is_daily and frame.height:
        days = frame.with_columns(day=pl.col("at").dt.strftime("%Y-%m-%d"))
        parts = {f"day={day}/0.parquet": part.drop("day")
                 for (day,), part in days.group_by("day", maintain_order=True)}  # fmt: skip
    elif is_daily:
        parts = {"day=2020-01-01/0.parquet": frame}
    elif random.random() < 0.5:
        cut = random.randrange(frame.height + 1)
        parts = {"0.parquet": frame[:cut], "1.parquet": frame[cut:]}
    for name, part in parts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        part.write_parquet(folder / name, row_group_size=random.choice([2, 7, 1000]))


def view_of(name: str, path, keys: list[str], ttl: int, tags: dict[str, str]) -> FeatureView:
    kinds = {"text": String, "number": Int64}
    types = {"text": ValueType.STRING, "number": ValueType.INT64}
    found = FeatureView(
        name=name,
        entities=[Entity(name=f"by_{key}", join_keys=[key], value_type=types[key]) for key in keys],
        ttl=timedelta(microseconds=ttl),
        schema=[Field(name=key, dtype=kinds[key]) for key in keys]
        + [
            Field(name=column, dtype=Array(kind) if "collect" in tags else kind)
            for column, kind in {"num": Int64, "word": String}.items()
        ],
        source=FileSource(
            name=f"{name}_source",
            path=str(path),
            timestamp_field="at",
            created_timestamp_column="made",
            tags=tags,
        ),
    )
    found.entity_columns = [Field(name=key, dtype=kinds[key]) for key in keys]
    return found


def read(
    drawn: list[Drawn], folder, spine: list[Row], is_guarded: bool, random: Random
) -> pl.DataFrame:
    """What the store gives, reading as little or as much at once as is drawn."""
    times = pd.to_datetime([row["at"] for row in spine], unit="us", utc=True)
    number = pd.array([row["number"] for row in spine], dtype="Int64")
    text = pd.Series([row["text"] for row in spine], dtype=object)
    frame = pd.DataFrame({"text": text, "number": number, "event_timestamp": times})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asof, "_PIECE", random.choice([1, 4, 1 << 21]))
        patch.setattr(rows, "_ROWS", random.choice([1, 10, 1 << 20]))
        patch.setattr(files, "_CELLS", random.choice([1, 1 << 18]))
        job = AsOfOfflineStore.get_historical_features(
            SimpleNamespace(repo_path=folder),
            [one.view for one in drawn],
            [f"{one.view.name}:{name}" for one in drawn for name in ("num", "word")],
            frame,
            SimpleNamespace(list_on_demand_feature_views=lambda *_, **__: []),
            "project",
            full_feature_names=True,
            filter_by_created_timestamp=is_guarded,
        )
        return pl.DataFrame(job.to_arrow())
