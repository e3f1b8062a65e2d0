"""``/recommend`` under sixteen clients: the obvious composition and the service.

The same shop, the same trained network, the same ranking of all items with two hundred given, each
decision durable before its answer. One worker on one core; the clients on another.
"""

from __future__ import annotations

import http.client
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from feature_repo.settings import SECOND, SystemClock
from feature_repo.warehouse import Warehouse
from tests.bench.harness import Bench, Goal, Measured, run
from tests.bench.obvious_service import OBVIOUS_YAML
from tests.bench.served import (
    ROOT,
    ask,
    cpu_of,
    crowd,
    environment,
    figures,
    make_shop,
    memory_of,
    server,
)

SIZES = {"300 items": (150, 300), "2,000 items": (150, 2_000)}
MEMORY = "/dev/shm"
NUM_CLIENTS, SECONDS, NUM_USERS = 16, 12.0, 100
OBVIOUS, OURS, UNSYNCED = "obvious composition", "Nudge", "Nudge, ledger in memory"


def make(folder: Path, size: str) -> None:
    """The shop, and plain Feast's own online rows of it beside ours."""
    import subprocess
    import sys

    shoppers, items = SIZES[size]
    make_shop(folder / "home", shoppers=shoppers, items=items)
    config = yaml.safe_load((ROOT / "feature_repo" / "feature_store.yaml").read_text())
    config["online_store"] = {"type": "sqlite", "path": str(folder / "feast.db")}
    config["batch_engine"] = "local"
    config["materialization"]["online_write_batch_size"] = 1_000
    (folder / "obvious.yaml").write_text(yaml.safe_dump(config))
    code = (
        "import sys; from pathlib import Path; from feast import FeatureStore\n"
        "from datetime import datetime, UTC\n"
        "store = FeatureStore(fs_yaml_file=Path(sys.argv[1]))\n"
        "store._get_provider().update_infra(store.project, [], store.list_feature_views(), [],"
        " store.list_entities(), False)\n"
        "store.materialize(datetime(2000, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC))\n"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder / "obvious.yaml")],
        cwd=ROOT,
        env=environment(folder / "home"),
        check=True,
        capture_output=True,
    )


def side(service: str, *, in_memory: bool = False) -> Callable[[Path, str], Callable[[], Measured]]:
    """A server, asked by a crowd; its warehouse lies on the disk, or where nothing is synced."""

    def made(folder: Path, size: str) -> Callable[[], Measured]:
        home = folder / "home"
        settings = {OBVIOUS_YAML: str(folder / "obvious.yaml")}
        users = [f"shopper-{number:05}" for number in range(NUM_USERS)]

        def call() -> Measured:
            command = ("bentoml", "serve", service, "--host", "127.0.0.1", "--api-workers", "1")
            set_back(home)
            with (
                warehouse_of(home, in_memory) as where,
                server(command, home, **settings, **where) as (port, process),
            ):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
                best = [
                    [item["score"] for item in ask(connection, "/recommend", body(user))["items"]]
                    for user in users[:20]
                ]
                cpu, began = cpu_of(process), time.monotonic()
                took = crowd(
                    port,
                    "/recommend",
                    lambda turn: body(users[turn % NUM_USERS]),
                    num_clients=NUM_CLIENTS,
                    seconds=SECONDS,
                )
                seconds = time.monotonic() - began
                found = figures(took, seconds, cpu_of(process) - cpu)
                found["server_peak_mib"] = memory_of(process)
            # Two items that are one to the last digit may stand in either order.
            means = [round(sum(scores[:30]) / 30, 2) for scores in best]
            return Measured(answer=means, figures=found)

        return call

    return made


def set_back(home: Path) -> None:
    """Let each side begin at one moment: what is a little older is ranked a little differently."""
    span = Warehouse(f"sqlite:///{home / 'warehouse.db'}").span()
    assert span is not None, "the shop has events"
    for name in ("clock", "clock.mark"):
        (home / name).unlink(missing_ok=True)
    SystemClock(home).move_to(span[1] + SECOND)


@contextmanager
def warehouse_of(home: Path, in_memory: bool) -> Iterator[dict[str, str]]:
    """Settings of the warehouse: the shop's own, or a copy of it in memory."""
    if not in_memory:
        yield {}
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        copy = Path(folder) / "warehouse.db"
        with sqlite3.connect(home / "warehouse.db") as own, sqlite3.connect(copy) as other:
            own.backup(other)
        yield {"NUDGE_WAREHOUSE_URL": f"sqlite:///{copy}"}


def body(user: str) -> dict[str, object]:
    return {"user_id": user, "num_items": 200}


BENCH = Bench(
    name="recommend",
    title="Recommend under load",
    line=(
        "`/recommend` with 200 ranked items of all, sixteen clients that ask again at once. The "
        "obvious composition is `@bentoml.api`, `get_online_features` of the shopper and of the "
        "ranked items from Feast's SQLite store (services held), eager torch in inference mode, "
        "with item vectors in memory, and one SQLAlchemy commit for each decision."
    ),
    goals=(
        Goal(words="10 times the requests a second", figure="requests_per_s", against=OBVIOUS,
             at_least=10.0),
        Goal(words="a tenth of the p99", figure="p99_ms", against=OBVIOUS, at_least=10.0),
    ),
    figure="requests_per_s",
    sizes=tuple(SIZES),
    make=make,
    sides={
        OBVIOUS: side("tests.bench.obvious_service:Obvious"),
        OURS: side("serving.service:Nudge"),
        UNSYNCED: side("serving.service:Nudge", in_memory=True),
    },
    obvious=OBVIOUS,
    ours=OURS,
    rounds=2,
    reading=(
        "Both goals are reached, and the size of the catalogue does not show. Half of the gain "
        "over the version before came from Python's collection of garbage, which walked all that "
        "stays in memory while requests waited; [what else](serving.md#pace). Without fsync (the "
        "warehouse in memory) a worker answers no more: a commit is shared by those who wait for "
        "it, and a sync of this disk takes a seventh of a millisecond."
    ),
)  # fmt: skip

if __name__ == "__main__":
    run(BENCH)
