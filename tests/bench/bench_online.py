"""What a read and a write of packed online rows cost, in SQLite and in a real Redis.

One shopper's three rows are a request; a floor is the same values by one plain MGET.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[2]))

from feature_repo.online import PackedOnlineStore
from tests import services

VIEWS = ("user_state", "user_days", "user_history")
NUM_USERS, NUM_READS = 20_000, 1_000
ROW = {f"feature_{number}": number * 1.5 for number in range(20)} | {"history": [1] * 50}


def milliseconds(what: Callable[[], object], num: int = NUM_READS) -> str:
    """Median wall and mean CPU milliseconds of `what`."""
    walls, cpu = [], time.process_time()
    for _ in range(num):
        began = time.perf_counter()
        what()
        walls.append(time.perf_counter() - began)
    cpu = time.process_time() - cpu
    return f"{statistics.median(walls) * 1e3:.2f} ms, {cpu / num * 1e3:.2f} CPU-ms"


def measure(name: str, url: str) -> None:
    """Print the costs of the store at `url`."""
    place = SimpleNamespace(url=url)
    config = SimpleNamespace(online_store=place, repo_path=None, project="bench")
    store = PackedOnlineStore()
    users = [f"shopper-{number}" for number in range(NUM_USERS)]
    began, cpu = time.perf_counter(), time.process_time()
    for view in VIEWS:
        store.write(config, view, ((user, 1, 1, ROW) for user in users))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    num = NUM_USERS * len(VIEWS)
    print(f"{name}: write {num / wall:,.0f} rows/s, {num / cpu:,.0f} rows/CPU-s")
    print(f"{name}: read 1 shopper {milliseconds(lambda: store.read(config, VIEWS, users[:1]))}")
    many = milliseconds(lambda: store.read(config, VIEWS, users[:200]), num=100)
    print(f"{name}: read 200 shoppers {many}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", f"sqlite:///{folder}/online.db")
    if (why_not := services.why_no_redis()) is not None:
        sys.exit(f"Redis: not measured, {why_not}")
    server = services.RedisServer()
    try:
        server.start()
        measure("Redis", server.url)
        with server.client() as client:
            names = [f"packed:bench:{view}:shopper-0" for view in VIEWS]
            floor = milliseconds(lambda: [json.loads(v[40:]) for v in client.mget(names)])
        print(f"Redis: one plain MGET of the same {floor}")
    finally:
        server.close()
