"""Imports, rollups and materialisations that are killed, side by side, or on a full disk."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from feature_repo.warehouse import Warehouse
from tests.conftest import shop_env
from tests.faults.processes import kill, python, small_disk, until

MAPPING = """
name = "till"
base_currency = "GBP"
zone = "UTC"

[columns]
event_id = "id"
event_at = "at"
user_id = "customer"
item_id = "article"
order_id = "order"
quantity = "pieces"
price = "price"
kind = "kind"
"""
IMPORT = ("-m", "feature_repo", "import")


def write_sales(path, first: int, num: int, seed: int = 1) -> None:
    """Rows `first` to `first + num` of one endless file; some are returns, some cannot be kept."""
    number = np.arange(first, first + num)
    draw = np.random.default_rng(seed).random((first + num, 3))[first:]
    kind = np.where(draw[:, 0] < 0.05, "return", "purchase")
    frame = pl.DataFrame({"id": [f"e{n}" for n in number], "n": number, "kind": kind})
    frame.select(
        "id",
        at=pl.from_epoch(1_700_000_000 + pl.col("n") * 37).dt.strftime("%Y-%m-%d %H:%M:%S"),
        customer=pl.format("c{}", pl.col("n") % 97),
        article=pl.format("a{}", pl.col("n") % 31),
        order=pl.format("o{}", pl.col("n") // 3),
        pieces=pl.when(pl.col("n") % 501 == 7).then(pl.lit("many")).otherwise(pl.lit("1")),
        price=pl.format("{}.50", pl.col("n") % 90),
        kind="kind",
    ).write_csv(path)


@pytest.fixture
def till(tmp_path):
    """A mapping, and a function that gives the environment of a fresh shop."""
    (tmp_path / "till.toml").write_text(MAPPING)

    def env(name: str, warehouse_url: str = "") -> dict[str, str]:
        home = tmp_path / name
        other = {"NUDGE_WAREHOUSE_URL": warehouse_url} if warehouse_url else {}
        return environment(home) | other

    return env


def environment(home) -> dict[str, str]:
    return shop_env(home) | {"NUDGE_WAREHOUSE_URL": f"sqlite:///{home}/warehouse.db"}


def importing(tmp_path, env, *names, log=None) -> subprocess.Popen:
    files = [str(tmp_path / name) for name in names]
    return python(*IMPORT, *files, "--mapping", str(tmp_path / "till.toml"), env=env, log=log)


def tables(env) -> dict[str, list]:
    """All that an import makes, in a stable order; when a letter came is the clock's."""
    warehouse = Warehouse(env["NUDGE_WAREHOUSE_URL"])
    letters = warehouse.dead_letters().drop("received_at")
    return {
        "events": warehouse.events().sort("event_id").rows(),
        "letters": letters.sort("letter_id").rows(),
        "users": warehouse.users().sort("user_id").rows(),
    }


def undisturbed(tmp_path, env, *names) -> dict[str, list]:
    process = importing(tmp_path, env, *names, log=tmp_path / "log")
    assert process.wait(300) == 0, (tmp_path / "log").read_text()
    return tables(env)


def kill_and_repeat(tmp_path, env, rng, matrix, fault, num_kills) -> None:
    """Import a file, killed `num_kills` times at random moments, then to the end."""
    names, began = ["a.csv"], time.monotonic()
    wanted = undisturbed(tmp_path, environment(tmp_path / "plain"), *names)
    whole_s = time.monotonic() - began
    done, partly = 0, 0
    while done < num_kills:
        process = importing(tmp_path, env, *names)
        time.sleep(rng.uniform(0.3, 1.0) * whole_s)
        was_running = kill(process)
        found = tables(env)["events"] if has_tables(env) else []
        strange = len(set(found) - set(wanted["events"])) + len(found) - len(set(found))
        if was_running:
            done += 1
            partly += 0 < len(found) < len(wanted["events"])
            matrix(fault).add(doubled=strange)
        assert not strange
        if len(found) == len(wanted["events"]):
            clear(env)
    print(f"{partly} of {done} kills left a part of the events")
    assert partly or num_kills < 9, "kills hit imports at work"
    began = time.monotonic()
    log = tmp_path / "last.log"
    assert importing(tmp_path, env, *names, log=log).wait(300) == 0, log.read_text()
    matrix(fault).seconds.append(time.monotonic() - began)
    assert tables(env) == wanted


def has_tables(env) -> bool:
    import sqlalchemy as sa

    engine = Warehouse(env["NUDGE_WAREHOUSE_URL"]).engine
    if engine.dialect.name == "sqlite" and not Path(engine.url.database).exists():
        return False
    return sa.inspect(engine).has_table("events")


def clear(env) -> None:
    import sqlalchemy as sa

    from feature_repo.tables import metadata

    with Warehouse(env["NUDGE_WAREHOUSE_URL"]).begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(sa.delete(table))


@pytest.mark.parametrize("num_kills", [2, pytest.param(25, marks=pytest.mark.long)])
def test_an_import_killed_at_random_moments_ends_with_the_warehouse_of_one_that_was_not(
    tmp_path, till, rng, matrix, num_kills
):
    write_sales(tmp_path / "a.csv", 0, 2_000 if num_kills < 9 else 150_000)
    fault = "SIGKILL of an import, SQLite"
    kill_and_repeat(tmp_path, till("k"), rng, matrix, fault, num_kills)


@pytest.mark.long
def test_an_import_into_postgres_killed_at_random_moments_ends_the_same(
    tmp_path, till, rng, matrix, postgres_url
):
    write_sales(tmp_path / "a.csv", 0, 150_000)
    fault, env = "SIGKILL of an import, PostgreSQL", till("k", postgres_url)
    kill_and_repeat(tmp_path, env, rng, matrix, fault, 25)


@pytest.mark.parametrize(
    ("store", "num_tries"),
    [
        ("SQLite", 1),
        pytest.param("SQLite", 5, marks=pytest.mark.long),
        pytest.param("PostgreSQL", 5, marks=pytest.mark.long),
    ],
)
def test_two_importers_of_overlapping_files_make_the_warehouse_of_one_after_the_other(
    tmp_path, till, rng, matrix, request, store, num_tries
):
    num = 2_000 if num_tries == 1 else 120_000
    write_sales(tmp_path / "a.csv", 0, num)
    write_sales(tmp_path / "b.csv", num // 2, num)
    orders = (["a.csv", "b.csv"], ["b.csv", "a.csv"])
    wanted = [undisturbed(tmp_path, till(f"plain{n}"), *order) for n, order in enumerate(orders)]
    for number in range(num_tries):
        url = request.getfixturevalue("postgres_url") if store == "PostgreSQL" else ""
        env = till(f"both{number}", url)
        if number and url:
            clear(env)
        first = importing(tmp_path, env, "a.csv", log=tmp_path / "log")
        time.sleep(rng.uniform(0, 0.5))
        second = importing(tmp_path, env, "b.csv", log=tmp_path / "log")
        ends = [process.wait(300) for process in (first, second)]
        assert ends == [0, 0], (tmp_path / "log").read_text()
        found = tables(env)
        same = found in wanted
        matrix(f"two importers at once, {store}").add(doubled=0 if same else 1)
        assert same


def test_an_import_on_a_full_disk_says_so_and_goes_on_when_there_is_space(tmp_path, till, matrix):
    write_sales(tmp_path / "a.csv", 0, 30_000)
    wanted = undisturbed(tmp_path, till("plain"), "a.csv")
    with small_disk(tmp_path / "full", "3m"):
        env = till("full")
        log = tmp_path / "full.log"
        assert importing(tmp_path, env, "a.csv", log=log).wait(120) != 0
        said = " ".join(log.read_text().replace("│", " ").split())
        assert "is full; what was committed is kept. Free some space" in said
        assert "Traceback" not in said
        resize = ["mount", "-o", "remount,size=64m", str(tmp_path / "full")]
        subprocess.run(resize, check=True)
        began = time.monotonic()
        assert importing(tmp_path, env, "a.csv", log=log).wait(120) == 0, log.read_text()
        assert tables(env) == wanted
        seconds = time.monotonic() - began
        matrix("full disk during an import").add(seconds=seconds)


def test_a_rollup_on_a_full_disk_leaves_the_old_files_and_no_halves(tmp_path, shop_with):
    from feature_repo import publish
    from feature_repo.disk import DiskFull
    from feature_repo.settings import Settings

    copy = shop_with()
    with small_disk(tmp_path / "small", "256k"):
        home = Settings(home=tmp_path / "small")
        home.offline_path.mkdir()
        old = b"x" * 200_000
        (home.offline_path / "user_state.parquet").write_bytes(old)
        with pytest.raises(DiskFull, match="is full"):
            publish.rollup(copy.warehouse, home)
        assert [path.name for path in home.offline_path.iterdir()] == ["user_state.parquet"]
        assert (home.offline_path / "user_state.parquet").read_bytes() == old


ROLLUP = """
from feature_repo import publish
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse
settings = Settings()
print("go", flush=True)
while True:
    publish.rollup(Warehouse(settings.warehouse), settings)
"""


@pytest.mark.long
def test_feature_files_are_whole_whenever_a_rollup_is_killed(shop_with, rng, matrix, tmp_path):
    copy = shop_with()
    names = sorted(path.name for path in copy.settings.offline_path.glob("*.parquet"))
    wanted = {name: pl.read_parquet(copy.settings.offline_path / name) for name in names}
    for _ in range(20):
        log = tmp_path / "log"
        log.write_text("")
        process = python("-c", ROLLUP, env=copy.env, log=log)
        until(lambda log=log: "go" in log.read_text(), 60)
        time.sleep(rng.uniform(0, 0.6))
        kill(process)
        found = {name: pl.read_parquet(copy.settings.offline_path / name) for name in names}
        lost = sum(not found[name].equals(wanted[name]) for name in names)
        matrix("SIGKILL of a rollup").add(lost=lost)
        assert not lost


@pytest.mark.long
@pytest.mark.parametrize("store", ["SQLite", "Redis"])
def test_online_rows_equal_offline_after_a_killed_materialize_was_repeated(
    shop_with, rng, matrix, request, store
):
    from feature_repo.parity import compare
    from feature_repo.settings import SystemClock

    url = request.getfixturevalue("redis_url") if store == "Redis" else ""
    copy = shop_with(online_url=url)
    command = ("-m", "feature_repo", "materialize")
    began = time.monotonic()
    assert python(*command, env=copy.env).wait(300) == 0
    whole_s = time.monotonic() - began
    fault = f"SIGKILL of a materialize, {store}"
    for _ in range(6):
        process = python(*command, env=copy.env)
        time.sleep(rng.uniform(0.6, 1.0) * whole_s)
        kill(process)
        began = time.monotonic()
        assert python(*command, env=copy.env).wait(300) == 0
        seconds = time.monotonic() - began
        now = SystemClock(copy.settings.home).now()
        users = copy.warehouse.events()["user_id"].unique().sort().to_list()
        lost = compare(users, "shopper", now, copy.settings).num_differences
        matrix(fault).add(lost=lost, seconds=seconds)
        assert not lost
