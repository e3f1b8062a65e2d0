"""A tiny simulated shop, built once by the real parts, for every test that needs one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import services

ROOT = Path(__file__).parents[1]
WAIT_LONGEST = ("test_ray_job.py", "test_readme.py")
# A developer's own shop must not reach into the tests.
KEPT = ("NUDGE_DATA", "NUDGE_TEST_SEED")
for name in [name for name in os.environ if name.startswith("NUDGE_") and name not in KEPT]:
    del os.environ[name]
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["BENTOML_DO_NOT_TRACK"] = "true"
os.environ["FEAST_USAGE"] = "False"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["COLUMNS"] = "200"  # tables are not cut, whatever terminal the tests run in


@dataclass(frozen=True)
class Shop:
    """A shop that is ingested, rolled up, applied and materialised, at its own last minute."""

    settings: object
    warehouse: object
    clock: object
    world: object

    @property
    def env(self) -> dict[str, str]:
        """The environment of a subprocess that works on this shop."""
        return shop_env(self.settings.home) | {
            "NUDGE_WAREHOUSE_URL": self.settings.warehouse,
            "NUDGE_REGISTRY_URL": self.settings.registry,
            "NUDGE_ONLINE_URL": self.settings.online,
        }


def shop_env(home: Path) -> dict[str, str]:
    """The environment that `.venv/bin/activate` would export for `home`."""
    return os.environ | {
        "NUDGE_HOME": str(home),
        "NUDGE_REGISTRY_URL": f"sqlite:///{home}/registry.db",
        "NUDGE_ONLINE_URL": f"sqlite:///{home}/online.db",
        "FEAST_FS_YAML_FILE_PATH": str(ROOT / "feature_repo" / "feature_store.yaml"),
        "BENTOML_HOME": str(home.parent / f"{home.name}-bentoml"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite file that may be open here.

    By SQLite itself: reading the file by hand and closing it would drop the locks that this process
    holds on it, and another process would then take the database for nobody's.
    """
    with (
        closing(sqlite3.connect(source)) as found,
        closing(sqlite3.connect(target)) as copied,
    ):
        found.backup(copied)


def copy_home(source: Path, target: Path) -> None:
    """Copy all that a shop stores."""
    databases = shutil.ignore_patterns("*.db", "*.db-wal", "*.db-shm")
    shutil.copytree(source, target, symlinks=True, ignore=databases)
    for database in source.glob("*.db"):
        copy_database(database, target / database.name)


def run(*command: str, env: dict[str, str], cwd: Path = ROOT, timeout: float = 300) -> str:
    """Run a command as a user would; gives its output, fails with it."""
    done = subprocess.run(
        command, env=env, cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def postgres() -> Iterator[services.PostgresServer]:
    """A PostgreSQL of this test run."""
    yield from _running(services.why_no_postgres(), services.PostgresServer)


@pytest.fixture(scope="session")
def redis() -> Iterator[services.RedisServer]:
    """A Redis of this test run."""
    yield from _running(services.why_no_redis(), services.RedisServer)


def _running(why_not: str | None, kind: type) -> Iterator:
    if why_not is not None:
        pytest.skip(why_not)
    server = kind()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def migrated(postgres) -> str:
    """URL of an empty warehouse, which :meth:`PostgresServer.database` copies in no time."""
    from feature_repo.warehouse import Warehouse

    warehouse = Warehouse(postgres.database())
    warehouse.migrate()
    warehouse.engine.dispose()
    return warehouse.url


@pytest.fixture
def postgres_url(postgres, migrated) -> Iterator[str]:
    """URL of a fresh, migrated warehouse on PostgreSQL."""
    url = postgres.database(template=migrated)
    yield url
    postgres.drop(url)


@pytest.fixture
def redis_url(redis) -> str:
    """URL of a Redis database that nobody used before."""
    return redis.database()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that mostly wait for servers come first, so that no process is left alone with one."""
    items.sort(key=lambda item: item.path.name not in WAIT_LONGEST)


@pytest.fixture(scope="session")
def lived() -> tuple[object, object]:
    """A simulated shop and the events of its 340 days."""
    import polars as pl

    from feature_repo.settings import microseconds
    from feature_repo.world import World

    start_at = microseconds("2025-01-01T00:00:00")
    world = World(seed=7, num_shoppers=60, num_items=80, start_at=start_at)
    return world, pl.concat([world.step() for _ in range(340)])


@pytest.fixture(scope="session")
def shop_on_files(tmp_path_factory, lived) -> Shop:
    """The shop with everything in its home folder."""
    from feature_repo.settings import Settings

    return _build(Settings(home=tmp_path_factory.mktemp("shop")), *lived)


@pytest.fixture(scope="session")
def shop_on_servers(tmp_path_factory, lived, postgres, redis) -> Shop:
    """The same shop with warehouse and registry on PostgreSQL and its online rows in Redis."""
    from feature_repo.settings import Settings

    url = postgres.database()
    settings = Settings(
        home=tmp_path_factory.mktemp("served"),
        warehouse_url=url,
        registry_url=url,
        online_url=redis.database(),
    )
    return _build(settings, *lived)


@pytest.fixture(scope="session")
def shop(shop_on_files) -> Shop:
    """The shop of every test that does not care where its rows are."""
    return shop_on_files


def _build(settings, world, frame) -> Shop:
    from feature_repo import publish
    from feature_repo.ingest import ingest
    from feature_repo.settings import DAY, SystemClock
    from feature_repo.warehouse import Warehouse

    warehouse = Warehouse(settings.warehouse)
    warehouse.migrate()
    ingest(warehouse, frame, source="world", now=frame["received_at"].max() + DAY)
    publish.rollup(warehouse, settings)
    built = Shop(settings, warehouse, SystemClock(settings.home), world)
    run("feast", "apply", env=built.env)
    built.clock.move_to(warehouse.span()[1] + 60_000_000)
    publish.materialize(warehouse, settings, built.clock)
    return built
