"""Bodies as JSON in its strict sense, so that whatever gets in can be stored and sent again.

Python's parser lets pass what other parsers refuse or read otherwise: NaN, a name twice in one
object, half of a surrogate pair. Next: ``parts.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException


class StrictRoute(APIRoute):
    """A route whose body is read by :func:`parse`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, on a request that reads strictly."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


class _StrictRequest(Request):
    async def json(self) -> Any:
        return parse(await self.body())


def parse(body: bytes) -> Any:
    """The value of a JSON text; ``HTTPException`` 422 says what is wrong with it."""
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant
        )
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except json.JSONDecodeError as error:
        _refuse(f"is no JSON at character {error.pos}: {error.msg}", error)
    except UnicodeDecodeError as error:
        _refuse(f"is not UTF-8 at byte {error.start}; encode it as UTF-8", error)
    except UnicodeEncodeError as error:
        _refuse("holds half of a surrogate pair (\\ud800 to \\udfff); send whole characters", error)
    except RecursionError as error:
        _refuse("is nested too deeply; no request needs more than three levels", error)
    except _Fault as error:
        _refuse(str(error), error)
    except ValueError as error:
        _refuse("holds a whole number of thousands of digits; send a smaller one", error)


class _Fault(ValueError):
    """What the parser's hooks refuse."""


def _refuse(words: str, cause: Exception) -> NoReturn:
    raise HTTPException(422, f"the body {words}") from cause


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Fault("names a field twice in one object; send each once")
    return found


def _constant(word: str) -> NoReturn:
    raise _Fault(f"holds {word}, which is no JSON; send null for an unknown number")
