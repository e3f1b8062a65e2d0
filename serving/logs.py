"""Logs as JSON lines that name no person: one line for each request, and what went wrong in it.

While a request is answered, an exception is logged by its type and its frames, never by its
message: messages of databases and parsers quote the row they failed on. Next: ``guard.py``.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import structlog


@dataclass(slots=True)
class Visit:
    """One request on its way through the service."""

    request_id: str
    route: str
    """Template of its path, without ids."""
    key_id: str = ""
    """Public id of its API key."""
    error: str = ""
    """The word of its failure."""


current: ContextVar[Visit | None] = ContextVar("current", default=None)
"""The request that is being answered; None outside one."""
access: logging.Logger = logging.getLogger("serving.access")
"""One line for each request; ``extra={"access": {...}}`` holds its fields."""
ROOT = Path(__file__).parents[1]
OURS = ("serving", "training", "feature_repo")
NUM_FRAMES = 12

Line = MutableMapping[str, Any]


def configure(stream: TextIO | None = None) -> None:
    """Write our loggers' lines, and web server errors, as JSON to `stream` (standard output)."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(formatter())
    for name in (*OURS, "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING if name == "uvicorn.error" else logging.INFO)
    # BentoML's own access lines hold paths with ids, and addresses.
    logging.getLogger("bentoml.access").disabled = True


def formatter() -> logging.Formatter:
    """One JSON object for each record."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            _own_fields,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _failure,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )


def _own_fields(_: Any, __: str, line: Line) -> Line:
    """The request id, and for an access line its fields in place of a sentence."""
    if visit := current.get():
        line["request_id"] = visit.request_id
    record: logging.LogRecord = line["_record"]
    line.update(getattr(record, "access", {}))
    return line


def _failure(_: Any, __: str, line: Line) -> Line:
    """An exception as types and frames; its message too where no request is being answered."""
    found = line.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        line["exception"] = " <- ".join(type(one).__name__ for one in chain(error))
        line["frames"] = frames(error.__traceback__)
        if "request_id" not in line:
            line["message"] = str(error)
    return line


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what caused it, the outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def frames(trace: TracebackType | None) -> list[str]:
    """``file:line function`` of the last frames; no source line and no value."""
    found = traceback.extract_tb(trace)[-NUM_FRAMES:]
    return [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in found]


def _short(filename: str) -> str:
    path = Path(filename)
    if path.is_relative_to(ROOT) and ".venv" not in path.parts:
        return str(path.relative_to(ROOT))
    return "/".join(path.parts[-2:])
