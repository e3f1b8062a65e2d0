"""What Redis alone could do wrong: foreign keys, odd ids, round trips, a server that goes."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import redis as client_of_redis

from feature_repo.online_redis import RedisRows
from tests import services

ODD = ["a:b", "a", ":", "*", "?", "[a]", "a\nb", "\0", "ä", "packed:shop:view:a", ""]


@pytest.fixture
def rows(redis_url) -> RedisRows:
    return RedisRows(redis_url)


def read_in_a_loop(rows: RedisRows, views: list[str], keys: list[str]) -> dict:
    async def read() -> dict:
        try:
            return await rows.read_async("shop", views, keys)
        finally:
            await rows.close()

    return asyncio.run(read())


def test_ids_views_and_projects_of_any_characters_are_apart(rows):
    places = [(p, v, k) for p in ("shop", "a:b", "*") for v in ("view", "b:c", "*") for k in ODD]
    for number, (project, view, key) in enumerate(places):
        rows.write(project, [(view, key, number, number, str(number))])
    for number, (project, view, key) in enumerate(places):
        kept = rows.read(project, [view], [key])
        assert kept == {(view, key): (number, number, str(number))}


def test_removing_a_view_or_a_project_touches_no_other_key(rows, redis, redis_url):
    with redis.client(redis_url) as client:
        client.set("foreign", "kept")
        client.set("packed:other", "kept")
        for project in ("shop", "shop2", "*"):
            for view in ("view", "view2", "*"):
                rows.write(project, [(view, key, 1, 1, "{}") for key in ODD])
        rows.forget("*", ["*"])
        assert client.dbsize() == 2 + 8 * len(ODD)
        rows.drop("shop")
        assert client.dbsize() == 2 + 5 * len(ODD)
        assert rows.read("shop2", ["view"], ["a"]) == {("view", "a"): (1, 1, "{}")}
        rows.drop("*")
        rows.drop("shop2")
        assert sorted(client.keys()) == [b"foreign", b"packed:other"]


def test_more_rows_than_one_page_of_a_scan_are_removed(rows, redis, redis_url):
    rows.write("shop", [("view", f"u{number}", 1, 1, "{}") for number in range(25_000)])
    rows.write("shop", [("kept", "a", 1, 1, "{}")])
    rows.forget("shop", ["view"])
    with redis.client(redis_url) as client:
        assert client.dbsize() == 1


def test_many_keys_of_many_views_are_one_round_trip(rows, redis):
    keys, views = [f"u{number}" for number in range(500)], ["one", "two", "three"]
    for view in views:
        rows.write("shop", [(view, key, 1, 1, "{}") for key in keys])
    with redis.client() as client:
        before = client.info("commandstats")["cmdstat_mget"]["calls"]
        assert len(rows.read("shop", views, keys)) == 1500
        assert client.info("commandstats")["cmdstat_mget"]["calls"] == before + 1
        kept = read_in_a_loop(rows, views, keys)
        assert kept == rows.read("shop", views, keys)
        assert client.info("commandstats")["cmdstat_mget"]["calls"] == before + 3


@pytest.mark.parametrize("older", [(1, 9), (2, 1)])
def test_stamps_are_compared_to_the_last_digit_and_below_zero(rows, older):
    newest = (2**53 + 1, 2)
    rows.write("shop", [("view", "a", *newest, "new"), ("view", "b", -5, 0, "new")])
    old = [("a", 2**53, 9, "old"), ("b", -6, 9, "old"), ("a", *older, "old")]
    rows.write("shop", [("view", *row) for row in old])
    kept = rows.read("shop", ["view"], ["a", "b"])
    assert kept == {("view", "a"): (*newest, "new"), ("view", "b"): (-5, 0, "new")}


def test_the_newest_stands_whoever_writes_at_the_same_time(rows, redis_url):
    def write(number: int) -> None:
        mine = RedisRows(redis_url)
        for at in range(number, 400, 4):
            mine.write("shop", [("view", key, at, at, str(at)) for key in "abcdef"])

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    kept = rows.read("shop", ["view"], list("abcdef"))
    assert set(kept.values()) == {(399, 399, "399")}


def test_a_server_that_went_is_noticed_and_one_that_is_back_is_found():
    if (why_not := services.why_no_redis()) is not None:
        pytest.skip(why_not)
    server = services.RedisServer()
    try:
        server.start()
        rows = RedisRows(server.url)
        rows.write("shop", [("view", "a", 1, 1, "{}")])
        first = rows.incarnation()
        assert rows.incarnation() == first
        server.kill()
        began = time.monotonic()
        with pytest.raises(client_of_redis.ConnectionError):
            rows.read("shop", ["view"], ["a"])
        assert time.monotonic() - began < 2
        server.start()
        assert rows.read("shop", ["view"], ["a"]) == {("view", "a"): (1, 1, "{}")}
        assert rows.incarnation() != first, "a restart may have lost its last writes"
        server.stop()
        server.start()
        rows.write("shop", [("view", "a", 2, 2, "{}")])
        server.suspend()
        began = time.monotonic()
        with pytest.raises(client_of_redis.TimeoutError):
            rows.read("shop", ["view"], ["a"])
        assert 1 < time.monotonic() - began < 4
        began = time.monotonic()
        with pytest.raises(client_of_redis.TimeoutError):
            read_in_a_loop(rows, ["view"], ["a"])
        assert 1 < time.monotonic() - began < 4
    finally:
        server.close()
