"""Online rows that fell behind the warehouse are found and written again.

A process that dies between keeping an event and writing its shopper's rows leaves them behind, and
so does an online store that lost its last writes. The row of a shopper tells how many behaviours it
counts and up to when, so comparing it with the warehouse finds every such shopper. Next:
``publish.py``, which writes the rows.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator

import polars as pl

from feature_repo.publish import refresh
from feature_repo.retrieval import open_store, packed_store
from feature_repo.rollups import BEHAVIOURS
from feature_repo.settings import Clock, Settings
from feature_repo.treatments import TREATMENT, TREATMENTS_KEPT
from feature_repo.warehouse import Warehouse
from feature_repo.words import MESSAGE, MESSAGES_KEPT

COMPARED_AT_ONCE = 10_000
REFRESHED_AT_ONCE = 1_000
_COLLECTED = {
    "user_treatments": (TREATMENT, "treatment_at", TREATMENTS_KEPT),
    "user_messages": (MESSAGE, "message_at", MESSAGES_KEPT),
}
"""View to the kind of its events, its times, and how many of them it keeps."""


def heal(warehouse: Warehouse, settings: Settings, clock: Clock) -> int:
    """Write the online rows of every shopper who is behind; how many they were.

    Only one process of a home does it at a time; another one finds nothing to do.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "heal.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        now = clock.now()
        user_ids = list(dict.fromkeys(behind(warehouse, settings, now)))
        for start in range(0, len(user_ids), REFRESHED_AT_ONCE):
            some = user_ids[start : start + REFRESHED_AT_ONCE]
            refresh(warehouse, some, settings, known_before=now)
        return len(user_ids)


def behind(warehouse: Warehouse, settings: Settings, now: int) -> Iterator[str]:
    """Shoppers whose online row does not say what the warehouse knew before `now`."""
    for view in _COLLECTED:
        yield from _behind_in(view, warehouse, settings, now)
    store = open_store(settings)
    for part in warehouse.activity(BEHAVIOURS, now).iter_slices(COMPARED_AT_ONCE):
        keys = part["user_id"].to_list()
        rows = packed_store(store).read(store.config, ["user_state"], keys)["user_state"]
        told = [
            None if row is None else (row[0], sum(row[2].get(f"num_{k}") or 0 for k in BEHAVIOURS))
            for row in rows
        ]
        # A row is stamped one microsecond after the event that made it became known.
        known = part.select(pl.col("known_at") + 1, "num").rows()
        yield from (key for key, one, other in zip(keys, told, known, strict=True) if one != other)


def _behind_in(view: str, warehouse: Warehouse, settings: Settings, now: int) -> Iterator[str]:
    """Shoppers whose online row of a collected `view` lacks an event."""
    store, (kind, times, kept) = open_store(settings), _COLLECTED[view]
    for part in warehouse.activity([kind], now).iter_slices(COMPARED_AT_ONCE):
        keys = part["user_id"].to_list()
        rows = packed_store(store).read(store.config, [view], keys)[view]
        for key, row, known_at, num in zip(keys, rows, part["known_at"], part["num"], strict=True):
            told = None if row is None else (row[0], len(row[2][times]))
            if told != (known_at + 1, min(num, kept)):
                yield key


def incarnation(settings: Settings) -> str:
    """What changes when the online store was started anew or replaced; raises while it is down."""
    store = open_store(settings)
    return packed_store(store).incarnation(store.config)
