"""How the story of ``demo.py`` is told: headed steps, commands and requests shown as they run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
from rich.console import Console
from rich.table import Table
from rich.text import Text

ROOT = Path(__file__).parent
HOME = Path(os.environ.get("NUDGE_HOME", ROOT / ".nudge")).resolve()
START_LIMIT_S = 180

console = Console(highlight=False)


@dataclass
class Story:
    """What the last table shows: for each step its result and how long it took."""

    rows: list[tuple[str, str, float]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """A headed step; what is appended to the list it gives is the step's result."""
        console.print()
        console.rule(f"[bold]{len(self.rows) + 1}. {title}", align="left")
        results: list[str] = []
        began = time.monotonic()
        yield results
        self.rows.append((title, "\n".join(results), time.monotonic() - began))

    def table(self) -> Table:
        """Every step with what it gave."""
        table = Table("", "step", "result", "seconds", title="The story in short")
        table.columns[3].justify = "right"
        for number, (title, result, seconds) in enumerate(self.rows, 1):
            table.add_row(str(number), title, result, f"{seconds:.1f}")
        table.add_section()
        table.add_row("", "all of it", "", f"{time.monotonic() - self.began:.1f}", style="bold")
        return table


def run(*command: str, ends: tuple[int, ...] = (0,)) -> str:
    """Show a command, run it as a user would, show and return what it prints.

    `ends` are the statuses with which the story goes on: a command that refuses says so.
    """
    shown = " ".join("python" if word == sys.executable else word for word in command)
    console.print(f"$ {shown}", markup=False, style="cyan", soft_wrap=True)
    said: list[str] = []
    surroundings = os.environ | {"COLUMNS": str(console.width - 2), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile("w+") as complaints, console.status("working"):
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env=surroundings,
        )
        assert process.stdout is not None
        for line in process.stdout:
            said.append(Text.from_ansi(line.rstrip("\n")).plain + "\n")
            console.print(f"  {said[-1]}", end="", markup=False, style="dim", soft_wrap=True)
        if process.wait():
            complaints.seek(0)
            console.print(complaints.read()[-4000:], markup=False)
        if process.returncode not in ends:
            raise SystemExit(f"the story ends here: `{shown}` gave status {process.returncode}")
    return "".join(said)


class Service:
    """A running ``bentoml serve`` on a free port of this machine; closing ends it.

    Raises
    ------
    SystemExit
        When it does not answer in time.
    """

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.address = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(base_url=self.address, timeout=30)
        command = ["bentoml", "serve", "serving.service:Nudge", "--port", port]
        console.print(f"$ {' '.join(command)}", style="cyan")
        self._log, self._kept = HOME / "serve.log", False
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()
        console.print(f"  to look at it: {self.address}/console", style="dim")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request, show it, and give the answer."""
        shown = "" if body is None else json.dumps(body)
        console.print(f"{method} {path} {shown}", markup=False, style="cyan", soft_wrap=True)
        return self._client.request(method, path, json=body).raise_for_status().json()

    def keep(self) -> None:
        """Let the server run on when this is closed."""
        self._kept = True

    def close(self) -> None:
        """End the server, by its own process id, unless it is to be kept."""
        self._client.close()
        if not self._kept:
            self.process.terminate()
            self.process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.close()
                raise SystemExit(f"the story ends here: no service; {self._log} tells why")
            time.sleep(0.5)

    def _answers(self) -> bool:
        try:
            return self._client.get("/ready").is_success
        except httpx.TransportError:
            return False
