"""A user's own table of sequences, read: who had what in which order, and what is told of items.

One row a shopper with a list of items, or one row a behaviour; what is known of items lies in a
second file. Next: ``next_item.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from training.datasets.histories import offsets_of
from training.datasets.normalise import Floats
from training.datasets.sequences import LEAST, Sequences, Things
from training.datasets.texts import Encode, encoder_of, text_vectors
from training.own_table import check_columns, check_full, open_table

LEAST_USED = 2
"""Items that must share a word of an attribute for it to say anything."""
LEAST_SHOPPERS = 10
TEXT_LENGTH = 0.25
"""Of a text's vector, in the mean: short, so that what buyers tell can move an item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column is what."""

    user: str = "user_id"
    item: str = "item_ids"
    """Of lists, a row for each shopper, or of single items, a row for each behaviour."""
    order: str | None = None
    """Column that single items of a shopper are ordered by; None: rows stand in order."""
    item_id: str = "item_id"
    """Of the file of items."""
    text: str | None = None
    attributes: tuple[str, ...] = ()


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
        return any(self.things.texts) or any(self.things.attributes)


def read(
    path: Path,
    items: Path | None,
    columns: Columns,
    *,
    width: int,
    cache: Path,
    encoder: tuple[str, Encode] | None = None,
) -> Table:
    """The table with its columns checked.

    Parameters
    ----------
    width
        Of the vectors that texts become at most.
    cache
        Folder that keeps texts' vectors.
    encoder
        Name and function of the text encoder; None: the packaged one.

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
    told = _told(ids, items, columns)
    texts = tuple(told["text"].to_list())
    vectors = np.zeros((len(ids), width), dtype=np.float32)
    if any(texts):
        name, encode = encoder or encoder_of("all-MiniLM-L6-v2", 0)
        vectors = whitened(texts, text_vectors(texts, name, cache, encode), width)
    sequences = Sequences(
        item=ids.search_sorted(flat).to_numpy().astype(np.int64),
        offsets=offsets_of(long["items"].list.len().to_numpy().astype(np.int64)),
        user=np.array(long["user"].to_list()),
    )
    words = told["words"].to_list()
    things = Things(ids=tuple(ids), texts=texts, text_vectors=vectors, attributes=numbered(words))
    return Table(path.name, sequences, things, tuple(notes))


def whitened(texts: Sequence[str], vectors: Floats, width: int) -> Floats:
    """The main directions of `vectors` (I, D), nearer to equal spread, and short.

    Directions with eigenvalue e of the covariance are scaled by e^-1/4, half of what whitening
    does (Su et al. 2021, arXiv:2103.15316, whiten wholly): what all titles share says little. Items
    without text get zero.
    """
    some = np.array([bool(text) for text in texts])
    centred = vectors.astype(np.float64) - vectors[some].mean(axis=0)
    spread, directions = np.linalg.eigh(centred[some].T @ centred[some] / some.sum())
    kept = np.argsort(-spread)[: min(width, int(some.sum()) - 1, len(spread))]
    found = np.zeros((len(vectors), width))
    scale = np.maximum(spread[kept], 1e-9) ** -0.25
    found[:, : len(kept)] = centred @ directions[:, kept] * scale * some[:, None]
    size = np.sqrt((found[some] ** 2).sum(axis=1).mean())
    return (found * (TEXT_LENGTH / max(size, 1e-9))).astype(np.float32)


def numbered(words: Sequence[Sequence[str]]) -> tuple[tuple[int, ...], ...]:
    """Numbers 1 .. of each item's words; those that few items share are dropped."""
    count = Counter(word for one in words for word in set(one))
    known = sorted(word for word, num in count.items() if num >= LEAST_USED)
    number = {word: place for place, word in enumerate(known, 1)}
    return tuple(tuple(sorted({number[w] for w in one if w in number})) for one in words)


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


def _told(ids: pl.Series, path: Path | None, columns: Columns) -> pl.DataFrame:
    """``text`` and ``words`` of each item of `ids`, empty where nothing is told."""
    nothing = pl.lit([], dtype=pl.List(pl.String))
    empty = pl.DataFrame({"item": ids}).with_columns(text=pl.lit(""), words=nothing)
    named = [*([columns.text] if columns.text else []), *columns.attributes]
    if path is None or not named:
        return empty
    frame = open_table(path)
    check_columns(frame, [columns.item_id, *named], path.name)
    told = frame.select(
        pl.col(columns.item_id).cast(pl.String).alias("item"),
        (pl.col(columns.text).cast(pl.String) if columns.text else pl.lit("")).alias("text"),
        *(_words(frame, one) for one in columns.attributes),
    ).unique("item", keep="first", maintain_order=True)
    found = pl.DataFrame({"item": ids}).join(told, on="item", how="left", maintain_order="left")
    if found[:, 1:].select(pl.all_horizontal(pl.all().is_null()).all()).item():
        raise ValueError(
            f"{path.name} knows none of the {len(ids):,} items; column {columns.item_id!r} must "
            "hold the ids of the sequences: name another by --item-id"
        )
    lists = [pl.col(one).fill_null([]) for one in columns.attributes]
    words = pl.concat_list(lists) if lists else nothing
    return found.with_columns(pl.col("text").fill_null(""), words.alias("words"))


def _words(frame: pl.DataFrame, column: str) -> pl.Expr:
    """Cells of a column as lists of words, each with the column's name before it."""
    cell = pl.col(column)
    if isinstance(frame.schema[column], pl.List):
        return cell.cast(pl.List(pl.String)).list.eval(f"{column}=" + pl.element()).alias(column)
    word = f"{column}=" + cell.cast(pl.String)
    return pl.when(cell.is_null()).then(None).otherwise(pl.concat_list(word)).alias(column)
