"""Real processes for fault tests: a copy of the shop, commands that are killed, a service."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.conftest import copy_database
from tests.services import free_port

ROOT = Path(__file__).parents[2]


@contextmanager
def small_disk(folder, size: str):
    """A disk of `size` at `folder`; skips where mounting is not permitted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass(frozen=True)
class Copy:
    """A copied shop: its settings, its warehouse and the environment of its processes."""

    settings: object
    warehouse: object
    env: dict[str, str]


def shop_on(shop, home: Path, *, warehouse_url: str = "", online_url: str = "") -> Copy:
    """A copy of `shop` in `home`; with URLs, its stores are there, filled from the warehouse."""
    from feature_repo.settings import Settings
    from feature_repo.warehouse import Warehouse

    home.mkdir(exist_ok=True)
    copy_database(shop.settings.home / "registry.db", home / "registry.db")
    for name in ("clock", "promoted.json"):
        if (shop.settings.home / name).exists():
            shutil.copy(shop.settings.home / name, home / name)
    shutil.copytree(shop.settings.home / "offline", home / "offline")
    chosen = {"warehouse_url": warehouse_url or None, "online_url": online_url or None}
    settings = Settings(home=home, **chosen)
    warehouse = Warehouse(settings.warehouse)
    warehouse.migrate()
    from feature_repo.ingest import ingest

    frame = shop.warehouse.events()
    ingest(warehouse, frame, source="copy", now=int(frame["received_at"].max()) + 1)
    env = shop.env | {
        "NUDGE_HOME": str(home),
        "NUDGE_REGISTRY_URL": f"sqlite:///{home}/registry.db",
        "NUDGE_WAREHOUSE_URL": settings.warehouse,
        "NUDGE_ONLINE_URL": settings.online,
    }
    return Copy(settings, warehouse, env)


def start(*command: str, env: dict[str, str], log: Path | None = None) -> subprocess.Popen:
    """A command in a process group of its own."""
    with (log or Path(os.devnull)).open("ab") as file:
        return subprocess.Popen(
            command, env=env, cwd=ROOT, stdout=file, stderr=file, start_new_session=True
        )


def python(*arguments: str, env: dict[str, str], log: Path | None = None) -> subprocess.Popen:
    """This interpreter with `arguments`, in a group of its own."""
    return start(sys.executable, *arguments, env=env, log=log)


def kill(process: subprocess.Popen) -> bool:
    """SIGKILL to its whole group; whether it was still at work."""
    was_running = process.poll() is None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return was_running


def until(is_true: Callable[[], object], limit_s: float) -> float:
    """Wait for something; gives the seconds that took, fails after `limit_s`."""
    began = time.monotonic()
    while not is_true():
        assert time.monotonic() - began < limit_s, f"it did not happen within {limit_s} s"
        time.sleep(0.02)
    return time.monotonic() - began


class Service:
    """The service over a shop, in a process that can be killed and started again."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        self.env, self.log = env, folder / "service.log"
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    def start(self, limit_s: float = 120.0) -> float:
        """Start it; gives the seconds until it is ready."""
        command = ["-m", "uvicorn", "serving.service:app", "--port", str(self.port)]
        self.process = python(*command, "--log-level", "warning", env=self.env, log=self.log)
        process = self.process

        def is_ready() -> bool:
            assert process.poll() is None, self.log.read_text()[-3000:]
            with suppress(httpx.TransportError):
                return httpx.get(f"{self.url}/ready", timeout=5).status_code == 200
            return False

        return until(is_ready, limit_s)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None, "it was started"
        kill(self.process)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Clients:
    """Threads that send events and ask for decisions until they are stopped."""

    url: str
    users: list[str]
    items: list[str]
    num_threads: int = 3
    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    """Event ids that a receipt named as kept."""
    decided: dict[str, dict] = field(default_factory=dict)
    """Decision id to the answer."""
    statuses: dict[tuple[str, int], int] = field(default_factory=dict)
    slowest_s: float = 0.0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._go, args=(number,)) for number in range(self.num_threads)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def so_far(self) -> tuple[set[str], dict[str, dict]]:
        """Ids of acknowledged events, and answers by decision id, up to now."""
        with self._lock:
            return set(self.acknowledged), dict(self.decided)

    def _go(self, number: int) -> None:
        count = 0
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self._stop.is_set():
                count += 1
                name = f"{self.url[-5:]}-{id(self)}-{number}-{count}"
                user = self.users[(count * 7 + number) % len(self.users)]
                try:
                    self._once(client, name, user, count)
                except httpx.TransportError:
                    time.sleep(0.05)

    def _once(self, client: httpx.Client, name: str, user: str, count: int) -> None:
        path = ("/recommend", "/predict", "/decide")[count % 3]
        answer = self._post(client, path, {"user_id": user})
        if answer is not None:
            with self._lock:
                self.decided[answer["decision_id"]] = answer
        event = {"event_id": name, "kind": "view", "user_id": user}
        event["item_id"] = self.items[count % len(self.items)]
        if answer is not None:
            event["decision_id"] = answer["decision_id"]
        with self._lock:
            self.sent.add(name)
        receipt = self._post(client, "/events", event)
        if receipt is not None and receipt["accepted"] + receipt["duplicates"] == 1:
            with self._lock:
                self.acknowledged.add(name)

    def _post(self, client: httpx.Client, path: str, body: dict) -> dict | None:
        began = time.monotonic()
        answer = client.post(path, json=body)
        with self._lock:
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            key = (path, answer.status_code)
            self.statuses[key] = self.statuses.get(key, 0) + 1
        return answer.json() if answer.status_code == 200 else None
