"""A simulated shop with a trained model, servers over it, and a crowd of clients.

Made by the commands that a user types. Used by ``bench_recommend.py`` and ``bench_live.py``.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).parents[2]
SERVER_CORE, CLIENT_CORE = {0}, {os.cpu_count() - 1}


def environment(home: Path) -> dict[str, str]:
    """What ``.venv/bin/activate`` would say for a shop in `home`."""
    return os.environ | {
        "NUDGE_HOME": str(home),
        "NUDGE_REGISTRY_URL": f"sqlite:///{home}/registry.db",
        "NUDGE_ONLINE_URL": f"sqlite:///{home}/online.db",
        "FEAST_FS_YAML_FILE_PATH": str(ROOT / "feature_repo" / "feature_store.yaml"),
        "BENTOML_HOME": str(home.parent / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # One key, the anonymous one, sends all requests of a bench.
        "NUDGE_SERVING_RATE_PER_S": "1000000",
        "NUDGE_SERVING_RATE_BURST": "1000000",
    }


def make_shop(home: Path, *, shoppers: int, items: int) -> None:
    """Simulate a shop, train a tiny model on it, and promote that."""
    home.mkdir(parents=True)
    store, training = (sys.executable, "-m", "feature_repo"), (sys.executable, "-m", "training")
    for command in (
        (*store, "init"),
        (*store, "simulate", "--shoppers", str(shoppers), "--items", str(items)),
        (*store, "clock", "--last"),
        (*store, "rollup"),
        ("feast", "apply"),
        (*store, "materialize"),
        (*training, "fit", "shopper", "--size", "tiny", "--set", "optim.num_epochs=1"),
        (sys.executable, "-m", "serving", "promote", "shopper"),
    ):
        said = subprocess.run(
            command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False
        )
        if said.returncode:
            sys.exit(f"{' '.join(command)}: {said.stdout[-2000:]}{said.stderr[-2000:]}")


@contextmanager
def server(command: Sequence[str], home: Path, **more: str) -> Iterator[tuple[int, psutil.Process]]:
    """A server of one worker on one core; gives its port and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (home / "server.log").open("wb") as log:
        started = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=ROOT,
            env=environment(home) | more,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, SERVER_CORE),
        )
    process = psutil.Process(started.pid)
    try:
        _wait(port, started, home)
        yield port, process
    finally:
        family = [process, *process.children(recursive=True)]
        started.terminate()
        started.wait(timeout=30)
        psutil.wait_procs(family, timeout=30)


def ask(connection: http.client.HTTPConnection, path: str, body: Mapping[str, Any]) -> Any:
    """One request on a connection that stays open."""
    text = json.dumps(body).encode()
    connection.request("POST", path, text, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} gave {answer.status}: {said[:500]!r}")
    return json.loads(said)


def crowd(
    port: int,
    path: str,
    bodies: Callable[[int], Mapping[str, Any]],
    *,
    num_clients: int,
    seconds: float,
) -> list[float]:
    """Seconds that each answer took, of clients that ask again at once, for a while."""
    os.sched_setaffinity(0, CLIENT_CORE)
    took: list[list[float]] = [[] for _ in range(num_clients)]
    until = time.monotonic() + seconds

    def client(number: int) -> None:
        connection, turn = http.client.HTTPConnection("127.0.0.1", port, timeout=120), number
        while time.monotonic() < until:
            began = time.perf_counter()
            ask(connection, path, bodies(turn))
            took[number].append(time.perf_counter() - began)
            turn += num_clients

    threads = [threading.Thread(target=client, args=(number,)) for number in range(num_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for some in took for one in some]


def figures(took: Sequence[float], seconds: float, cpu_s: float) -> dict[str, float]:
    """Rate, waiting and the server's CPU for each request."""
    return {
        "requests_per_s": len(took) / seconds,
        "p50_ms": float(np.median(took)) * 1e3,
        "p99_ms": float(np.quantile(took, 0.99)) * 1e3,
        "server_cpu_ms": cpu_s / len(took) * 1e3,
    }


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds of a server and its workers so far."""
    family = [process, *process.children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in family)


def memory_of(process: psutil.Process) -> float:
    """Resident MiB of a server and its workers."""
    return sum(one.memory_info().rss for one in [process, *process.children(True)]) / 2**20


def _wait(port: int, started: subprocess.Popen, home: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if started.poll() is not None:
            sys.exit((home / "server.log").read_text()[-3000:])
        with (
            suppress(OSError),
            closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection,
        ):
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.3)
    sys.exit(f"no answer within three minutes: {(home / 'server.log').read_text()[-3000:]}")
