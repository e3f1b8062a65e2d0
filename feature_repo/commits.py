"""One commit for all who wait: a commit costs the same for one decision as for fifty.

Whoever comes while nobody commits commits at once, so nothing waits without need; whoever comes
meanwhile waits, and one of these commits next, for all of them. Next: ``ledger.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

import sqlalchemy as sa

from feature_repo.disk import DiskFull

Item = TypeVar("Item")
Result = TypeVar("Result")

ITS_OWN_FAULT = (DiskFull, sa.exc.OperationalError, sa.exc.InterfaceError, OSError)
"""What the warehouse fails with by itself: nobody's work is to blame, and trying it again for each
who waits would let them wait one after the other."""


class _Waiting(Generic[Item, Result]):
    """One who waits; `woken` when it is answered, or when it is its turn to commit."""

    def __init__(self, item: Item) -> None:
        self.item, self.woken = item, threading.Event()
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.is_answered = False


class GroupCommit(Generic[Item, Result]):
    """Does the work of many threads in shared transactions; each returns once its own is durable.

    Parameters
    ----------
    begin
        Opens the transaction.
    work
        Does all items in one transaction and gives their results in the same order. Where it
        fails, everything is rolled back and each item is tried alone, so it must be harmless to
        repeat.
    """

    def __init__(
        self,
        begin: Callable[[], AbstractContextManager[sa.Connection]],
        work: Callable[[sa.Connection, Sequence[Item]], Sequence[Result]],
    ) -> None:
        self._begin, self._work = begin, work
        self._mutex = threading.Lock()
        self._queue: list[_Waiting[Item, Result]] = []
        self._is_busy = False

    def __call__(self, item: Item) -> Result:
        """The result of `item`, durable; raises what its work or the warehouse failed with."""
        mine: _Waiting[Item, Result] = _Waiting(item)
        with self._mutex:
            self._queue.append(mine)
            leads, self._is_busy = not self._is_busy, True
        if not leads:
            mine.woken.wait()
        if not mine.is_answered:
            self._lead()
        if mine.error is not None:
            raise mine.error
        return mine.result  # type: ignore[return-value]

    def _lead(self) -> None:
        """Answer everybody who waits now, and hand on to one who came meanwhile."""
        with self._mutex:
            group, self._queue = self._queue, []
        try:
            self._answer(group)
        finally:
            with self._mutex:
                after = self._queue[0] if self._queue else None
                self._is_busy = after is not None
            for one in (*group, *([after] if after else ())):
                one.woken.set()

    def _answer(self, group: Sequence[_Waiting[Item, Result]]) -> None:
        try:
            with self._begin() as connection:
                results = self._work(connection, [one.item for one in group])
        except BaseException as error:
            if len(group) > 1 and not isinstance(error, ITS_OWN_FAULT):
                for one in group:
                    self._answer([one])
                return
            for one in group:
                one.error, one.is_answered = error, True
        else:
            for one, result in zip(group, results, strict=True):
                one.result, one.is_answered = result, True
