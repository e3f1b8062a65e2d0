"""Real servers for tests: PostgreSQL and Redis as ``infra/compose.yaml`` describes them.

Each listens on a free loopback port, keeps its data in a temporary folder, and is ended by its
process id. The flags are read from the compose file, so what the tests prove is what it starts.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis
import yaml

COMPOSE = Path(__file__).parents[1] / "infra" / "compose.yaml"
SECRETS = {"POSTGRES_PASSWORD": "not-a-secret", "REDIS_PASSWORD": "not-a-secret-either"}
"""What stands in ``.env`` beside the compose file in production."""
START_S = 60.0


def described(service: str) -> dict[str, Any]:
    """What the compose file says of `service`, its variables replaced by ``SECRETS``."""
    text = re.sub(r"\$\{(\w+)[^}]*\}", lambda m: SECRETS.get(m[1], ""), COMPOSE.read_text())
    return yaml.safe_load(text)["services"][service]


def find_binary(name: str) -> str | None:
    """The newest server program of that name, on the path or where Debian puts PostgreSQL's."""
    installed = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
    newest = sorted(installed, key=lambda path: int(path.split("/")[4]))[-1:]
    return (newest or [shutil.which(name)])[0]


def why_no_postgres() -> str | None:
    """Why no PostgreSQL can be started here; None when it can."""
    if find_binary("postgres") is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if os.geteuid() == 0:
        with suppress(LookupError):
            import pwd

            pwd.getpwnam("postgres")
            return None
        return "PostgreSQL refuses to run as root, and there is no user postgres"
    return None


def why_no_redis() -> str | None:
    """Why no Redis can be started here; None when it can."""
    missing = find_binary("redis-server") is None
    return "Redis is not installed (Debian: apt-get install redis-server)" if missing else None


class Server:
    """A server process on a port and a folder that outlive its restarts."""

    name = "server"
    user: str | None = None

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"nudge-{self.name}-"))
        self._process: psutil.Popen | None = None
        if self.user is not None:
            shutil.chown(self.folder, self.user, self.user)

    def command(self) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def ping(self) -> None:
        """Raise unless it answers."""
        raise NotImplementedError

    def start(self) -> None:
        """Start, or start again on the same port and data; returns when it answers."""
        assert self._process is None, f"{self.name} is running"
        with (self.folder / "log").open("ab") as log:
            self._process = psutil.Popen(
                self.command(), stdout=log, stderr=log, cwd=self.folder, **self._owner()
            )
        self._wait_until(self.ping, self._process)

    def stop(self) -> None:
        """End it in good order: what was acknowledged is kept, open connections are cut."""
        self._end(lambda process: process.send_signal(2))  # SIGINT: both shut down at once

    def kill(self) -> None:
        """SIGKILL to the server and all its children, as a power cut that spares the disk."""
        self._end(kill_tree)

    def suspend(self) -> None:
        """Let it hang: it accepts connections and answers nobody, as a peer behind a dead line."""
        assert self._process is not None, f"{self.name} is not running"
        self._process.suspend()

    def close(self) -> None:
        """End it, if it runs, and remove its data."""
        if self._process is not None:
            self._process.resume()
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: Callable[[psutil.Popen], None]) -> None:
        assert self._process is not None, f"{self.name} is not running"
        process, self._process = self._process, None
        how(process)
        process.wait(START_S)

    def _wait_until(self, ready: Callable[[], None], process: psutil.Popen) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                return ready()
            except (psycopg.OperationalError, redis.RedisError) as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    log = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{self.name} did not start: {error}\n{log}") from error
                time.sleep(0.02)

    def _owner(self) -> dict[str, Any]:
        if self.user is None:
            return {}
        return {"user": self.user, "group": self.user, "extra_groups": []}


class PostgresServer(Server):
    """One PostgreSQL cluster; :meth:`database` gives the URL of a database of one's own."""

    name = "postgres"

    def __init__(self) -> None:
        self.user = "postgres" if os.geteuid() == 0 else None
        super().__init__()
        self._numbers = itertools.count()
        environment = described(self.name)["environment"]
        self._role, self._password = environment["POSTGRES_USER"], environment["POSTGRES_PASSWORD"]
        secret = self.folder / "password"
        secret.write_text(self._password)
        initdb = [find_binary("initdb"), "--pgdata=data", f"--username={self._role}"]
        initdb += ["--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync"]
        initdb += shlex.split(environment["POSTGRES_INITDB_ARGS"])
        subprocess.run(initdb, cwd=self.folder, check=True, capture_output=True, **self._owner())

    def command(self) -> list[str]:
        """The compose file's flags, and this server's own place."""
        place = ["-D", "data", "-p", str(self.port), "-k", str(self.folder)]
        flags = described(self.name)["command"][1:]
        return [str(find_binary("postgres")), *flags, *place, "-c", "listen_addresses=127.0.0.1"]

    def ping(self) -> None:
        """Answer a query."""
        self.execute("SELECT 1")

    def execute(self, statement: str) -> list[tuple]:
        """Run one statement outside any transaction as the server's owner."""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def database(self, template: str = "template1") -> str:
        """URL of a fresh database, a copy of that of the URL or name `template`."""
        name = f"shop{next(self._numbers)}"
        self.execute(f'CREATE DATABASE {name} TEMPLATE "{template.rpartition("/")[2]}"')
        return self._address(name)

    def drop(self, url: str) -> None:
        """Remove the database of `url`, whoever is still connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def _address(self, database: str) -> str:
        return f"postgresql://{self._role}:{self._password}@127.0.0.1:{self.port}/{database}"


class RedisServer(Server):
    """One Redis with many numbered databases."""

    name = "redis"
    num_databases = 2000

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)

    def command(self) -> list[str]:
        """The compose file's flags, and this server's own place."""
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        flags = described(self.name)["command"][1:]
        many = ["--databases", str(self.num_databases)]
        return [str(find_binary("redis-server")), *flags, *place, *many]

    def ping(self) -> None:
        """Answer PING."""
        with self.client() as client:
            client.ping()

    @property
    def url(self) -> str:
        """Database 0, which :meth:`database` never gives."""
        return self._address(0)

    def client(self, url: str | None = None) -> redis.Redis:
        """A client of `url`, by default of database 0."""
        return redis.Redis.from_url(url or self.url, socket_timeout=5, retry=None)

    def database(self) -> str:
        """URL of the next database, which nobody used before."""
        return self._address(next(self._numbers) % self.num_databases)

    def _address(self, number: int) -> str:
        return f"redis://:{SECRETS['REDIS_PASSWORD']}@127.0.0.1:{self.port}/{number}"


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def kill_tree(process: psutil.Process) -> None:
    """SIGKILL to `process` and all below it; it is stopped first, so that it makes no new ones."""
    process.suspend()
    children = process.children(recursive=True)
    for one in (process, *children):
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(children, timeout=START_S)
