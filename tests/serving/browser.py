"""A real browser without a window, driven by its DevTools protocol.

Debian's package ``chromium`` brings it; where there is none, tests skip and say so.
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

PROGRAMS = ("chromium", "chromium-headless-shell", "google-chrome", "chromium-browser")
START_LIMIT_S, WAIT_LIMIT_S = 60, 20


def find_browser() -> str | None:
    """The program of a Chromium, None when none is installed."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """One page of a browser."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._numbers = connection, itertools.count(1)
        self.said: list[dict[str, Any]] = []
        """What the page wrote to its console, what it failed at, and which requests it sent."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command; gives its result."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=WAIT_LIMIT_S))
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message}"
                return message["result"]
            self.said.append(message)

    def hear(self, method: str) -> dict[str, Any]:
        """What the browser tells next under that name."""
        while True:
            told = [one for one in self.said if one.get("method") == method]
            if told:
                return told[-1]["params"]
            self.said.append(json.loads(self._connection.recv(timeout=WAIT_LIMIT_S)))

    def resize(self, width: int, height: int) -> None:
        """Show the page as a window of that size does."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def open(self, address: str) -> None:
        """Load an address."""
        self.send("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def do(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """The value of an expression once it is true."""
        deadline = time.monotonic() + WAIT_LIMIT_S
        element = f"(value => value instanceof Node || value)({script})"
        while not (value := self.do(element)):
            shown = self.do("document.body?.innerText ?? ''")
            assert time.monotonic() < deadline, f"never came true: {script}\n{shown}"
            time.sleep(0.05)
        return value

    def text(self, selector: str = "body") -> str:
        """What a reader sees in the first element of that selector."""
        return str(self.do(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def type(self, selector: str, text: str) -> None:
        """Put `text` in a field as a person does: key by key, in place of what it held."""
        self.do(
            f"(e => {{ e.focus(); e.select(); }})(document.querySelector({json.dumps(selector)}))"
        )
        self.send("Input.insertText", text=text)

    def press(self, key: str, code: int, text: str = "") -> None:
        """One key, down and up."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        more = {"text": text} if text else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **about, **more)
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def enter(self) -> None:
        """The key Enter."""
        self.press("Enter", 13, "\r")

    def picture(self, path: Path, *, is_whole: bool = True) -> None:
        """Keep a picture of the page."""
        taken = self.send("Page.captureScreenshot", captureBeyondViewport=is_whole)
        path.write_bytes(base64.b64decode(taken["data"]))

    @property
    def faults(self) -> list[str]:
        """Errors of scripts, and what the page's policy or the network refused."""
        found = []
        for message in self.said:
            if message.get("method") == "Runtime.exceptionThrown":
                found.append(str(message["params"]["exceptionDetails"]))
            entry = message.get("params", {}).get("entry", {})
            if message.get("method") == "Log.entryAdded" and entry["level"] == "error":
                found.append(f"{entry['text']} {entry.get('url', '')}")
        return found

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and address of everything the page asked for."""
        sent = (m["params"]["request"] for m in self.said if m["method"] == SENT)
        return [(one["method"], one["url"]) for one in sent]


SENT = "Network.requestWillBeSent"


@contextmanager
def browse(program: str, folder: Path) -> Iterator[Page]:
    """A browser with nothing in it but one page; closing ends it."""
    command = [
        program,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = _port(folder / "DevToolsActivePort", process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            pages = [one for one in json.load(answer) if one["type"] == "page"]
        with connect(pages[0]["webSocketDebuggerUrl"], max_size=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _port(file: Path, process: subprocess.Popen) -> str:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and (text := file.read_text().split()):
            return text[0]
        time.sleep(0.1)
    raise AssertionError("the browser did not start")
