"""The as-of offline store against a plain-Python oracle, and over plain Feast."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import RepoConfig
from feast.types import Array, Float64, Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.joining import asof
from feature_repo.joining.files import Files
from feature_repo.joining.layout import Layout
from feature_repo.joining.times import Span
from feature_repo.offline import AsOfOfflineStore

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STAMP = pl.Datetime("us", "UTC")
ROWS = {"who": pl.String, "at": STAMP, "made": STAMP, "num": pl.Int64, "word": pl.String}
LAST, DAY = 3, 86_400_000_000
shopper = Entity(name="shopper", join_keys=["who"], value_type=ValueType.STRING)
asked_at = RequestSource(name="asked", schema=[Field(name="asked_at", dtype=Int64)])


def moment(micros: int | None) -> datetime | None:
    return None if micros is None else EPOCH + timedelta(microseconds=micros)


def write(path, rows) -> None:
    columns = list(zip(*rows, strict=True)) or [[]] * len(ROWS)
    frame = {name: list(column) for name, column in zip(ROWS, columns, strict=True)}
    for name in ("at", "made"):
        frame[name] = [moment(value) for value in frame[name]]
    pl.DataFrame(frame, schema=ROWS).write_parquet(path, row_group_size=5)


def view(name, path, *, collected=False, ttl=0, mapping=None, entity=shopper) -> FeatureView:
    tags = {"order": "num"} | ({"collect": str(LAST)} if collected else {})
    source = FileSource(
        name=f"{name}_source",
        path=str(path),
        timestamp_field="at",
        created_timestamp_column="made",
        field_mapping=mapping or {},
        tags=tags,
    )
    kinds = {"num": Array(Int64), "word": Array(String)} if collected else {}
    named = {
        (mapping or {}).get(name, name): kinds.get(name, kind)
        for name, kind in {"num": Int64, "word": String}.items()
    }
    found = FeatureView(
        name=name,
        entities=[entity],
        ttl=timedelta(microseconds=ttl),
        schema=[Field(name="who", dtype=String)]
        + [Field(name=field, dtype=kind) for field, kind in named.items()],
        source=source,
        tags=tags,
    )
    found.entity_columns = [Field(name="who", dtype=String)]
    return found


def historical(folder, views, spine, **options) -> pl.DataFrame:
    registry = SimpleNamespace(list_on_demand_feature_views=lambda *_, **__: [])
    job = AsOfOfflineStore.get_historical_features(
        SimpleNamespace(repo_path=folder),
        views,
        [f"{v.projection.name_to_use()}:{name}" for v in views for name in ("num", "word")],
        spine,
        registry,
        "project",
        full_feature_names=True,
        **options,
    )
    return pl.from_arrow(job.to_arrow())


def spine_of(pairs) -> pd.DataFrame:
    times = pd.to_datetime([moment(at) for _, at in pairs], utc=True).astype("datetime64[us, UTC]")
    frame = pd.DataFrame({"who": [key for key, _ in pairs], "event_timestamp": times})
    return frame.astype({"who": object})


def in_order(row) -> tuple:
    """Time, created, num, nulls first; Python's sort keeps the order of the file."""
    return tuple((value is not None, value or 0) for value in row[1:4])


def known(rows, key, at, *, only_created, ttl=0) -> list:
    found = [
        row
        for row in rows
        if key is not None
        and row[0] == key
        and row[1] <= at
        and not (only_created and (row[2] is None or row[2] > at))
        and not (ttl and row[1] < at - ttl)
    ]
    return sorted(found, key=in_order)


keys = st.sampled_from(["a", "b", "c", None])
small = st.integers(0, 8)
source_row = st.tuples(
    keys,
    small,
    st.one_of(st.just(0), st.integers(0, 6), st.none()),
    st.one_of(st.none(), st.integers(-2, 2), st.just(2**60 + 1)),
    st.sampled_from(["x", "y", None]),
).map(lambda row: (row[0], row[1], None if row[2] is None else row[1] + row[2], *row[3:]))
punctual_row = st.tuples(keys, small, st.just(0), st.integers(0, 2), st.just("x")).map(
    lambda row: (row[0], row[1], row[1], *row[3:])
)
sources = st.one_of(st.lists(source_row, max_size=25), st.lists(punctual_row, max_size=25))
spines = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "z", None]), st.integers(-1, 14)),
                  max_size=12)  # fmt: skip
quick = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@quick
@given(
    scalar=sources,
    listed=sources,
    pairs=spines,
    only_created=st.booleans(),
    ttl=st.sampled_from([0, 0, 1, 3]),
    piece=st.sampled_from([1, 4, 1 << 21]),
)
def test_every_spine_row_gets_what_the_oracle_gives(
    tmp_path, scalar, listed, pairs, only_created, ttl, piece
):
    write(tmp_path / "scalar.parquet", scalar)
    write(tmp_path / "listed.parquet", listed)
    views = [
        view("scalar", tmp_path / "scalar.parquet", ttl=ttl),
        view("listed", "listed.parquet", collected=True, ttl=ttl),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asof, "_PIECE", piece)
        found = historical(
            tmp_path, views, spine_of(pairs), filter_by_created_timestamp=only_created
        )
    assert found["who"].to_list() == [key for key, _ in pairs]
    assert found["event_timestamp"].to_list() == [moment(at) for _, at in pairs]
    for row, (key, at) in zip(found.iter_rows(named=True), pairs, strict=True):
        newest = known(scalar, key, at, only_created=only_created, ttl=ttl)[-1:]
        last = known(listed, key, at, only_created=only_created, ttl=ttl)[-LAST:]
        assert (row["scalar__num"], row["scalar__word"]) == (
            newest[0][3:] if newest else (None, None)
        )
        assert row["listed__num"] == [value[3] for value in last]
        assert row["listed__word"] == [value[4] for value in last]


@pytest.mark.parametrize("seed", range(5))
def test_lists_skip_late_rows_however_many_lie_between(tmp_path, seed):
    random = Random(seed)
    times = [random.randrange(60) for _ in range(400)]
    delays = [random.choice([0, 0, 1, 20, 60]) for _ in times]
    rows = [
        (random.choice("abz"), at, at + delay, random.randrange(3), f"w{place}")
        for place, (at, delay) in enumerate(zip(times, delays, strict=True))
    ]
    write(tmp_path / "rows.parquet", rows)
    pairs = [(random.choice("abcz"), random.randrange(120)) for _ in range(150)]
    many = view("many", "rows.parquet", collected=True)
    found = historical(tmp_path, [many], spine_of(pairs), filter_by_created_timestamp=True)
    assert found["many__word"].to_list() == [
        [row[4] for row in known(rows, key, at, only_created=True)[-LAST:]] for key, at in pairs
    ]


def pull(folder, *, collected, latest, **span) -> pl.DataFrame:
    method = (
        AsOfOfflineStore.pull_latest_from_table_or_query
        if latest
        else AsOfOfflineStore.pull_all_from_table_or_query
    )
    job = method(
        config=SimpleNamespace(repo_path=folder),
        data_source=view("rows", "rows.parquet", collected=collected).batch_source,
        join_key_columns=["who"],
        feature_name_columns=["num", "word"],
        timestamp_field="at",
        created_timestamp_column="made",
        **span,
    )
    return pl.from_arrow(job.to_arrow())


@quick
@given(rows=sources, start=small, length=small, collected=st.booleans())
def test_a_materialize_pulls_the_newest_row_known_at_its_end(
    tmp_path, rows, start, length, collected
):
    write(tmp_path / "rows.parquet", rows)
    end = start + length
    found = pull(tmp_path, collected=collected, latest=True,
                 start_date=moment(start), end_date=moment(end))  # fmt: skip
    wanted = {}
    for key in ("a", "b", "c"):
        last = known(rows, key, end, only_created=True)[-LAST:]
        if last and last[-1][1] >= start:
            values = [list(column) for column in zip(*last, strict=True)][3:]
            stamps = (moment(last[-1][1]), moment(last[-1][2]))
            wanted[key] = (*stamps, *(values if collected else last[-1][3:]))
    assert {row[0]: row[1:] for row in found.iter_rows()} == wanted


@quick
@given(rows=sources, start=st.none() | small, end=st.none() | small)
def test_pulling_all_gives_every_row_of_the_span_or_the_lists_at_every_stamp(
    tmp_path, rows, start, end
):
    write(tmp_path / "rows.parquet", rows)
    span = {"start_date": moment(start), "end_date": moment(end)}
    inside = [
        row
        for row in rows
        if row[0] is not None
        and (start is None or row[1] >= start)
        and (end is None or row[1] <= end)
    ]
    plain = pull(tmp_path, collected=False, latest=False, **span)
    assert Counter(plain.iter_rows()) == Counter(
        (key, moment(at), moment(made), num, word) for key, at, made, num, word in inside
    )
    lists = pull(tmp_path, collected=True, latest=False, **span)
    assert {(row[0], row[1]): row[3] for row in lists.iter_rows()} == {
        (row[0], moment(row[1])): [
            value[3] for value in known(rows, row[0], row[1], only_created=False)[-LAST:]
        ]
        for row in inside
    }
    assert lists.height == len({row[:2] for row in inside})


def test_types_are_those_declared(tmp_path):
    write(tmp_path / "rows.parquet", [("a", 1, 1, 2**60 + 1, "x")])
    views = [view("one", "rows.parquet"), view("many", "rows.parquet", collected=True)]
    found = historical(tmp_path, views, spine_of([("a", 2), ("nobody", 2)]))
    assert found["one__num"].dtype == pl.Int64
    assert found["many__num"].dtype == pl.List(pl.Int64)
    assert found["many__word"].dtype == pl.List(pl.String)
    assert found["one__num"].to_list() == [2**60 + 1, None]
    assert found["many__num"].to_list() == [[2**60 + 1], []]


def test_whole_numbers_beside_nulls_stay_whole_in_pandas(store):
    job = store.get_historical_features(
        entity_df=spine_of([("big", 2), ("nobody", 2)]).assign(asked_at=2**60 + 2),
        features=["state:num", "aged:since"],
    )
    found = job.to_df()["num"]
    assert found.dtype == "Int64"
    assert [None if pd.isna(value) else int(value) for value in found] == [2**60 + 1, None]
    assert job.to_df()["since"][0] == 1


def test_a_nanosecond_stamp_is_not_seen_before_it_happened(tmp_path):
    stamps = pa.array([1001], pa.timestamp("ns", "UTC"))
    table = pa.table({"who": ["a"], "at": stamps, "made": stamps, "num": [1], "word": ["x"]})
    pa.parquet.write_table(table, tmp_path / "rows.parquet")
    found = historical(tmp_path, [view("one", "rows.parquet")], spine_of([("a", 1), ("a", 2)]))
    assert found["one__num"].to_list() == [None, 1]


def test_a_folder_of_files_is_one_source(tmp_path):
    (tmp_path / "rows").mkdir()
    write(tmp_path / "rows" / "1.parquet", [("a", 1, 1, 1, "x")])
    write(tmp_path / "rows" / "2.parquet", [("a", 2, 2, 2, "y")])
    many = view("many", "rows", collected=True)
    assert historical(tmp_path, [many], spine_of([("a", 3)]))["many__num"].to_list() == [[1, 2]]


@pytest.mark.parametrize(
    ("spine", "message"),
    [
        ("select 1", "neither runs SQL"),
        (None, "entity_df is None"),
        (spine_of([("a", 1)]).drop(columns="who"), "no column 'who'"),
        (spine_of([("a", 1)]).assign(who=1), "cast it to that type"),
        (spine_of([("a", 1)]).assign(event_timestamp=pd.NaT), "1 null"),
        (spine_of([("a", 1)]).assign(one__num=1), "two columns 'one__num'"),
    ],
)
def test_a_spine_that_cannot_be_joined_is_refused(tmp_path, spine, message):
    write(tmp_path / "rows.parquet", [("a", 1, 1, 1, "x")])
    with pytest.raises(ValueError, match=message):
        historical(tmp_path, [view("one", "rows.parquet")], spine)


def test_a_file_that_is_missing_or_lacks_a_column_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nothing\.parquet"):
        historical(tmp_path, [view("one", "nothing.parquet")], spine_of([("a", 1)]))
    pl.DataFrame({"who": ["a"]}).write_parquet(tmp_path / "short.parquet")
    with pytest.raises(ValueError, match="no column at, made, num, word"):
        historical(tmp_path, [view("one", "short.parquet")], spine_of([("a", 1)]))


def test_times_as_text_are_refused(tmp_path):
    pl.DataFrame({name: ["a"] for name in ROWS}).write_parquet(tmp_path / "text.parquet")
    with pytest.raises(ValueError, match="'at' holds String"):
        historical(tmp_path, [view("one", "text.parquet")], spine_of([("a", 1)]))


@pytest.mark.parametrize("collect", [0, -1])
def test_collecting_no_rows_is_refused(collect):
    with pytest.raises(ValueError, match=f"collect is {collect}"):
        Layout(keys=("who",), time="at", collect=collect)


def test_what_a_job_does_not_offer_it_refuses_in_our_words(store):
    job = store.get_historical_features(entity_df=spine_of([("big", 2)]), features=["state:num"])
    with pytest.raises(ValueError, match="give a SavedDatasetFileStorage"):
        job.persist(None)
    with pytest.raises(ValueError, match="not on this machine"):
        job.persist(SavedDatasetFileStorage(path="s3://bucket/kept.parquet"))
    with pytest.raises(ValueError, match="runs no SQL"):
        job.to_sql()
    with pytest.raises(ValueError, match="create_saved_dataset"):
        job.to_remote_storage()


@pytest.mark.parametrize("write_to", ["offline_write_batch", "write_logged_features"])
def test_it_writes_nothing(write_to):
    with pytest.raises(ValueError, match="offline store only reads"):
        getattr(AsOfOfflineStore, write_to)(None, None, None, None)


@on_demand_feature_view(
    sources=[
        FeatureView(
            name="state",
            entities=[shopper],
            schema=[Field(name="who", dtype=String), Field(name="num", dtype=Int64)],
            source=FileSource(path="state.parquet", timestamp_field="at"),
        ),
        asked_at,
    ],
    schema=[Field(name="since", dtype=Float64)],
)
def aged(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"since": (inputs["asked_at"] - inputs["num"]).astype("float64")})


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("repo")
    big = ("big", 1, 1, 2**60 + 1, "z")
    write(folder / "state.parquet", [("a", 1, 1, 10, "x"), ("a", 5, 5, 50, "y"), big])
    write(folder / "listed.parquet", [(k, t, t, t, "w") for k in "ab" for t in range(1, 6)])
    config = RepoConfig(
        project="asof",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": "feature_repo.offline.AsOfOfflineStore"},
        online_store={
            "type": "feature_repo.online.PackedOnlineStore",
            "url": "sqlite:///online.db",
        },
        materialization={"pull_latest_features": True},
        entity_key_serialization_version=3,
    )
    config.repo_path = folder
    found = FeatureStore(config=config)
    state = view("state", folder / "state.parquet")
    renamed = view("renamed", folder / "state.parquet", mapping={"num": "count", "word": "label"})
    names = {"num": "nums", "word": "words"}
    listed = view("listed", folder / "listed.parquet", collected=True, mapping=names)
    with pytest.warns(RuntimeWarning, match="On demand feature view is an experimental"):
        found.apply([shopper, state, renamed, listed, aged])
    return found


def test_plain_feast_reads_past_rows_with_on_demand_views(store):
    spine = spine_of([("a", 1), ("nobody", 3), ("a", 1), ("b", 4), ("a", 6)]).assign(asked_at=100)
    found = store.get_historical_features(
        entity_df=spine,
        features=["state:word", "renamed:count", "listed:nums", "aged:since"],
        filter_by_created_timestamp=True,
    ).to_df()
    assert found["who"].tolist() == spine["who"].tolist()
    assert found["word"].tolist() == ["x", None, "x", None, "y"]
    assert [None if pd.isna(v) else v for v in found["count"]] == [10, None, 10, None, 50]
    assert [list(v) for v in found["nums"]] == [[1], [], [1], [2, 3, 4], [3, 4, 5]]
    assert [None if pd.isna(v) else v for v in found["since"]] == [90, None, 90, None, 50]


def test_plain_feast_materializes_rows_and_lists_and_reads_them_online(store):
    store.materialize(EPOCH, moment(4))
    found = store.get_online_features(
        features=["state:word", "renamed:count", "listed:nums", "aged:since"],
        entity_rows=[{"who": who, "asked_at": 100} for who in ("a", "b", "nobody")],
    ).to_dict()
    assert found["word"] == ["x", None, None]
    assert found["count"] == [10, None, None]
    assert found["nums"] == [[2, 3, 4], [2, 3, 4], None]
    assert found["since"][0] == 90


def test_join_keys_may_have_other_names_in_the_spine(store):
    spine = spine_of([("a", 2), ("b", 2)]).rename(columns={"who": "friend"})
    found = store.get_feature_view("listed").with_join_key_map({"who": "friend"})
    registry = SimpleNamespace(list_on_demand_feature_views=lambda *_, **__: [])
    job = AsOfOfflineStore.get_historical_features(
        store.config, [found], ["listed:nums"], spine, registry, "asof"
    )
    assert [list(value) for value in job.to_df()["nums"]] == [[1, 2], [1, 2]]


def test_a_dataset_is_saved_and_read_again_by_plain_feast(store, tmp_path):
    spine = spine_of([("big", 2), ("nobody", 2), ("big", 2)])
    job = store.get_historical_features(entity_df=spine, features=["state:num", "listed:words"])
    place = SavedDatasetFileStorage(path=str(tmp_path / "kept.parquet"))
    with pytest.warns(RuntimeWarning, match="Saving dataset is an experimental"):
        store.create_saved_dataset(from_=job, name="kept", storage=place)
    with pytest.warns(RuntimeWarning, match="Retrieving datasets is an experimental"):
        saved = store.get_saved_dataset("kept").to_arrow()
    asked = pl.DataFrame(job.to_arrow()).drop_nulls("num")
    found = pl.DataFrame(saved).select(asked.columns)
    assert found.filter(pl.col("num").is_not_null()).equals(asked)
    assert found.height == len(spine)
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        job.persist(place)
    job.persist(place, allow_overwrite=True)


def daily(folder, days) -> None:
    """A folder of one part for each day, a row for each of two shoppers at its noon."""
    for day in days:
        part = folder / f"day={moment(day * DAY):%Y-%m-%d}"
        part.mkdir(parents=True)
        at = day * DAY + DAY // 2
        write(part / "0.parquet", [(who, at, at, day, f"{who}{day}") for who in "ab"])


@pytest.mark.parametrize("is_tagged", [True, False])
def test_days_that_cannot_matter_are_not_read(tmp_path, is_tagged):
    folder = tmp_path / "parts"
    daily(folder, range(20_000, 20_010))
    wanted = view("state", folder)
    day = "day" if is_tagged else None
    if is_tagged:
        wanted.batch_source.tags["date_partition_column"] = "day"
        (folder / f"day={moment(20_009 * DAY):%Y-%m-%d}" / "0.parquet").write_bytes(b"broken")
    found = historical(tmp_path, [wanted], spine_of([("a", 20_003 * DAY), ("b", 20_005 * DAY)]))
    assert found["state__num"].to_list() == [20_002, 20_004]
    kept = Files(folder, "at", Span(20_003 * DAY, 20_005 * DAY), day)
    assert sum(group.num for group in kept.groups) == 4
    late = spine_of([("a", 20_020 * DAY)])
    if is_tagged:
        with pytest.raises(ValueError, match=r"2024-10-13/0\.parquet is no whole Parquet file"):
            historical(tmp_path, [wanted], late)
    else:
        assert historical(tmp_path, [wanted], late)["state__num"].to_list() == [20_009]


def test_folders_that_lie_about_their_day_are_refused(tmp_path):
    daily(tmp_path / "parts", [20_000])
    wanted = view("state", "parts")
    wanted.batch_source.tags["date_partition_column"] = "date"
    with pytest.raises(ValueError, match="lies in no folder date=YYYY-MM-DD"):
        historical(tmp_path, [wanted], spine_of([("a", 20_020 * DAY)]))
    (tmp_path / "parts" / f"day={moment(20_000 * DAY):%Y-%m-%d}").rename(
        tmp_path / "parts" / "day=2020-01-01"
    )
    wanted.batch_source.tags["date_partition_column"] = "day"
    with pytest.raises(ValueError, match="holds times outside its day"):
        historical(tmp_path, [wanted], spine_of([("a", 20_020 * DAY)]))


def test_columns_that_a_file_lacks_come_from_its_folder_or_are_null(tmp_path):
    for shop in ("one", "two"):
        (tmp_path / "rows" / f"word={shop}").mkdir(parents=True)
        frame = pl.DataFrame(
            {"who": ["a"], "at": [moment(1 if shop == "one" else 5)], "num": [7]},
            schema={"who": pl.String, "at": STAMP, "num": pl.Int32},
        ).with_columns(made="at")
        kept = frame if shop == "one" else frame.drop("num").with_columns(who=pl.lit("b"))
        kept.write_parquet(tmp_path / "rows" / f"word={shop}" / "0.parquet")
    found = historical(tmp_path, [view("v", "rows")], spine_of([("a", 9), ("b", 9), ("a", 0)]))
    assert found["v__word"].to_list() == ["one", "two", None]
    assert found["v__num"].to_list() == [7, None, None]


def test_a_file_replaced_while_it_is_read_is_read_as_it_was(tmp_path):
    write(tmp_path / "rows.parquet", [("a", 1, 1, 1, "x")])
    opened = Files(tmp_path / "rows.parquet", "at", Span())
    write(tmp_path / "new.parquet", [("a", 1, 1, 2, "y"), ("a", 2, 2, 3, "z")])
    (tmp_path / "new.parquet").replace(tmp_path / "rows.parquet")
    assert opened.take(["num"], np.array([0]))["num"].to_pylist() == [1]


def test_a_part_of_a_folder_replaced_while_it_is_read_is_noticed(tmp_path):
    daily(tmp_path / "parts", [20_000, 20_001])
    opened = Files(tmp_path / "parts", "at", Span())
    first = next((tmp_path / "parts").rglob("*2024-10-04/0.parquet"))
    write(first, [("a", 1, 1, 2, "y"), ("a", 2, 2, 3, "z")])
    with pytest.raises(ValueError, match="was replaced while it was read; ask again"):
        opened.take(["num"], np.array([0]))


def test_a_pull_reads_its_range_and_lists_what_lies_before_it(tmp_path):
    daily(tmp_path / "parts", range(20_000, 20_010))
    span = {"start": moment(20_006 * DAY), "end": moment(20_008 * DAY)}
    lists = [[20_004, 20_005, 20_006], [20_005, 20_006, 20_007]]
    for collected, nums in ((False, [20_006, 20_007]), (True, lists)):
        source = view("state", tmp_path / "parts", collected=collected).batch_source
        job = AsOfOfflineStore.pull_all_from_table_or_query(
            SimpleNamespace(repo_path=tmp_path),
            source,
            ["who"],
            ["num"],
            "at",
            "made",
            span["start"],
            span["end"],
        )
        found = pl.DataFrame(job.to_arrow()).filter(pl.col("who") == "a").sort("at")
        assert found["num"].to_list() == nums


@pytest.mark.parametrize(
    ("asked", "found"),
    [([1.0, 1.5, None], [7, None, None]), ([1, 2**63, 2], [7, None, None])],
)
def test_numbers_of_another_type_match_where_they_are_equal(tmp_path, asked, found):
    write(tmp_path / "rows.parquet", [("a", 1, 1, 1, "x")])
    frame = pl.read_parquet(tmp_path / "rows.parquet").with_columns(who=pl.lit(1, pl.Int32), num=7)
    frame.write_parquet(tmp_path / "rows.parquet")
    kind = float if isinstance(asked[0], float) else "uint64"
    spine = spine_of([("a", 2)] * 3).assign(who=pd.Series(asked, dtype=kind))
    assert historical(tmp_path, [view("v", "rows.parquet")], spine)["v__num"].to_list() == found


def test_a_saved_dataset_keeps_rows_without_a_key_and_may_be_a_folder(store, tmp_path):
    spine = spine_of([("a", 6), (None, 6), ("b", 6)]).assign(asked_at=100)
    asked = ["state:word", "listed:nums", "aged:since"]
    job = store.get_historical_features(entity_df=spine, features=asked)
    place = SavedDatasetFileStorage(path=str(tmp_path / "kept"))
    with pytest.warns(RuntimeWarning, match="Saving dataset is an experimental"):
        saved = store.create_saved_dataset(from_=job, name="folder", storage=place)
    again = saved.to_df()
    assert again["who"].tolist() == ["a", None, "b"]
    assert again["word"].tolist() == ["y", None, None]
    assert [list(value) for value in again["nums"]] == [[3, 4, 5], [], [3, 4, 5]]
    assert again["since"].tolist()[0] == 50
    (tmp_path / "kept" / "mine.txt").write_text("a letter")
    with pytest.raises(ValueError, match=r"holds mine\.txt"):
        job.persist(place, allow_overwrite=True)


def test_a_span_beside_a_spine_is_refused(tmp_path):
    write(tmp_path / "rows.parquet", [("a", 1, 1, 1, "x")])
    with pytest.raises(ValueError, match="start_date beside entity_df is not offered"):
        historical(tmp_path, [view("v", "rows.parquet")], spine_of([("a", 1)]), start_date=EPOCH)
