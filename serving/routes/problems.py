"""Failures as answers: a status, a word, a sentence that says what to change, never a trace."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from serving.routes.parts import NotFound, StoreFailed
from serving.schemas import Problem

log = logging.getLogger(__name__)

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "what the request names does not exist"},
    422: {"model": Problem, "description": "the request is not valid"},
    503: {"model": Problem, "description": "a store could not be used; try again"},
}


def install(app: FastAPI) -> None:
    """Give every kind of failure its answer."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(NotFound, _not_found)
    app.add_exception_handler(StoreFailed, _unavailable)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _internal)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = {
        ".".join(str(part) for part in fault["loc"] if part not in ("body", "list", "one")): (
            fault["msg"]
        )
        for fault in error.errors()
    }
    first = next(iter(fields.items()))
    return _problem(422, "invalid", f"{first[0] or 'the body'}: {first[1]}", fields)


async def _not_found(request: Request, error: Exception) -> JSONResponse:
    return _problem(404, "not_found", str(error))


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    return _problem(503, "unavailable", str(error), headers={"Retry-After": "1"})


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, "refused", str(error.detail), headers=error.headers)


async def _internal(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _problem(500, "internal", "the service failed on this request; its log has the trace")


def _problem(
    status: int,
    error: str,
    message: str,
    fields: dict[str, str] | None = None,
    headers: Any = None,
) -> JSONResponse:
    problem = Problem(error=error, message=message, fields=fields or {})
    return JSONResponse(problem.model_dump(), status, headers)
