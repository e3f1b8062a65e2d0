"""Ids, texts and whole numbers as requests may hold them. Next: ``schemas.py``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

MAX_ID = 128
MAX_TEXT = 2000


def _plain(text: str) -> str:
    if "\x00" in text:
        raise ValueError("holds a NUL character; send plain text")
    return text


def _named(text: str) -> str:
    if not text.strip():
        raise ValueError("holds nothing but blanks; send an id")
    return _plain(text)


def _whole(number: Any) -> Any:
    """JSON knows one kind of number: 3.0 is 3."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


Whole = Annotated[int, BeforeValidator(_whole)]
Quantity = Annotated[int, Field(ge=-(2**31), le=2**31), BeforeValidator(_whole)]
# The patterns describe what the functions check, in whose words a failure is told.
Id = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID),
    AfterValidator(_named),
    Field(json_schema_extra={"pattern": r"^[^\x00]*[^\s\x00][^\x00]*$"}),
]
Text = Annotated[
    str,
    StringConstraints(max_length=MAX_TEXT),
    AfterValidator(_plain),
    Field(json_schema_extra={"pattern": r"^[^\x00]*$"}),
]
