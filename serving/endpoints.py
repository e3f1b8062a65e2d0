"""Which paths there are, what each asks of a key, and its name in the log. Next: ``guard.py``."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path of the service."""

    route: str
    """Template of the path, without ids."""
    scope: str | None
    """What a key must allow; None where nobody is asked."""
    takes_json: bool = False
    is_page: bool = False
    """Part of the API page."""


_READ = ("/users/{user_id}", "/decisions/{decision_id}")
_LOOK = ("/shoppers", "/outlook", "/campaigns", "/experiments", "/experiments/page")
_ASK = {"/recommend": "read", "/predict": "read", "/events": "write", "/decide": "write"}
_PAGES = ("/", "/docs", "/openapi.json", "/docs/assets/{name}")
_PROBES = ("/ready", "/livez", "/readyz", "/healthz")
_CONSOLE = ("/console", "/console/{name}")

ENDPOINTS: dict[str, Endpoint] = {
    endpoint.route: endpoint
    for endpoint in (
        *(Endpoint(route=route, scope="read") for route in (*_READ, *_LOOK)),
        *(Endpoint(route=route, scope=scope, takes_json=True) for route, scope in _ASK.items()),
        *(Endpoint(route=route, scope="read", is_page=True) for route in _PAGES),
        *(Endpoint(route=route, scope=None) for route in (*_PROBES, *_CONSOLE)),
        Endpoint(route="/metrics", scope="admin"),
    )
}
OTHER = Endpoint(route="other", scope="admin")
"""What is not named above."""
_BELOW = {route.rpartition("/")[0]: made for route, made in ENDPOINTS.items() if "{" in route}


def endpoint_of(path: str) -> Endpoint:
    """The endpoint of a request's path."""
    found = ENDPOINTS.get(path)
    if found is not None and "{" not in path:
        return found
    return _BELOW.get(path.rpartition("/")[0], OTHER)


def header(scope: Scope, name: bytes) -> bytes:
    """The first header of that name in small letters, empty when there is none."""
    for given, value in scope["headers"]:
        if given == name:
            return value
    return b""
