"""A Redis for one side of a bench, and its address as plain Feast writes it."""

from __future__ import annotations

import atexit
from urllib.parse import urlsplit

from tests import services


def start_redis() -> str:
    """The URL of a Redis of this process, which ends with it."""
    server = services.RedisServer()
    server.start()
    atexit.register(server.close)
    return server.url


def connection_string(url: str) -> str:
    """What Feast's own Redis store calls the place of `url`."""
    place = urlsplit(url)
    password = f",password={place.password}" if place.password else ""
    return f"{place.hostname}:{place.port}{password}"
