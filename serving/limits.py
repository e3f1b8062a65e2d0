"""What a request may weigh, and how many may come: size, media type, rate.

Next: ``guard.py``, which puts these steps in their order.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.endpoints import header
from serving.logs import current
from serving.routes.problems import problem

MAX_HEADER_BYTES, MAX_TARGET_BYTES = 16_384, 8_192
MAX_BUCKETS = 10_000


class Size:
    """Refuses what is too large to look at, and bodies that are not declared as JSON."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app, self._max = app, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        refusal = _too_long(scope) or _undeclared(scope)
        declared = header(scope, b"content-length")
        if refusal is None and declared.isdigit() and int(declared[:20]) > self._max:
            refusal = problem(413, "too_large", self._words)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        num_bytes = 0

        async def counted() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max:
                raise HTTPException(413, self._words)
            return message

        await self._app(scope, counted, send)

    @property
    def _words(self) -> str:
        return (
            f"the body has more than {self._max} bytes; send fewer events at once, or raise "
            "NUDGE_SERVING_MAX_BODY_BYTES"
        )


class Rate:
    """Lets each key, or each address without one, send so many requests a second."""

    def __init__(self, app: ASGIApp, buckets: Buckets) -> None:
        self._app, self._buckets = app, buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        visit, endpoint = current.get(), scope["nudge.endpoint"]
        assert visit is not None, "the guard began it"
        who = visit.key_id or (scope.get("client") or ("",))[0]
        wait_s = 0.0 if endpoint.scope is None else self._buckets.take(who)
        if wait_s:
            seconds = math.ceil(wait_s)
            words = f"too many requests for now; try again in {seconds} s, or send events in lists"
            refusal = problem(429, "rate_limited", words, headers={"Retry-After": str(seconds)})
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


class Buckets:
    """Token buckets: `burst` tokens, refilled by `rate` a second; the longest unused one goes."""

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> float:
        """Take a token of `who`: 0, or the seconds until there is one."""
        now = self._clock()
        tokens, at = self._buckets.pop(who, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - at) * self._rate)
        is_let_in = tokens >= 1.0
        self._buckets[who] = (tokens - 1.0 if is_let_in else tokens, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return 0.0 if is_let_in else (1.0 - tokens) / self._rate

    def __len__(self) -> int:
        return len(self._buckets)


def _too_long(scope: Scope) -> JSONResponse | None:
    """The refusal of long headers or a long address."""
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
        words = f"the headers have more than {MAX_HEADER_BYTES} bytes; send fewer"
        return problem(431, "too_large", words)
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
        words = f"the address has more than {MAX_TARGET_BYTES} bytes; send data in the body"
        return problem(414, "too_large", words)
    return None


def _undeclared(scope: Scope) -> JSONResponse | None:
    """The refusal of a body that its headers do not call JSON in UTF-8."""
    if not scope["nudge.endpoint"].takes_json or scope["method"] != "POST":
        return None
    media, _, options = header(scope, b"content-type").decode("latin-1").lower().partition(";")
    kind, _, form = media.strip().partition("/")
    is_json = kind == "application" and (form == "json" or form.endswith("+json"))
    charset = options.partition("charset=")[2].strip(' "').partition(";")[0]
    encoding = header(scope, b"content-encoding").lower()
    if is_json and charset in ("", "utf-8", "utf8", "us-ascii") and encoding in (b"", b"identity"):
        return None
    words = "the body must be plain JSON in UTF-8: send the header `Content-Type: application/json`"
    return problem(415, "unsupported", f"{words} and no Content-Encoding")
