"""Values inside objects inside objects, by dotted paths such as ``user.id`` or ``items.0.sku``.

Next: ``readers.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
import pyarrow as pa


class Unnest:
    """JSON lines as rows of text, one value for each of `paths`.

    Parameters
    ----------
    each
        Path to a list: an object makes a row for each member of it. A path then begins in the
        object, or goes on in the member after the list's own: ``items.sku``.
    """

    def __init__(self, paths: tuple[str, ...], each: str | None = None) -> None:
        self._paths = paths
        self._each = each

    def rows(self, line: str) -> Iterator[tuple[str | None, ...]]:
        """Rows of one line; numbers keep the digits they were written with.

        Raises
        ------
        TypeError
            When the line is no object.
        """
        for found in self._objects(line):
            yield tuple(_text(_at(found, path)) for path in self._paths)

    def paths(self, lines: Iterable[str]) -> list[str]:
        """Every path to a plain value in `lines`, in the order of meeting them."""
        found: dict[str, None] = {}
        for line in lines:
            try:
                for each in self._objects(line):
                    found |= dict.fromkeys(_leaves(each))
            except (json.JSONDecodeError, RecursionError, TypeError):
                continue
        return list(found)

    def list_paths(self, lines: Iterable[str]) -> list[str]:
        """Every path to a list of objects in `lines`."""
        found: dict[str, None] = {}
        for line in lines:
            try:
                for each in self._objects(line):
                    found |= dict.fromkeys(_lists(each))
            except (json.JSONDecodeError, RecursionError, TypeError):
                continue
        return list(found)

    def _objects(self, line: str) -> Iterator[dict[str, Any]]:
        whole = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
        if not isinstance(whole, dict):
            raise TypeError(f"{type(whole).__name__} is no object; write one on each line")
        if self._each is None:
            yield whole
            return
        members = _at(whole, self._each)
        for member in members if isinstance(members, list) else []:
            yield _replaced(whole, self._each, member)


def deep_column(path: str, schema: pl.Schema) -> pl.Expr:
    """A column by its name, or by the way to it through structs."""
    if path in schema:
        return pl.col(path)
    first, *rest = path.split(".")
    column = pl.col(first)
    for name in rest:
        column = column.struct.field(name)
    return column


def leaves(schema: pa.Schema) -> list[str]:
    """Names of a Parquet file's plain columns, those inside structs by their path."""

    def below(field: pa.Field, path: str) -> Iterator[str]:
        if not pa.types.is_struct(field.type):
            yield path
            return
        for inner in field.type:
            yield from below(inner, f"{path}.{inner.name}")

    return [path for field in schema for path in below(field, field.name)]


def _at(found: Any, path: str) -> Any:
    """The value at `path`, None where the way ends; a name may hold dots itself."""
    if isinstance(found, dict) and path in found:
        return found[path]
    for name in path.split("."):
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _replaced(whole: dict[str, Any], path: str, member: Any) -> dict[str, Any]:
    """`whole` with `member` in place of the list at `path`."""
    first, _, rest = path.partition(".")
    if path in whole or not rest:
        return whole | {path: member}
    return whole | {first: _replaced(whole[first], rest, member)}


def _leaves(found: Any, path: str = "") -> Iterator[str]:
    if isinstance(found, dict):
        for name, value in found.items():
            yield from _leaves(value, f"{path}.{name}" if path else name)
    elif path and not isinstance(found, list):
        yield path


def _lists(found: Any, path: str = "") -> Iterator[str]:
    if isinstance(found, dict):
        for name, value in found.items():
            yield from _lists(value, f"{path}.{name}" if path else name)
    elif path and isinstance(found, list) and any(isinstance(one, dict) for one in found):
        yield path


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # JSON can name half a character, which no other format can hold.
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
