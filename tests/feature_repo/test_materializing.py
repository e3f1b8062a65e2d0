"""``feast materialize`` by columns writes what Feast's own engine writes, value by value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.repo_config import RepoConfig
from feast.types import Array, Bool, Float64, Int64, String, UnixTimestamp

from feature_repo.retrieval import packed_store

START = datetime(2025, 1, 1, tzinfo=UTC)
KINDS = {
    "num": Int64,
    "part": Float64,
    "word": String,
    "flag": Bool,
    "nums": Array(Int64),
    "parts": Array(Float64),
    "words": Array(String),
}
COLUMNAR = "feature_repo.materializing.ColumnarEngine"


def rows(seed: int, num: int, *, finite: bool) -> pl.DataFrame:
    """Rows of a third as many shoppers, with nulls, odd text, and numbers at the edge."""
    rng = np.random.default_rng(seed)

    def some(values, kind, share=0.2):
        picked = [values[place] for place in rng.integers(0, len(values), num)]
        return pl.Series([None if rng.random() < share else v for v in picked], dtype=kind)

    floats = [0.1, -0.0, 1e300, 5e-324, 3.0] + ([] if finite else [np.inf])
    texts = ["", 'ä"\\\n\x01', "\u2028", "x"]
    at = [START + timedelta(microseconds=int(v)) for v in rng.permutation(num)]
    return pl.DataFrame(
        {
            "shop": some(["s", "t"], pl.String, 0),
            "who": pl.Series([f"u{v}" for v in rng.integers(0, max(1, num // 3), num)]),
            "at": pl.Series(at, dtype=pl.Datetime("us", "UTC")),
            "made": pl.Series(at, dtype=pl.Datetime("us", "UTC")),
            "stored_num": some([1, 2**53, -(2**53), 0], pl.Int64, 0),
            "part": some(floats, pl.Float64),
            "word": some(texts, pl.String),
            "flag": some([True, False], pl.Boolean, 0),
            "nums": some([[], [1, 2], [2**53]], pl.List(pl.Int64), 0),
            "parts": some([[0.1], []], pl.List(pl.Float64), 0),
            "words": some([["a", "ö"], []], pl.List(pl.String), 0),
        }
    )


def shop(folder, engine, keys=("who",), kinds=KINDS) -> FeatureStore:
    """A plain repository over the same file, materialised by `engine`."""
    place = folder / engine.rpartition(".")[2]
    place.mkdir()
    config = RepoConfig(
        project="shop",
        provider="local",
        registry=str(place / "registry.db"),
        offline_store={"type": "feature_repo.offline.AsOfOfflineStore"},
        online_store={
            "type": "feature_repo.online.PackedOnlineStore",
            "url": f"sqlite:///{place}/online.db",
        },
        batch_engine={"type": engine},
        materialization={"pull_latest_features": True},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    entities = [Entity(name=k, join_keys=[k], value_type=ValueType.STRING) for k in keys]
    view = FeatureView(
        name="state",
        entities=entities,
        ttl=timedelta(0),
        schema=[Field(name=k, dtype=String) for k in keys]
        + [Field(name=name, dtype=kind) for name, kind in kinds.items()],
        source=FileSource(
            path=str(folder / "rows.parquet"),
            timestamp_field="at",
            created_timestamp_column="made",
            field_mapping={"stored_num": "num"},
        ),
    )
    store.apply([*entities, view])
    store.materialize(START - timedelta(days=1), START + timedelta(days=1))
    return store


@pytest.mark.parametrize("keys", [("who",), ("shop", "who")])
@pytest.mark.parametrize(("seed", "finite"), [(0, True), (1, False)])
def test_it_keeps_what_feasts_own_engine_keeps(tmp_path, seed, finite, keys):
    frame = rows(seed, 90, finite=finite)
    frame.write_parquet(tmp_path / "rows.parquet")
    asked = [*frame.select(keys).unique().to_dicts(), dict.fromkeys(keys, "nobody")]
    found = []
    for engine in (COLUMNAR, "local"):
        store = shop(tmp_path, engine, keys)
        names = [f"state:{name}" for name in KINDS]
        found.append(store.get_online_features(features=names, entity_rows=asked).to_dict())
    assert found[0] == found[1]
    assert sum(value is not None for value in found[0]["num"]) == len(asked) - 1


def test_whole_numbers_beside_nulls_stay_exact(tmp_path):
    frame = rows(2, 6, finite=True).with_columns(
        who=pl.Series(["a", "a", "b", "b", "c", "c"]), stored_num=pl.Series([2**60 + 1, None] * 3)
    )
    frame = frame.sort("stored_num", nulls_last=True).with_columns(at=frame["at"].sort())
    frame.write_parquet(tmp_path / "rows.parquet")
    store = shop(tmp_path, COLUMNAR)
    packed = packed_store(store).read(store.config, ["state"], ["a", "b", "c"])["state"]
    assert [row[2]["num"] for row in packed] == [None, None, None]
    frame.filter(pl.col("stored_num").is_not_null()).write_parquet(tmp_path / "rows.parquet")
    packed_store(store).teardown(store.config, [], [])
    store.materialize(START - timedelta(days=1), START + timedelta(days=1))
    packed = packed_store(store).read(store.config, ["state"], ["a", "b", "c"])["state"]
    assert [row[2]["num"] for row in packed] == [2**60 + 1] * 3


def test_what_packed_text_cannot_hold_goes_feasts_own_way(tmp_path):
    frame = rows(3, 30, finite=True).with_columns(seen=pl.col("at"))
    frame.write_parquet(tmp_path / "rows.parquet")
    store = shop(tmp_path, COLUMNAR, kinds={"num": Int64, "seen": UnixTimestamp})
    entity = {"who": frame["who"][0]}
    found = store.get_online_features(features=["state:seen"], entity_rows=[entity]).to_dict()
    assert found["seen"][0] is not None


def test_an_error_of_the_source_reaches_who_asked(tmp_path):
    rows(4, 9, finite=True).drop("part").write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="no column part"):
        shop(tmp_path, COLUMNAR)
