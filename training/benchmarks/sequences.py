"""A user's own table of sequences, read: who had what in which order.

One row a shopper with a list of items, or one row a behaviour; what is known of items lies in
other files (``contents.py``). Next: ``next_item.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from training.benchmarks.contents import Sources, told
from training.datasets.frozen import Encode
from training.datasets.histories import offsets_of
from training.datasets.sequences import LEAST, Sequences, Things
from training.own_table import check_columns, check_full, open_table

LEAST_SHOPPERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column is what."""

    user: str = "user_id"
    item: str = "item_ids"
    """Of lists, a row for each shopper, or of single items, a row for each behaviour."""
    order: str | None = None
    """Column that single items of a shopper are ordered by; None: rows stand in order."""


@dataclass(frozen=True, slots=True)
class Table:
    """Sequences long enough, and their items."""

    name: str
    sequences: Sequences
    things: Things
    notes: tuple[str, ...]

    @property
    def has_content(self) -> bool:
        """Whether anything is told of any item."""
        return bool(self.things.vectors.any()) or any(self.things.attributes)


def read(
    path: Path,
    columns: Columns,
    sources: Sources,
    *,
    width: int,
    cache: Path,
    encoder: tuple[str, Encode[str]] | None = None,
) -> Table:
    """The table with its columns checked, and what `sources` tell of its items.

    For the other parameters see ``contents.told``.

    Raises
    ------
    ValueError
        When a file or column cannot be what it is said to be, or too few sequences are long enough.
    """
    frame = _lists(open_table(path), columns, path.name)
    long = frame.filter(pl.col("items").list.len() >= LEAST)
    if len(long) < LEAST_SHOPPERS:
        raise ValueError(
            f"{path.name} holds {len(long)} shoppers with {LEAST} items or more and "
            f"{LEAST_SHOPPERS} is the least; bring more, or name other columns by --user and --item"
        )
    notes = []
    if short := len(frame) - len(long):
        notes.append(f"{short:,} of {len(frame):,} shoppers had under {LEAST} items: left out.")
    flat = long["items"].explode(empty_as_null=False)
    ids = flat.unique().sort()
    sequences = Sequences(
        item=ids.search_sorted(flat).to_numpy().astype(np.int64),
        offsets=offsets_of(long["items"].list.len().to_numpy().astype(np.int64)),
        user=np.array(long["user"].to_list()),
    )
    things = told(ids, sources, width=width, cache=cache, encoder=encoder)
    return Table(path.name, sequences, things, tuple(notes))


def _lists(frame: pl.DataFrame, columns: Columns, name: str) -> pl.DataFrame:
    """``user`` and ``items`` (a list of ids), a row for each shopper, in the file's order."""
    order = [columns.order] if columns.order else []
    check_columns(frame, [columns.user, columns.item, *order], name)
    for column in (columns.user, columns.item, *order):
        check_full(frame, column, "entry")
    user = pl.col(columns.user).cast(pl.String).alias("user")
    if isinstance(frame.schema[columns.item], pl.List):
        told = frame.select(user, pl.col(columns.item).cast(pl.List(pl.String)).alias("items"))
        if twice := len(told) - told["user"].n_unique():
            raise ValueError(
                f"column {columns.user!r} names {twice:,} shoppers more than once beside lists in "
                f"{columns.item!r}; give each shopper one row, or one row for each behaviour"
            )
        return told
    rows = frame.sort(order, maintain_order=True) if order else frame
    item = pl.col(columns.item).cast(pl.String).alias("items")
    return rows.select(user, item).group_by("user", maintain_order=True).agg("items")
