"""What stands before every endpoint: request id, log line, size, key, rate; in this order.

Each step is a few lines of plain ASGI and answers by itself when it refuses. What each endpoint
asks for stands in ``endpoints.py``. Keys are in ``keys.py``, sizes and rates in ``limits.py``, log
lines in ``logs.py``. Next: ``start.py``, then ``service.py``, which puts the guard in its place.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
import uuid
from collections.abc import Iterable

from fastapi.responses import JSONResponse
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.endpoints import Endpoint, endpoint_of, header
from serving.keys import KeyRing
from serving.limits import Buckets, Rate, Size
from serving.logs import Visit, access, current
from serving.routes.problems import internal, problem
from serving.settings import ServingSettings

log = logging.getLogger(__name__)

Pair = tuple[bytes, bytes]
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
PAGE_POLICY = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
PAGE_HEADERS = [
    (b"content-security-policy", PAGE_POLICY),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]


class Guard:
    """All steps around `app`; of two guards around each other only the outer one works."""

    def __init__(self, app: ASGIApp, settings: ServingSettings, ring: KeyRing) -> None:
        self._app = app
        guarded: ASGIApp = Rate(app, Buckets(settings.rate_per_s, settings.rate_burst))
        guarded = Keys(guarded, settings.require_keys, ring)
        guarded = Size(guarded, settings.max_body_bytes)
        if settings.origins:
            guarded = CORSMiddleware(
                guarded,
                allow_origins=settings.origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "X-API-Key", "X-Request-Id", "Content-Type"],
                expose_headers=["X-Request-Id", "Retry-After"],
            )
        self._guarded = Log(guarded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http" or current.get() is not None:
            await self._app(scope, receive, send)
        else:
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            endpoint = scope["nudge.endpoint"] = endpoint_of(path)
            given = header(scope, b"x-request-id").decode("latin-1")
            named = given if SANE_ID.fullmatch(given) else uuid.uuid4().hex
            token = current.set(Visit(named, endpoint.route))
            try:
                await self._guarded(scope, receive, send)
            finally:
                current.reset(token)


class Log:
    """Gives each answer its request id and safe headers, each request its line, each fault a 500.

    A fault ends here: handed on, a web server would print it with the values it quotes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        visit = current.get()
        assert visit is not None, "the guard began it"
        start, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _answered(message.get("headers", ()), visit.request_id)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            log.error("%s %s failed", scope["method"], visit.route, exc_info=error)
            if not status:
                await internal()(scope, receive, answer)
        finally:
            line = {
                "method": scope["method"],
                "route": visit.route,
                "status": status or 499,
                "duration_ms": round(1000 * (time.perf_counter() - start), 2),
                "key": visit.key_id,
                "error": visit.error,
            }
            level = logging.ERROR if status >= 500 else logging.INFO
            access.log(level, "request", extra={"access": line})


class Keys:
    """Asks for a live key whose scope the endpoint allows, where keys are needed."""

    def __init__(self, app: ASGIApp, is_required: bool | None, ring: KeyRing) -> None:
        self._app, self._is_required, self._ring = app, is_required, ring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        self._ring.look()
        endpoint: Endpoint = scope["nudge.endpoint"]
        if endpoint.scope is None or not self._is_needed(endpoint, _is_local_end(scope)):
            return None
        sent = _sent_key(scope)
        key = self._ring.find(sent) if sent else None
        if key is None:
            return problem(
                401,
                "unauthorized",
                "this needs a live API key: send the header `Authorization: Bearer KEY`; "
                "`python -m serving key create` makes one",
                headers={"WWW-Authenticate": 'Bearer realm="nudge"'},
            )
        visit = current.get()
        assert visit is not None, "the guard began it"
        visit.key_id = key.key_id
        if key.allows(endpoint.scope):
            return None
        return problem(
            403,
            "forbidden",
            f"this needs a key of scope {endpoint.scope}; this key has the scope {key.scope}",
        )

    def _is_needed(self, endpoint: Endpoint, is_local: bool) -> bool:
        """The API page is open to this machine, unless the operator says that keys are required."""
        if self._is_required is not None:
            return self._is_required
        return not is_local or (self._ring.is_set_up and not endpoint.is_page)


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address; a socket's path and a test's name are local."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return True
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _is_local_end(scope: Scope) -> bool:
    """Whether the request came in at an address that only this machine reaches."""
    server = scope.get("server")
    return server is None or is_local(server[0])


def _sent_key(scope: Scope) -> str:
    kind, _, key = header(scope, b"authorization").decode("latin-1").partition(" ")
    if kind.lower() == "bearer":
        return key.strip()
    return header(scope, b"x-api-key").decode("latin-1").strip()


def _answered(headers: Iterable[Pair], request_id: str) -> list[Pair]:
    """The headers of an answer, with its request id and what keeps browsers careful."""
    given = list(headers)
    kind = next((value for name, value in given if name.lower() == b"content-type"), b"")
    given += [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
    if kind.startswith(b"application/json"):
        given.append((b"cache-control", b"no-store"))
    if kind.startswith(b"text/html"):
        names = {name.lower() for name, _ in given}
        given += [(name, value) for name, value in PAGE_HEADERS if name not in names]
    return given
