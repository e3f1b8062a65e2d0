"""A reader at a terminal: runs the commands of a page as printed, with servers on free ports."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = ("make ", "source ")
NEEDS = ("bash", "curl")
needs_a_shell = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in NEEDS), reason=f"needs {' and '.join(NEEDS)}"
)


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Language and content of each block of code of `page`."""
    return FENCE.findall(page.read_text())


def commands_of(page: Path) -> list[str]:
    """The commands of `page` in their order, but for those that only prepare a terminal."""
    return [
        line.strip()
        for language, body in blocks_of(page)
        if language == "bash"
        for line in body.splitlines()
        if line.strip() and not line.startswith(("#", *ELSEWHERE))
    ]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def environment(home: Path) -> dict[str, str]:
    """What ``source .venv/bin/activate`` gives with NUDGE_HOME set to `home`."""
    plain = {
        name: value
        for name, value in os.environ.items()
        if not re.match(r"_?NUDGE_|BENTOML_|FEAST_|RAY_|XDG_", name)
    }
    plain |= {
        "VIRTUAL_ENV": str(ROOT / ".venv"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NUDGE_HOME": str(home),
        "XDG_DATA_HOME": str(home.parent / "share"),
        "HOME": str(home.parent),
    }
    script = f". {ROOT}/infra/environment.sh && env -0"
    shown = subprocess.run(["bash", "-c", script], env=plain, capture_output=True, check=True)
    pairs = (pair.partition("=") for pair in shown.stdout.decode().split("\0") if pair)
    return {name: value for name, _, value in pairs}


class Terminal:
    """The reader at the keyboard: one environment, one folder of own files, running servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = environment(folder / "home")
        self.port, ray_port, self.dashboard = free_port(), free_port(), free_port()
        self.rewritten = {
            r"localhost:3000|--port 3000": lambda found: found[0].replace("3000", str(self.port)),
            r"^curl -s": "curl -sS --fail-with-body --max-time 60",
            r"orders\.csv|my_shop\.toml|proposed\.toml": lambda found: str(folder / found[0]),
            r"^ray start": f"ray start --block --port {ray_port} --dashboard-port {self.dashboard}",
            r"^ray job submit": f"ray job submit --address http://127.0.0.1:{self.dashboard}",
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def enter(self, command: str) -> str:
        """Run `command` and give what it printed; a server goes on in the background."""
        for pattern, replacement in self.rewritten.items():
            command = re.sub(pattern, replacement, command)
        if command.startswith("bentoml serve"):
            return self.start("bentoml", command, f"http://127.0.0.1:{self.port}/ready")
        if command.startswith("ray start"):
            return self.start("ray", command, f"http://127.0.0.1:{self.dashboard}/api/version")
        if command == "ray stop":
            return self.end("ray")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def start(self, name: str, command: str, address: str) -> str:
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            self.running[name] = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self.running[name].poll() is None:
            if answers(address):
                return address
            time.sleep(0.5)
        pytest.fail(f"$ {command}\n{log.read_text()[-6000:]}")

    def end(self, name: str) -> str:
        process = self.running.pop(name)
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        return "ended"

    def close(self) -> None:
        """End what still runs."""
        for name in list(self.running):
            self.end(name)


def answers(address: str) -> bool:
    """Whether something answers there, if only that it wants to know who asks."""
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code in (401, 403)
    except OSError:
        return False
    return True
