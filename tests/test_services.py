"""The servers that tests run against are those of the compose file, and survive their end."""

from __future__ import annotations

import psycopg
import pytest

from tests import services


@pytest.fixture
def own_postgres():
    if (why_not := services.why_no_postgres()) is not None:
        pytest.skip(why_not)
    server = services.PostgresServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def own_redis():
    if (why_not := services.why_no_redis()) is not None:
        pytest.skip(why_not)
    server = services.RedisServer()
    server.start()
    yield server
    server.close()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_postgres_keeps_what_it_acknowledged_and_its_address(own_postgres, end):
    url = own_postgres.database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    getattr(own_postgres, end)()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2)
    own_postgres.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_redis_keeps_what_it_acknowledged_and_its_address(own_redis, end):
    url = own_redis.database()
    with own_redis.client(url) as client:
        client.set("kept", "7")
        getattr(own_redis, end)()
        own_redis.start()
        assert client.get("kept") == b"7"
    with own_redis.client(own_redis.database()) as client:
        assert client.dbsize() == 0


def test_databases_of_two_tests_are_apart(postgres, postgres_url):
    other = postgres.database()
    with psycopg.connect(other) as connection:
        found = connection.execute("SELECT to_regclass('events')").fetchone()
    assert found == (None,)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_the_servers_run_with_the_settings_of_the_compose_file(postgres, redis):
    assert postgres.execute("SHOW idle_in_transaction_session_timeout") == [("1min",)]
    assert postgres.execute("SHOW data_checksums") == [("on",)]
    with redis.client() as client:
        found = client.config_get("append*", "maxmemory-policy")
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
    assert found | wanted == found


def test_the_versions_of_the_compose_file_are_those_that_are_tested(postgres, redis):
    (version,) = postgres.execute("SHOW server_version_num")[0]
    image = services.described("postgres")["image"]
    assert image == f"postgres:{int(version) // 10_000}"
    with redis.client() as client:
        major = client.info("server")["redis_version"].rpartition(".")[0]
    assert services.described("redis")["image"] == f"redis:{major}"
