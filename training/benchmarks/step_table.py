"""From a table of what shoppers did to the events of a shop: who, when, which kind, which category.

Next: ``next_actions.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from feature_repo.events import EVENT_SCHEMA
from training.benchmarks.asked import Asked
from training.benchmarks.table import read_times
from training.metrics.steps import KINDS
from training.own_table import check_columns, check_full, open_table

NOTHING = "item"
"""The item of what names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Asked):
    """Which columns mean what, and how it is asked."""

    user: str = "user"
    time: str = "time"
    kind: str = "kind"
    category: str | None = None
    item: str | None = None
    kinds: Mapping[str, str] | None = None
    """Words of the table to kinds, for those that are none."""
    num_epochs: int = 8


@dataclass(frozen=True, slots=True)
class Table:
    """The events, and the categories of their items."""

    events: pl.DataFrame
    items: pl.DataFrame
    """``item_id``, ``category``, ``known_at``; empty without categories."""
    notes: tuple[str, ...]
    """What was left out and why, a sentence each."""


def read(path: Path, question: Question) -> Table:
    """Read and check the table at `path`.

    Raises
    ------
    ValueError
        When a column is missing or empty, a time cannot be read, or a kind is unknown.
    """
    frame, q = open_table(path), question
    wanted = (q.user, q.time, q.kind, *(one for one in (q.category, q.item) if one))
    check_columns(frame, wanted, path.name)
    for column, what in ((q.user, "id"), (q.time, "instant"), (q.kind, "action")):
        check_full(frame, column, what)
    kinds = _kinds(frame[q.kind].cast(pl.String), q)
    # An event without an item is of its category, so that the category still follows from it.
    named = q.item or q.category
    item = frame[named].cast(pl.String) if named else None
    events = pl.DataFrame(
        {
            "event_id": [f"row-{number}" for number in range(len(frame))],
            "kind": kinds,
            "user_id": frame[q.user].cast(pl.String),
            "event_at": read_times(frame[q.time]),
            "item_id": [NOTHING] * len(frame) if item is None else item.fill_null(NOTHING),
            "quantity": [1] * len(frame),
        }
    ).filter(pl.col("kind").is_not_null())
    left_out = len(frame) - len(events)
    events = events.with_columns(
        received_at=pl.col("event_at"),
        **{name: pl.lit(None) for name in set(EVENT_SCHEMA) - {*events.columns, "received_at"}},
    ).select(pl.col(name).cast(kind) for name, kind in EVENT_SCHEMA.items())
    notes = [f"{left_out:,} rows of other kinds were left out."] if left_out else []
    return Table(events, _items(frame, q), tuple(notes))


def read_kinds(texts: Sequence[str]) -> dict[str, str]:
    """Words to kinds, from ``WORD=KIND``; an empty kind leaves such rows out.

    Raises
    ------
    ValueError
        When one is written otherwise or names no kind.
    """
    found = {}
    for text in texts:
        word, equals, kind = text.rpartition("=")
        if not equals or (kind and kind not in KINDS):
            raise ValueError(
                f"--as {text!r} says nothing; write WORD=KIND with one of {', '.join(KINDS)}, or "
                "WORD= to leave such rows out"
            )
        found[word] = kind
    return found


def _kinds(words: pl.Series, q: Question) -> pl.Series:
    """The kind of each row, null where the row is left out."""
    known = {kind: kind for kind in KINDS} | dict(q.kinds or {})
    if unknown := sorted(set(words.unique()) - set(known)):
        some = ", ".join(map(repr, unknown[:5]))
        raise ValueError(
            f"column {q.kind!r} holds {some}, and a kind is one of {', '.join(KINDS)}; say what "
            "each word means with --as WORD=KIND, or WORD= to leave such rows out"
        )
    told = words.replace_strict(list(known), list(known.values()))
    return told.set(told == "", None)


def _items(frame: pl.DataFrame, q: Question) -> pl.DataFrame:
    """The category of each item, the last one told."""
    schema = {"item_id": pl.String, "category": pl.String, "known_at": pl.Int64}
    if q.category is None:
        return pl.DataFrame(schema=schema)
    told = pl.DataFrame(
        {
            "item_id": frame[q.item or q.category].cast(pl.String),
            "category": frame[q.category].cast(pl.String),
            "known_at": read_times(frame[q.time]),
        }
    )
    return told.drop_nulls().sort("known_at").unique("item_id", keep="last", maintain_order=True)
