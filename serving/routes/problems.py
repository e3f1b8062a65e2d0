"""Failures as answers: a status, a word, a sentence that says what to change, never a trace."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from serving.logs import current
from serving.routes.parts import NotFound, StoreFailed
from serving.schemas import Problem

MEANINGS = {
    401: "the request needs an API key, and has none that is live",
    403: "the scope of the API key is too small",
    404: "what the request names does not exist",
    413: "the body is too large",
    415: "the body is not declared as JSON",
    422: "the request is not valid",
    429: "too many requests; try again after the seconds in Retry-After",
    500: "a fault of the service; its log has the trace under the request id",
    503: "a store could not be used; try again",
}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": meaning} for status, meaning in MEANINGS.items()
}
WORDS = {413: "too_large", 422: "invalid"}
MAX_FIELDS, MAX_NAME = 50, 200
"""Faults that an answer lists, and characters of a field's path: a body may be all faults."""


def install(app: FastAPI) -> None:
    """Give every kind of failure its answer."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(NotFound, _not_found)
    app.add_exception_handler(StoreFailed, _unavailable)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _internal)


def problem(
    status: int,
    error: str,
    message: str,
    fields: dict[str, str] | None = None,
    headers: Any = None,
) -> JSONResponse:
    """The answer of a failed request; notes the word for the request's log line."""
    visit = current.get()
    if visit is not None:
        visit.error = error
    answer = Problem(
        error=error,
        message=message,
        fields=fields or {},
        request_id=visit.request_id if visit is not None else "",
    )
    return JSONResponse(answer.model_dump(), status, headers)


def internal() -> JSONResponse:
    """The answer when the fault is ours."""
    message = "the service failed on this request; its log has the trace under the request id"
    return problem(500, "internal", message)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    fields = {
        _name(fault["loc"]): _cut(fault["msg"].removeprefix("Value error, "))
        for fault in faults[:MAX_FIELDS]
    }
    first = next(iter(fields.items()))
    more = len(faults) - MAX_FIELDS
    also = f"; and {more} more faults, not listed" if more > 0 else ""
    return problem(422, "invalid", f"{first[0] or 'the body'}: {first[1]}{also}", fields)


def _name(places: tuple[int | str, ...]) -> str:
    """Path of a field, such as ``1.quantity``."""
    return _cut(".".join(str(part) for part in places if part not in ("body", "list", "one")))


def _words(message: str) -> str:
    return _cut(message.removeprefix("Value error, "))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}..."


async def _not_found(request: Request, error: Exception) -> JSONResponse:
    return problem(404, "not_found", str(error))


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    return problem(503, "unavailable", str(error), headers={"Retry-After": "1"})


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    word = WORDS.get(error.status_code, "refused")
    return problem(error.status_code, word, str(error.detail), headers=error.headers)


async def _internal(request: Request, error: Exception) -> JSONResponse:
    return internal()  # the guard, which the error goes on to, logs it
