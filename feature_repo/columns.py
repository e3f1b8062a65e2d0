"""Online rows become feature columns, plain values or a frame: what is stored, and what it derives.

Next: ``retrieval.py``, which reads the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from feature_repo import derive

DERIVED: dict[str, Callable[[derive.Columns], dict[str, derive.Floats]]] = {
    "user_features": derive.user,
    "item_features": derive.item,
}


Rows = Mapping[str, Sequence[tuple[int, int, dict[str, Any]] | None]]
"""View to event time, created time and values of each key, as the online store reads them."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the registry says of a feature service."""

    key: str
    views: dict[str, list[str]]
    """Stored view to its fields: those the service names and those its derived views need."""
    derived: tuple[str, ...]
    references: tuple[str, ...]
    """``view:feature`` of every feature."""
    schema: dict[str, str]
    """Feature name to type, in order."""


def plain_row(found: Resolved, rows: Rows, asked_at: int) -> dict[str, Any]:
    """The features of one key as plain values by name."""
    columns = columns_of(1, found, rows, asked_at)
    return {name: _cell(columns[name][0], kind) for name, kind in found.schema.items()}


def _cell(value: Any, kind: str) -> Any:
    """One value; an unknown list is empty, an unknown number None."""
    if value is None or value != value:
        return [] if kind.startswith("Array") else None
    return value.item() if isinstance(value, np.generic) else value


def columns_of(num_keys: int, found: Resolved, rows: Rows, asked_at: int) -> dict[str, Any]:
    """The service's columns from the online `rows` of each view."""
    columns: dict[str, Any] = {
        field: [None if row is None else row[2].get(field) for row in rows[view]]
        for view, fields in found.views.items()
        for field in fields
    }
    inputs = _numeric(columns) | {"asked_at": derive.scalars([asked_at] * num_keys)}
    for name in found.derived:
        columns |= DERIVED[name](inputs)
    return columns


def frame_of(keys: Sequence[str], found: Resolved, columns: Mapping[str, Any]) -> pl.DataFrame:
    """`columns` as a frame, in the order and the types of the service, the key first."""
    return pl.DataFrame({found.key: list(keys)}, schema={found.key: pl.String}).with_columns(
        _series(name, columns[name], polars_type(kind)) for name, kind in found.schema.items()
    )


def _numeric(columns: dict[str, Any]) -> dict[str, Any]:
    """The inputs of ``derive`` among Python columns."""
    scalars = {
        name: derive.scalars(columns[name]) for name in columns.keys() & derive.SCALAR_INPUTS
    }
    lists = {name: derive.Lists.pad(columns[name]) for name in columns.keys() & derive.LIST_INPUTS}
    return scalars | lists


def _series(name: str, values: Any, kind: pl.DataType) -> pl.Series:
    """One column; an unknown list is empty, an unknown number null."""
    if isinstance(kind, pl.List):
        return pl.Series(name, [[] if value is None else value for value in values], dtype=kind)
    return pl.Series(name, values, dtype=kind, nan_to_null=True)


def polars_type(kind: str) -> pl.DataType:
    """The column type of a Feast type's name."""
    scalars = {"Int64": pl.Int64(), "Float64": pl.Float64(), "String": pl.String()}
    if kind in scalars:
        return scalars[kind]
    inner = kind.removeprefix("Array(").removesuffix(")")
    return pl.List(scalars[inner])
