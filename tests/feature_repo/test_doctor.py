"""The doctor: a shop in order has good findings only; each thing that can go wrong has its cure."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import polars as pl
import pytest

from feature_repo import checks, doctor
from feature_repo.events import EVENT_SCHEMA
from feature_repo.ingest import ingest
from feature_repo.ledger import Decision, Ledger
from feature_repo.settings import DAY, Settings, SystemClock, without_password
from feature_repo.warehouse import Warehouse
from tests import services
from tests.conftest import run


@pytest.fixture(autouse=True)
def activated(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("BENTOML_HOST", "127.0.0.1")


def bad(settings: Settings) -> dict[str, str]:
    """Name of each bad finding to its cure."""
    return {one.name: one.cure for one in doctor.examine(settings) if not one.good}


@pytest.fixture
def home(tmp_path) -> Settings:
    """A young shop: tables, and nothing else."""
    settings = Settings(home=tmp_path / "home")
    Warehouse(settings.warehouse).migrate()
    return settings


def test_a_shop_in_order_has_nothing_to_mend(shop):
    findings = list(doctor.examine(shop.settings))
    assert [one for one in findings if not one.good] == []
    names = [one.name for one in findings]
    assert len(set(names)) == len(names)
    assert not any(word in one.found for one in findings for word in services.SECRETS.values())
    on_servers = shop.settings.warehouse.startswith("postgresql")
    assert ("server clock" in names) == on_servers
    found = {one.name: one.found for one in findings}
    assert found["warehouse server"].startswith("PostgreSQL 15" if on_servers else "SQLite 3")
    assert found["online server"].startswith("Redis 7" if on_servers else "SQLite 3")


def test_an_empty_place_says_step_by_step_what_to_do(tmp_path):
    settings = Settings(home=tmp_path)
    cures = bad(settings)
    assert "python -m feature_repo init" in cures["warehouse"]
    assert "python -m feature_repo rollup" in cures["user_state"]
    assert "feast apply" in cures["registry"]
    assert not (tmp_path / "warehouse.db").exists(), "asking makes no file"


def test_a_young_shop_is_told_to_import(home):
    assert bad(home)["warehouse"] == "import or simulate events"


@pytest.mark.parametrize(
    ("field", "finding", "cure"),
    [
        ("warehouse_url", "warehouse", "NUDGE_WAREHOUSE_URL"),
        ("registry_url", "registry", "NUDGE_REGISTRY_URL"),
        ("online_url", "online store", "NUDGE_ONLINE_URL"),
    ],
)
def test_an_address_where_nobody_answers_is_named_without_its_password(home, field, finding, cure):
    scheme = "redis" if field == "online_url" else "postgresql"
    url = f"{scheme}://user:secret@127.0.0.1:{services.free_port()}/0"
    findings = list(doctor.examine(home.model_copy(update={field: url})))
    (one,) = [one for one in findings if one.name == finding]
    assert not one.good
    assert cure in one.cure
    assert not any("secret" in each.found for each in findings)
    assert {"python version", "ray access"} <= {each.name for each in findings}


def test_tables_of_an_older_migration_are_told_to_init(home):
    with Warehouse(home.warehouse).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    assert "python -m feature_repo init" in bad(home)["schema"]


def test_a_database_that_could_lose_a_decision_is_named(postgres, migrated):
    url = postgres.database(template=migrated)
    name = url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    assert "synchronous_commit" in bad(Settings(warehouse_url=url))["warehouse durability"]


def test_a_database_of_another_encoding_is_named(postgres, home):
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    url = postgres.database().rpartition("/")[0] + "/latin"
    Warehouse(url).migrate()
    cures = bad(home.model_copy(update={"warehouse_url": url}))
    assert "UTF8" in cures["warehouse encoding"]


def test_a_server_that_tells_another_time_is_named(postgres_url, home, monkeypatch):
    monkeypatch.setattr(doctor, "SKEW_S", 0.0)
    cures = bad(home.model_copy(update={"warehouse_url": postgres_url}))
    assert "NTP" in cures["server clock"]


@pytest.mark.parametrize(("server", "finding"), [("SQLite", "warehouse server")])
def test_a_server_that_is_too_old_is_named(home, monkeypatch, server, finding):
    monkeypatch.setitem(doctor.OLDEST, server, (99,))
    assert f"use {server} 99 or newer" in bad(home)[finding]


def test_a_redis_that_forgets_rows_when_it_is_full_is_named(redis, home):
    url = redis.database()
    with redis.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            cures = bad(home.model_copy(update={"online_url": url}))
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert "noeviction" in cures["online eviction"]


def test_other_versions_of_packages_are_named(home, monkeypatch):
    monkeypatch.setattr(checks, "version", lambda name: "0.1")
    cures = bad(home)
    assert "make .venv" in cures["feast version"]
    assert {"sqlalchemy version", "bentoml version", "polars version"} <= set(cures)


def test_another_python_is_named(home, monkeypatch):
    monkeypatch.setattr(checks.platform, "python_version", lambda: "3.9.1")
    assert "Python <3.12,>=3.11" in bad(home)["python version"]


def test_a_full_disk_is_named(home, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**12, 10**12, 2**29)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "free 1.0 GiB" in bad(home)["disk"]


def test_a_disk_too_small_for_the_warehouse_again_is_named(home, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**12, 0, 3 * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert checks.disk(home, 2**30).good
    assert "free 4.0 GiB" in checks.disk(home, 2 * 2**30).cure


def test_an_open_ray_and_an_open_service_are_named(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("BENTOML_HOST", "0.0.0.0")
    cures = bad(home)
    assert "RAY_AUTH_MODE=token" in cures["ray access"]
    assert "BENTOML_HOST=127.0.0.1" in cures["service access"]
    (home.home / "keys.json").write_text("{}")
    assert "service access" not in bad(home)
    monkeypatch.setenv("NUDGE_SERVING_REQUIRE_KEYS", "false")
    assert "service access" in bad(home)


def purchase(at: int) -> pl.DataFrame:
    row = dict.fromkeys(EVENT_SCHEMA) | {"event_id": "e", "kind": "purchase", "user_id": "u"}
    row |= {"item_id": "x", "quantity": 1, "event_at": at, "received_at": at}
    return pl.DataFrame([row], schema=EVENT_SCHEMA)


def test_a_clock_long_after_the_last_event_is_told_of_the_shops_own_time(home):
    now = SystemClock(home.home).now()
    ingest(Warehouse(home.warehouse), purchase(now - 40 * DAY), source="t", now=now)
    assert "clock --last" in bad(home)["clock"]


def test_a_clock_that_ran_back_is_named(home):
    now = SystemClock(home.home).now()
    ingest(Warehouse(home.warehouse), purchase(now - DAY), source="t", now=now)
    made = Decision(
        decision_id="d", kind="recommend", user_id="u", decided_at=now + DAY, model_version="m",
        feature_version="f",
    )  # fmt: skip
    assert "clock runs on" not in bad(home)
    Ledger(Warehouse(home.warehouse)).write(made)
    assert "clock --set" in bad(home)["clock runs on"]


def test_a_machine_whose_clock_was_set_back_is_named(home):
    now = SystemClock(home.home).now()
    (home.home / "clock.mark").write_text(f"0 {now + 3600 * 1_000_000}")
    assert "clock.mark" in bad(home)["machine clock"]


def test_a_clock_file_that_is_no_number_is_named_and_the_rest_is_told(home):
    (home.home / "clock").write_text("soon")
    cures = bad(home)
    assert str(home.home / "clock") in cures["clock"]
    assert "registry" in cures


def test_files_of_other_units_or_of_another_day_are_named(shop, tmp_path):
    settings = shop.settings.model_copy(update={"home": tmp_path})
    shutil.copytree(shop.settings.offline_path, settings.offline_path)
    shutil.copy(shop.settings.home / "clock", tmp_path)
    changed = settings.model_copy(
        update={"warehouse_url": shop.settings.warehouse, "registry_url": shop.settings.registry}
        | {"online_url": shop.settings.online}
    )
    path = changed.offline_path / "user_state.parquet"
    frame = pl.read_parquet(path)
    long_ago = pl.col("event_timestamp") - pl.duration(days=3)
    frame.with_columns(long_ago.cast(pl.Datetime("ms", "UTC"))).write_parquet(path)
    cures = bad(changed)
    assert cures["user_state"] == "write timestamps as us, UTC"
    assert "python -m feature_repo rollup" in cures["file age"]


@pytest.mark.parametrize("shop", ["files"], indirect=True)
def test_a_registry_unlike_the_definitions_is_named(shop, tmp_path):
    from feast import FeatureService, FeatureStore

    from feature_repo.retrieval import resolve
    from feature_repo.views.user import user_state

    settings = shop.settings.model_copy(
        update={"registry_url": f"sqlite:///{tmp_path}/registry.db"}
    )
    env = shop.env | {"NUDGE_REGISTRY_URL": settings.registry}
    run("feast", "apply", env=env)
    with settings.exported():
        store = FeatureStore(fs_yaml_file=Path(doctor.__file__).with_name("feature_store.yaml"))
        store.apply(FeatureService(name="shopper", features=[user_state[["num_orders"]]]))
        store.delete_feature_service("shopper_with_messages")
    resolve.cache_clear()
    cures = bad(settings)
    assert cures["registry: shopper"] == "run `feast apply`"
    assert "registry: item" not in cures
    assert "run `feast apply`" in cures["registry"], "one of before lacks a service"


def test_online_rows_that_fell_behind_are_named(shop, tmp_path):
    empty = shop.settings.model_copy(update={"online_url": f"sqlite:///{tmp_path}/empty.db"})
    assert "materialize" in bad(empty)["online rows"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p%40q@h:1/d", "postgresql://u:***@h:1/d"),
        ("redis://:word@h/0", "redis://:***@h/0"),
        ("redis://h/0?password=word&db=1", "redis://h/0?password=***&db=1"),
        ("sqlite:////home/x.db", "sqlite:////home/x.db"),
        ("no postgresql://u:p@h/d here", "no postgresql://u:***@h/d here"),
    ],
)
def test_a_password_is_never_shown(url, shown):
    assert without_password(url) == shown
    assert url not in repr(Settings(warehouse_url=url, registry_url=url, online_url=url))
