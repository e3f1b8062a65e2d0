"""Packed online rows in Redis: one text value for each project, view and entity key.

A value is its two stamps as digits, then the packed row. One of two backends behind ``online.py``,
with the same methods as ``online_sqlite.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import quote
from weakref import WeakKeyDictionary

from redis import ConnectionError as NoConnection
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0
TIMEOUTS: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_timeout": ANSWER_SECONDS,
}
_READ_AT_ONCE = 10_000
_WRITTEN_AT_ONCE = 500  # one script's worth: Redis does nothing else for about a millisecond
_SCRIPTS_UNDERWAY = 20
_DIGITS = 20  # of a stamp, moved so that it is never negative: equal widths compare as text
_OFFSET = 2**63

# Redis runs a script as a whole. Lua's numbers are doubles, which end before our times do.
_KEEP_NEWEST = f"""
for n, key in ipairs(KEYS) do
  if string.sub(ARGV[n], 1, {2 * _DIGITS}) >= redis.call('GETRANGE', key, 0, {2 * _DIGITS - 1}) then
    redis.call('SET', key, ARGV[n])
  end
end
"""

Part = TypeVar("Part")
Stamped = tuple[int, int, str]
"""Event time, created time (microseconds since 1970) and the packed row."""


class RedisRows:
    """The rows in the Redis at `url`; several threads and processes may use one server.

    A dead server is noticed within the timeouts, which the URL may set (``?socket_timeout=5``);
    one that is back is found again by the next call.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        # A connection that broke while it waited is opened once more, at once. Writing twice is
        # writing once here; an answer that is late is not waited for twice.
        retry = Retry(NoBackoff(), 1, supported_errors=(NoConnection,))
        self._redis = Redis.from_url(url, retry=retry, **TIMEOUTS)
        self._by_loop: WeakKeyDictionary[Any, AsyncRedis] = WeakKeyDictionary()

    def read(
        self, project: str, views: Sequence[str], keys: Sequence[str]
    ) -> dict[tuple[str, str], Stamped]:
        """(view, key) to what is kept there: one round trip, and one moment, per 10,000 rows."""
        found: dict[tuple[str, str], Stamped] = {}
        for some in _pages_of(views, keys):
            found |= _stamped(some, self._redis.mget([_name(project, *one) for one in some]))
        return found

    async def read_async(
        self, project: str, views: Sequence[str], keys: Sequence[str]
    ) -> dict[tuple[str, str], Stamped]:
        """Like :meth:`read`; the running loop has connections of its own."""
        found: dict[tuple[str, str], Stamped] = {}
        for some in _pages_of(views, keys):
            names = [_name(project, *one) for one in some]
            found |= _stamped(some, await self._in_this_loop().mget(names))
        return found

    async def close(self) -> None:
        """Close the running loop's connections."""
        client = self._by_loop.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def write(self, project: str, rows: Sequence[tuple[str, str, int, int, str]]) -> None:
        """Keep (view, key, event time, created time, packed) where nothing newer is kept.

        Up to 500 rows are kept as a whole or not at all; more go in such parts.
        """
        named = [
            (_name(project, view, key), _pack(event_us, created_us, packed))
            for view, key, event_us, created_us, packed in rows
        ]
        for underway in _parts(named, _WRITTEN_AT_ONCE * _SCRIPTS_UNDERWAY):
            pipeline = self._redis.pipeline(transaction=False)
            for some in _parts(underway, _WRITTEN_AT_ONCE):
                names, values = zip(*some, strict=True)
                pipeline.eval(_KEEP_NEWEST, len(names), *names, *values)
            pipeline.execute()

    def forget(self, project: str, views: Sequence[str]) -> None:
        """Remove the rows of `views`."""
        for view in views:
            self._remove(_name(project, view, ""))

    def drop(self, project: str) -> None:
        """Remove the project's rows; the database may hold whatever else."""
        self._remove(_name(project, "", "")[:-1])

    def incarnation(self) -> str:
        """The server's run id: a restart may have lost its last writes."""
        information: Any = self._redis.info("server")
        return str(information["run_id"])

    def about(self) -> dict[str, str]:
        """Its name and version, and what it does when it is full."""
        information: Any = self._redis.info()
        version, eviction = information["redis_version"], information["maxmemory_policy"]
        return {"name": "Redis", "version": str(version), "eviction": str(eviction)}

    def _in_this_loop(self) -> AsyncRedis:
        """A client for the running loop: a connection belongs to the loop that opened it."""
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            retry = AsyncRetry(NoBackoff(), 1, supported_errors=(NoConnection,))
            self._by_loop[loop] = AsyncRedis.from_url(self._url, retry=retry, **TIMEOUTS)
        return self._by_loop[loop]

    def _remove(self, prefix: str) -> None:
        """Walk through the database and unlink what begins with `prefix`: neither blocks others."""
        for names in self._pages(f"{prefix}*"):
            self._redis.unlink(*names)

    def _pages(self, pattern: str) -> Iterator[list[bytes]]:
        cursor = 0
        while True:
            page: Any = self._redis.scan(cursor, match=pattern, count=1000)
            cursor, names = page
            if names:
                yield names
            if cursor == 0:
                return


def _parts(values: Sequence[Part], size: int) -> Iterator[Sequence[Part]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _pages_of(views: Sequence[str], keys: Sequence[str]) -> Iterator[Sequence[tuple[str, str]]]:
    """Places (view, key), as many as are asked for in one round trip."""
    return _parts([(view, key) for key in keys for view in views], _READ_AT_ONCE)


def _stamped(places: Sequence[tuple[str, str]], values: Any) -> dict[tuple[str, str], Stamped]:
    """What a round trip brought for `places`, without those never written."""
    pairs = zip(places, values, strict=True)
    return {place: _unpack(value) for place, value in pairs if value is not None}


def _name(project: str, view: str, key: str) -> str:
    """The two names are quoted, so that only the entity key may hold a colon, ``*`` or ``?``."""
    return f"packed:{quote(project, safe='')}:{quote(view, safe='')}:{key}"


def _pack(event_us: int, created_us: int, packed: str) -> str:
    return f"{event_us + _OFFSET:0{_DIGITS}d}{created_us + _OFFSET:0{_DIGITS}d}{packed}"


def _unpack(value: bytes) -> Stamped:
    event_us, created_us = value[:_DIGITS], value[_DIGITS : 2 * _DIGITS]
    return int(event_us) - _OFFSET, int(created_us) - _OFFSET, value[2 * _DIGITS :].decode()
