"""Sends what decisions asked for: at least once, with the decision's id as idempotency key.

To a webhook (the one configured address, no redirect is followed, no proxy asked), to a file of
JSON lines, or to the log. A receiver that keeps the ids it has seen acts once. What was sent
becomes a ``treatment`` event. Next: ``feature_repo/messages.py`` for what waits and what is dead.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

from feature_repo.messages import Message, Outbox
from feature_repo.settings import Clock, Settings, SystemClock
from feature_repo.warehouse import Warehouse
from serving.pace import background_thread
from serving.settings import ServingSettings

log = logging.getLogger(__name__)

Send = Callable[[Message], None]
"""Deliver a message, or raise; its words become the reason."""


class NotDelivered(Exception):
    """The receiver did not take a message."""


class Webhook:
    """POSTs messages as JSON to one address."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"NUDGE_SERVING_OUTBOX_URL is {url!r}; write https://HOST/PATH, where messages go"
            )
        self._is_safe, self._timeout_s = parts.scheme == "https", timeout_s
        self._host, self._port = parts.hostname, parts.port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def __call__(self, message: Message) -> None:
        """Deliver `message`; any answer but 2xx is a failure."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.message_id}
        kind = http.client.HTTPSConnection if self._is_safe else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request("POST", self._target, _body(message), headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise NotDelivered(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise NotDelivered(f"the receiver answered {status}; it must answer 200 to 299")


class JsonLines:
    """Appends messages to a file, one line each, on disk when it returns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, message: Message) -> None:
        """Deliver `message`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")  # half a line of a writer that was killed
            file.write(_body(message) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def to_log(message: Message) -> None:
    """Say `message` in the log."""
    log.info("message %s", _body(message).decode())


def sender_of(serving: ServingSettings, home: Path) -> Send | None:
    """What the settings name; None when nothing is sent.

    Raises
    ------
    ValueError
        When a webhook has no usable address.
    """
    if serving.outbox == "webhook":
        return Webhook(serving.outbox_url or "", serving.outbox_timeout_s)
    if serving.outbox == "file":
        return JsonLines(serving.outbox_file or home / "outbox.jsonl")
    return to_log if serving.outbox == "log" else None


def deliver(
    outbox: Outbox,
    send: Send,
    record: Callable[[pl.DataFrame], object],
    clock: Clock,
    serving: ServingSettings,
    *,
    is_over: Callable[[], bool] = lambda: False,
) -> dict[str, int]:
    """Send what is due until nothing is; how many were sent and how many failed.

    Parameters
    ----------
    record
        Keeps treatment events and brings features up to them; an event counts once by its id.
    """
    told = {"sent": 0, "failed": 0}
    keep_treatments(outbox, record, clock.now())  # of a sender that was killed between the two
    while not is_over():
        message = outbox.claim(clock.now(), lease_s=serving.outbox_timeout_s + 60)
        if message is None:
            break
        try:
            send(message)
        except (NotDelivered, OSError) as error:
            outbox.failed(message, clock.now(), str(error), serving.outbox_tries)
            told["failed"] += 1
            continue
        outbox.sent(message, clock.now())
        told["sent"] += 1
    keep_treatments(outbox, record, clock.now())
    return told


def deliver_due(settings: Settings, serving: ServingSettings) -> dict[str, int] | None:
    """Send what is due in a shop, once through; None where nothing is sent by its settings."""
    from feature_repo import publish  # here: it brings Feast, which takes seconds

    send = sender_of(serving, settings.home)
    if send is None:
        return None
    clock, warehouse = SystemClock(settings.home), Warehouse(settings.warehouse)

    def record(frame: pl.DataFrame) -> object:
        return publish.record(warehouse, frame, settings, clock, source="outbox")

    return deliver(Outbox(warehouse), send, record, clock, serving)


def keep_treatments(outbox: Outbox, record: Callable[[pl.DataFrame], object], now: int) -> None:
    """Make treatment events of what was sent by `now`."""
    events = outbox.treatments(now)
    if not events.is_empty():
        record(events)
        outbox.done(events["decision_id"].to_list())


class Background:
    """Delivers in a thread of its own, so that a slow receiver holds up nothing else."""

    def __init__(
        self,
        work: Callable[[Callable[[], bool]], object],
        tell: Callable[[], object],
        every_s: float,
    ) -> None:
        self._work, self._tell, self._every_s = work, tell, every_s
        self._stop = threading.Event()
        self._thread = background_thread(self._watch, "outbox")

    def start(self) -> None:
        """Work from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End after the message in hand."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while True:
            try:
                self._work(self._stop.is_set)
                self._tell()
            except Exception as error:
                log.warning("the outbox could not be worked on: %s", type(error).__name__)
            if self._stop.wait(self._every_s):
                return


def _body(message: Message) -> bytes:
    return json.dumps({"message_id": message.message_id, **message.payload}).encode()
