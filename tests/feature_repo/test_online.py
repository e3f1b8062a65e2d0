"""The packed online store: exact values, newest wins, several processes."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from feast.types import Array, Bytes, Float64, Int64, String, UnixTimestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.online import PackedOnlineStore

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = 1_700_000_000_000_001
FIELDS = {
    "num": Int64,
    "part": Float64,
    "word": String,
    "nums": Array(Int64),
    "parts": Array(Float64),
    "words": Array(String),
}


def moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def place(url, project="shop") -> SimpleNamespace:
    return SimpleNamespace(online_store=SimpleNamespace(url=url), repo_path=None, project=project)


@pytest.fixture(params=["sqlite", "redis"])
def url(request, tmp_path) -> str:
    if request.param == "redis":
        return request.getfixturevalue("redis_url")
    return f"sqlite:///{tmp_path}/online.db"


def view(name="view", fields=FIELDS) -> SimpleNamespace:
    features = [Field(name=field, dtype=kind) for field, kind in fields.items()]
    return SimpleNamespace(name=name, features=features)


def key(**values) -> EntityKey:
    kinds = {str: "string_val", int: "int64_val"}
    return EntityKey(
        join_keys=list(values),
        entity_values=[Value(**{kinds[type(value)]: value}) for value in values.values()],
    )


ints = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.fixed_dictionaries(
    {
        "num": st.none() | ints,
        "part": st.none() | floats,
        "word": st.none() | words,
        "nums": st.none() | st.lists(ints, max_size=5),
        "parts": st.none() | st.lists(floats, max_size=5),
        "words": st.none() | st.lists(words, max_size=5),
    }
)
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def protobuf(name: str, value) -> Value:
    kind = f"{FIELDS[name].to_value_type().name.lower()}_val"
    found = Value()
    if isinstance(value, list):
        getattr(found, kind).SetInParent()
        getattr(found, kind).val.extend(value)
    elif value is not None:
        setattr(found, kind, value)
    return found


@quick
@given(row=values, who=words.filter(bool))
def test_values_come_back_as_they_were_by_either_way(url, row, who):
    store, config = PackedOnlineStore(), place(url)
    packed = {name: protobuf(name, value) for name, value in row.items()}
    store.update(config, [view()], [], [], [], partial=False)
    store.online_write_batch(config, view(), [(key(who=who), packed, moment(NOW), None)], None)
    assert store.read(config, ["view"], [who]) == {"view": [(NOW, NOW, row)]}
    store.write(config, {"view": [(who, NOW, NOW, row)]})
    assert store.online_read(config, view(), [key(who=who)]) == [(moment(NOW), packed)]

    async def read() -> list:
        asked = [key(who=who), key(who=f"not {who}")]
        try:
            return await store.online_read_async(config, view(), asked, ["num", "nums"])
        finally:
            await store.close()

    some = {name: packed[name] for name in ("num", "nums")}
    assert asyncio.run(read()) == [(moment(NOW), some), (None, None)]


@quick
@given(
    writes=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 3)), max_size=12
    ),
    cut=st.integers(0, 12),
)
def test_the_newest_wins_and_of_equals_the_later_write(url, writes, cut):
    store, config = PackedOnlineStore(), place(url)
    store.teardown(config, [], [])
    rows = [(who, at, made, {"n": n}) for n, (who, at, made) in enumerate(writes)]
    assert store.write(config, {"view": rows[:cut]}) == len(rows[:cut])
    store.write(config, {"view": iter(rows[cut:])})
    for who in "ab":
        mine = [row[1:] for row in rows if row[0] == who]
        wanted = max(mine, key=lambda row: (row[0], row[1], row[2]["n"]), default=None)
        assert store.read(config, ["view"], [who])["view"] == [wanted]


def test_reads_are_in_the_order_asked_with_none_for_the_unknown(url):
    store, config = PackedOnlineStore(), place(url)
    store.write(config, {"one": [("a", 1, 1, {"n": 1}), ("b", 1, 1, {"n": 2})]})
    store.write(config, {"two": [("b", 2, 2, {"m": 3})]})
    assert store.read(config, ["two", "one"], ["b", "nobody", "a", "b"]) == {
        "two": [(2, 2, {"m": 3}), None, None, (2, 2, {"m": 3})],
        "one": [(1, 1, {"n": 2}), None, (1, 1, {"n": 1}), (1, 1, {"n": 2})],
    }
    assert store.read(config, ["one"], []) == {"one": []}
    assert store.online_read(config, view(), [key(who="nobody")]) == [(None, None)]


def test_a_loop_goes_on_while_it_reads_and_each_loop_has_its_own_connections(url):
    store, config = PackedOnlineStore(), place(url)
    store.write(config, {"view": [(f"u{n}", 1, 1, {"n": n}) for n in range(20)]})

    async def read_all() -> list:
        tasks = [store.read_async(config, ["view", "none"], [f"u{n}", "nobody"]) for n in range(20)]
        try:
            return await asyncio.gather(*tasks)
        finally:
            await store.close()

    wanted = [{"view": [(1, 1, {"n": n}), None], "none": [None, None]} for n in range(20)]
    for _ in range(2):
        assert asyncio.run(read_all()) == wanted


def test_many_keys_are_looked_up_by_index_in_several_statements(url):
    """A plan that compares every row with every key takes minutes here, a look-up half a second."""
    store, config = PackedOnlineStore(), place(url)
    asked = [f"u{n}" for n in range(25_000)]
    store.write(config, {"view": [(who, 1, 1, {"who": who}) for who in asked]})
    began = time.process_time()
    found = store.read(config, ["view"], asked)["view"]
    assert time.process_time() - began < 10
    assert [row[2]["who"] for row in found] == asked


def test_only_requested_features_are_read_and_a_new_feature_is_null(url):
    store, config = PackedOnlineStore(), place(url)
    store.write(config, {"view": [("a", 1, 1, {"num": 5, "word": "x"})]})
    found = store.online_read(config, view(), [key(who="a")], ["num", "part"])
    assert found == [(moment(1), {"num": Value(int64_val=5), "part": Value()})]


def test_several_or_numeric_join_keys_are_apart_from_text(url):
    store, config = PackedOnlineStore(), place(url)
    asked = [key(b="1", a=2), key(a=2, b="1"), key(a=1, b="2"), key(a=7), key(a="7")]
    batch = [(asked[0], {"num": Value(int64_val=1)}, moment(1), moment(2))]
    batch += [(asked[3], {"num": Value(int64_val=2)}, datetime(1970, 1, 1), None)]
    store.online_write_batch(config, view(), batch, None)
    found = store.online_read(config, view(), asked, ["num"])
    assert [at for at, _ in found] == [moment(1), moment(1), None, EPOCH, None]
    assert store.read(config, ["view"], ['[2, "1"]'])["view"] == [(1, 2, {"num": 1})]


def test_times_are_kept_as_their_numbers(url):
    store, config = PackedOnlineStore(), place(url)
    stamped = view(fields={"at": UnixTimestamp})
    row = {"at": Value(unix_timestamp_val=123)}
    counted = []
    batch = [(key(who="a"), row, moment(1), None)]
    store.online_write_batch(config, stamped, batch, counted.append)
    assert store.online_read(config, stamped, [key(who="a")]) == [(moment(1), row)]
    assert counted == [1]


def test_bytes_are_refused_by_name(url):
    store, config = PackedOnlineStore(), place(url)
    rows = [(key(who="a"), {"raw": Value(bytes_val=b"x")}, moment(1), None)]
    with pytest.raises(ValueError, match="'raw' is a bytes_val"):
        store.online_write_batch(config, view(fields={"raw": Bytes}), rows, None)


def test_a_batch_is_kept_as_a_whole_or_not_at_all(url):
    store, config = PackedOnlineStore(), place(url)
    with pytest.raises(Exception, match=r"NOT NULL|NoneType"):
        store.write(config, {"kept": [("a", 1, 1, {})], "view": [("b", None, 1, {})]})
    assert store.read(config, ["kept"], ["a"]) == {"kept": [None]}
    store.write(config, {"view": [("a", 1, 1, {})]})
    assert store.read(config, ["view"], ["a"]) == {"view": [(1, 1, {})]}


def test_rows_of_several_views_that_are_written_together_are_seen_together(url):
    store, config, seen, enough = PackedOnlineStore(), place(url), set(), threading.Event()

    def write() -> None:
        for at in itertools.takewhile(lambda _: not enough.is_set(), itertools.count(1)):
            store.write(config, {view: [("a", at, at, {})] for view in ("one", "two")})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while writer.is_alive() and len(seen) < 20:
            found = store.read(config, ["one", "two"], ["a"])
            assert found["one"] == found["two"]
            seen.add(str(found["one"]))
    finally:
        enough.set()
        writer.join()
    assert len(seen) == 20


def test_projects_and_views_are_removed_one_by_one(url):
    store = PackedOnlineStore()
    mine, other = place(url), place(url, "other")
    for config in (mine, other):
        store.write(config, {"view": [("a", 1, 1, {})]})
        store.write(config, {"kept": [("a", 1, 1, {})]})
    store.update(mine, [view()], [view("kept")], [], [], partial=False)
    assert store.read(mine, ["view", "kept"], ["a"]) == {"view": [None], "kept": [(1, 1, {})]}
    store.teardown(mine, [], [])
    assert store.read(mine, ["kept"], ["a"]) == {"kept": [None]}
    assert store.read(other, ["view"], ["a"]) == {"view": [(1, 1, {})]}


def write_many(url, mark: int) -> None:
    store = PackedOnlineStore()
    for at in range(60):
        store.write(place(url), {"view": [(f"u{n}", at, mark, {"at": at}) for n in range(5)]})
        store.write(place(url), {f"own{mark}": [("a", at, at, {"mark": mark})]})


@pytest.mark.parametrize("start", [multiprocessing.get_context("fork").Process, threading.Thread])
def test_several_writers_lose_nothing(url, start):
    writers = [start(target=write_many, args=(url, mark)) for mark in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert getattr(writer, "exitcode", 0) == 0
    names = [f"own{mark}" for mark in range(4)]
    found = PackedOnlineStore().read(place(url), ["view", *names], ["u0", "u4", "a"])
    assert found["view"][:2] == [(59, 3, {"at": 59})] * 2
    assert [found[name][2] for name in names] == [(59, 59, {"mark": mark}) for mark in range(4)]


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def feast_store(request, tmp_path_factory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("repo")
    where = "sqlite:///online.db"
    if request.param == "redis":
        where = request.getfixturevalue("redis").database()
    stamp = pl.Series([moment(NOW)] * 2, dtype=pl.Datetime("us", "UTC"))
    pl.DataFrame({"who": ["a", "b"], "at": stamp, "num": [2**60 + 1, 2], "nums": [[1], []]}).select(
        pl.all(), made="at"
    ).write_parquet(folder / "rows.parquet")
    config = RepoConfig(
        project="shop",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": "feature_repo.offline.AsOfOfflineStore"},
        online_store={"type": "feature_repo.online.PackedOnlineStore", "url": where},
        materialization={"pull_latest_features": True},
        entity_key_serialization_version=3,
    )
    config.repo_path = folder
    store = FeatureStore(config=config)
    shopper = Entity(name="shopper", join_keys=["who"], value_type=ValueType.STRING)
    rows = FeatureView(
        name="rows",
        entities=[shopper],
        schema=[
            Field(name="who", dtype=String),
            Field(name="num", dtype=Int64),
            Field(name="nums", dtype=Array(Int64)),
        ],
        source=FileSource(
            path=str(folder / "rows.parquet"), timestamp_field="at", created_timestamp_column="made"
        ),
    )
    store.apply([shopper, rows])
    return store


def read_online(store: FeatureStore) -> dict:
    rows = [{"who": who} for who in ("b", "nobody", "a")]
    found = store.get_online_features(features=["rows:num", "rows:nums"], entity_rows=rows)
    return found.to_dict()


async def read_online_async(store: FeatureStore) -> dict:
    rows = [{"who": who} for who in ("b", "nobody", "a")]
    found = await store.get_online_features_async(
        features=["rows:num", "rows:nums"], entity_rows=rows
    )
    await store._get_provider().close()
    return found.to_dict()


def test_plain_feast_materializes_and_never_undoes_a_newer_write(feast_store):
    feast_store.materialize(EPOCH, moment(NOW))
    before = read_online(feast_store)
    assert asyncio.run(read_online_async(feast_store)) == before
    assert before["num"] == [2, None, 2**60 + 1]
    assert before["nums"] == [[], None, [1]]
    packed = feast_store._get_provider().online_store
    packed.write(
        feast_store.config, {"rows": [("a", NOW + 1, NOW + 1, {"num": 7, "nums": [7, 8]})]}
    )
    feast_store.materialize(EPOCH, moment(NOW))
    assert read_online(feast_store)["num"] == [2, None, 7]
    assert read_online(feast_store)["nums"] == [[], None, [7, 8]]


def test_a_path_is_relative_to_the_repository(tmp_path):
    config = place("sqlite:///folder/online.db")
    config.repo_path = tmp_path
    PackedOnlineStore().write(config, {"view": [("a", 1, 1, {})]})
    assert (tmp_path / "folder" / "online.db").exists()


@pytest.mark.parametrize(
    "url", ["${NUDGE_ONLINE_URL}", "online.db", "sqlite:///", "postgresql://u:secret@h/d"]
)
def test_an_address_of_no_backend_is_refused_with_the_cure_and_without_its_password(url):
    with pytest.raises(ValueError, match="NUDGE_ONLINE_URL") as refused:
        PackedOnlineStore().read(place(url), ["view"], ["a"])
    assert "secret" not in str(refused.value)
