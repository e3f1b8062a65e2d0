"""Decisions that the ledger could not take, durable on this machine until it can.

Append-only files of JSON lines, one per process and outage, in ``NUDGE_HOME/spool``. A writer holds
its file's lock, so whoever gets the lock knows that the writer is done or dead, and may drain it.
The ledger knows a decision by its id, so a file that is drained twice changes nothing.
Next: ``upkeep.py``.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from uuid import uuid4

from feature_repo.ledger import Decision

log = logging.getLogger(__name__)


class Spool:
    """The folder of waiting decisions; threads and processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: FileIO | None = None
        self._mutex = threading.Lock()

    def append(self, decision: Decision) -> None:
        """Keep `decision`; durable when this returns.

        Raises
        ------
        OSError
            When the disk does not take it; nothing is kept then.
        """
        line = json.dumps(asdict(decision)).encode() + b"\n"
        with self._mutex:
            file = self._file = self._file or self._open()
            end = file.seek(0, os.SEEK_END)
            try:
                written = file.write(line)
                if written != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))
                os.fsync(file.fileno())
            except OSError:
                # Half a line must not stand before the next one.
                file.truncate(end)
                raise

    def holds(self, decision_id: str) -> bool:
        """Whether that decision waits here, in any process' file."""
        needle = f'"decision_id": {json.dumps(decision_id)}'.encode()
        return any(needle in _content(path) for path in self._paths())

    def is_empty(self) -> bool:
        """Whether nothing waits, in any process' file."""
        return not self._paths()

    def drain(self, keep: Callable[[list[Decision]], object]) -> int:
        """Hand every waiting decision to `keep`, which may know some already; gives their number.

        A file goes once `keep` has returned. What `keep` raises is passed on; the file stays.
        """
        self.close()
        return sum(self._drain(path, keep) for path in self._paths())

    def close(self) -> None:
        """Let go of the file that is being written; what it holds waits."""
        with self._mutex:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _drain(self, path: Path, keep: Callable[[list[Decision]], object]) -> int:
        with suppress(FileNotFoundError), FileIO(path, "r+") as file:
            if not _locked(file):
                return 0
            try:
                decisions = _decisions(file.readall())
            except ValueError:
                log.exception("%s cannot be read; it is kept aside", path)
                path.rename(path.with_suffix(".unreadable"))
                return 0
            if decisions:
                keep(decisions)
            path.unlink(missing_ok=True)
            return len(decisions)
        return 0

    def _open(self) -> FileIO:
        """A new file that no drain can take between its making and its locking."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{uuid4().hex}.jsonl"
        hidden = path.with_suffix(".new")
        file = FileIO(hidden, "x+")
        assert _locked(file), "nobody else knows this file"
        hidden.rename(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return file

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))


def _locked(file: FileIO) -> bool:
    """Take the lock of `file`, which ends with the handle or the process; whether it was free."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _decisions(content: bytes) -> list[Decision]:
    """The decisions of whole lines: a last one without its end was never acknowledged."""
    rows = [json.loads(line) for line in content.split(b"\n")[:-1]]
    return [Decision(**row | {"notices": tuple(row["notices"])}) for row in rows]
