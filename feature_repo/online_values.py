"""Feast's protobuf keys and values as plain Python, and back. Next: ``online.py``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Microseconds since 1970; a moment without a zone is UTC, as Feast says."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // MICROSECOND


def key_text(key: EntityKey) -> str:
    """The string itself for a single string join key, else a JSON list in order of key names."""
    pairs = sorted(zip(key.join_keys, key.entity_values, strict=True), key=lambda pair: pair[0])
    values = [getattr(value, value.WhichOneof("val")) for _, value in pairs]
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return json.dumps(values)


def plain(values: dict[str, Value]) -> dict[str, Any]:
    """Protobuf values as numbers, strings, booleans, lists of them, or None.

    Raises
    ------
    ValueError
        When a value is of another type (bytes, maps); the message names it.
    """
    return {name: _plain(name, value) for name, value in values.items()}


def _plain(name: str, value: Value) -> Any:
    kind = value.WhichOneof("val")
    if kind is None or kind == "null_val":
        return None
    held = getattr(value, kind)
    found = list(held.val) if kind.endswith("_list_val") else held
    if "bytes" in kind or not isinstance(found, int | float | str | list):
        raise ValueError(
            f"feature {name!r} is a {kind}; the packed online store keeps numbers, strings, "
            "booleans and lists of them: declare it as one of these"
        )
    return found


def protobuf(plain: Any, kind: str) -> Value:
    """The protobuf value of `plain` in the oneof field `kind`."""
    value = Value()
    if plain is None:
        return value
    if kind.endswith("_list_val"):
        held = getattr(value, kind)
        held.SetInParent()
        held.val.extend(plain)
    else:
        setattr(value, kind, plain)
    return value
