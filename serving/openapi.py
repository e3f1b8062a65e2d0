"""The machine-readable description, completed by what the guard does. Next: ``service.py``."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from serving.endpoints import ENDPOINTS

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`"},
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "the same key in a header of its own",
    },
}
WITH_BODY = ("413", "415")


def complete(app: FastAPI) -> None:
    """Let `app` describe its keys, and for each endpoint only the failures it can have."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            schema["components"]["securitySchemes"] = SCHEMES
            for path, methods in schema["paths"].items():
                for operation in methods.values():
                    _complete(operation, path)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(operation: dict[str, Any], path: str) -> None:
    scope, answers = ENDPOINTS[path].scope, operation["responses"]
    if scope is None:
        impossible: tuple[str, ...] = ("401", "403", "429")
    else:
        impossible = ()
        operation["security"] = [{name: []} for name in SCHEMES]
        operation["description"] += f"\n\nWhere keys are needed: scope `{scope}`."
    if "requestBody" not in operation:
        impossible += WITH_BODY
    for status in impossible:
        answers.pop(status, None)
    if retry := answers.get("429"):
        retry["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
