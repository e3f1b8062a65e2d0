"""What the guard costs a request: the same application with and without it, side by side."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import statistics
import tempfile
import time
from pathlib import Path

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serving import keys, logs
from serving.guard import Guard
from serving.settings import ServingSettings

NUM_REQUESTS, NUM_ROUNDS = 5_000, 9
BODY = json.dumps({"user_id": "shopper-00001", "num_items": 10}).encode()


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body and answers."""
    await receive()
    await JSONResponse({"done": True})(scope, receive, send)


def requests_of(key: str) -> Scope:
    """A request as uvicorn describes it."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/recommend",
        "raw_path": b"/recommend",
        "query_string": b"",
        "client": ("127.0.0.1", 5000),
        "server": ("127.0.0.1", 3000),
        "headers": [
            (b"host", b"localhost:3000"),
            (b"user-agent", b"bench"),
            (b"accept", b"*/*"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(BODY)).encode()),
            (b"authorization", f"Bearer {key}".encode()),
        ],
    }


async def cpu_s(app: ASGIApp, scope: Scope) -> float:
    """CPU seconds of ``NUM_REQUESTS`` requests."""

    async def receive() -> dict:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: dict) -> None:
        assert message.get("status", 200) == 200

    start = time.process_time()
    for _ in range(NUM_REQUESTS):
        await app(dict(scope), receive, send)
    return time.process_time() - start


async def measure() -> None:
    """Alternate the two, and print the median of each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.json"
        _, key = keys.make(path, "bench", "read", now=time.time())
        settings = ServingSettings(rate_per_s=1e9, rate_burst=10**9, require_keys=True)
        guarded = Guard(bare, settings, keys.KeyRing(path))
        logs.configure(io.StringIO())
        found: dict[str, list[float]] = {"without": [], "with": []}
        for _ in range(NUM_ROUNDS):
            for name, app in (("without", bare), ("with", guarded)):
                found[name].append(1000 * await cpu_s(app, requests_of(key)) / NUM_REQUESTS)
    without, with_ = (statistics.median(found[name]) for name in ("without", "with"))
    print(
        f"{NUM_ROUNDS} rounds of {NUM_REQUESTS:,} requests: {without:.3f} ms CPU a request without "
        f"the guard, {with_:.3f} ms with it, so it costs {with_ - without:.3f} ms"
    )


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(measure())
