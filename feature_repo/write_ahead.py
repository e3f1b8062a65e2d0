"""SQLite's write-ahead log, waited for where SQLite does not wait; of no other library.

Next: ``sqlite.py`` and ``online_sqlite.py``, which open files with it.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

AGAIN_S = 0.01
"""Between two attempts at what SQLite does not wait for by itself."""


def write_ahead(connection: Any, wait_s: float) -> None:
    """Turn the file over to a write-ahead log, as it stays from then on.

    Two who turn a new file over at once can each hold what the other waits for; SQLite then refuses
    one of them at once, whatever its timeout, and who asks again finds the file turned over.
    """
    until = time.monotonic() + wait_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > until:
                raise
        time.sleep(AGAIN_S)
