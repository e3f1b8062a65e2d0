"""The graph of items as an input: what an item is joined to speaks for it.

Edges (head, relation, tail) join items to things, such as a brand or a category, and to each other.
Only relations that are named count: "also bought" is made of purchases, those of the test among
them, and no file says so of itself. Next: ``contents.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse

from training.benchmarks.table import read_times
from training.datasets.normalise import Floats
from training.own_table import check_columns, check_full, open_table

KNOWN_AT = "known_at"
"""Column of when an edge became known, where the file has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """A file of edges, and which of them are allowed."""

    path: Path
    relations: tuple[str, ...] = ()
    """The only ones that are read."""
    columns: tuple[str, ...] = ("head", "relation", "tail")
    item: str | None = None
    """Column of the file of items by whose words edges name items; None: by the items' ids."""
    known_before: str | None = None
    """Moment (ISO 8601) from which on what became known is left out."""

    def __post_init__(self) -> None:
        if len(self.columns) != 3:
            raise ValueError(
                f"--edge-columns is {','.join(self.columns)!r}; name three by commas, those of "
                "head, relation and tail"
            )
        if self.known_before is not None:
            _moment(self.known_before)


def adjacency(names: pl.Series, edges: Edges) -> sparse.csr_matrix:
    """Which nodes are joined (N, N), both ways: the I items first, then the things they are of.

    Parameters
    ----------
    names
        By which edges call each item; null where they call it nothing.

    Raises
    ------
    ValueError
        When the file or a column cannot be what it is said to be, no relation is named or one that
        there is not, or no edge that is left has an item at an end.
    """
    frame = _allowed(edges)
    number = pl.DataFrame({"name": names}).with_row_index("item").drop_nulls()
    joined = frame.join(number.rename({"name": "head", "item": "first"}), on="head", how="left")
    joined = joined.join(number.rename({"name": "tail", "item": "second"}), on="tail", how="left")
    joined = joined.filter(pl.col("first").is_not_null() | pl.col("second").is_not_null())
    if joined.is_empty():
        raise ValueError(
            f"none of the {len(frame):,} edges of {', '.join(edges.relations)} has an item at an "
            f"end, as {frame['head'][0]!r} to {frame['tail'][0]!r}; name the column of the items' "
            "file that edges call items by: --edge-item"
        )
    # A brand and a category of the same name are two things.
    named = pl.when(pl.col("first").is_null()).then("head").otherwise("tail")
    thing = pl.struct("relation", named).rank("dense").cast(pl.Int64) + (len(names) - 1)
    ends = joined.select(pl.coalesce("first", thing), pl.coalesce("second", thing).alias("to"))
    start, end = ends.to_numpy().T
    num = max(len(names), int(ends.to_numpy().max()) + 1)
    both = (np.concatenate([start, end]), np.concatenate([end, start]))
    found = sparse.csr_matrix((np.ones(2 * len(ends)), both), shape=(num, num))
    found.data[:] = 1.0  # an edge that is told twice is one edge
    return found


def neighbours(joined: sparse.csr_matrix, vectors: Floats) -> Floats:
    """What is told of what each item is joined to: (S + S²) x of the items' own `vectors` x (I, D).

    S = D^-1/2 A D^-1/2, A being `joined`: two steps of a graph convolution without weights (Wu et
    al. 2019, arXiv:1902.07153) added up (He et al. 2020, arXiv:2002.02126). Things tell nothing of
    themselves: by the second step a brand says what is told of its items.
    """
    degree = np.asarray(joined.sum(axis=1)).ravel()
    scale = sparse.diags(np.where(degree > 0, np.maximum(degree, 1.0) ** -0.5, 0.0))
    step = scale @ joined @ scale
    padding = np.zeros((joined.shape[0] - len(vectors), vectors.shape[1]))
    first = step @ np.concatenate([vectors, padding])
    return (first + step @ first)[: len(vectors)].astype(np.float32)


def _allowed(edges: Edges) -> pl.DataFrame:
    """``head``, ``relation`` and ``tail`` of the edges that are named and known in time."""
    frame = open_table(edges.path)
    check_columns(frame, edges.columns, edges.path.name)
    for column in edges.columns:
        check_full(frame, column, "end and a relation")
    relation = frame[edges.columns[1]].cast(pl.String)
    held = ", ".join(relation.unique().sort())
    if not edges.relations:
        raise ValueError(
            f"{edges.path.name} holds the relations {held}, and none is named; name by --relation "
            "those known before the purchases and not made of them, as 'also bought' is"
        )
    if unknown := [one for one in edges.relations if not (relation == one).any()]:
        raise ValueError(
            f"{edges.path.name} has no relation {unknown[0]!r}; choose from those it holds: {held}"
        )
    is_used = relation.is_in(edges.relations)
    if KNOWN_AT in frame.columns:
        if edges.known_before is None:
            raise ValueError(
                f"{edges.path.name} tells by {KNOWN_AT!r} when an edge became known, and sequences "
                "know no time; say by --known-before from which moment on edges are left out"
            )
        known = read_times(frame[KNOWN_AT]) < _moment(edges.known_before)
        is_used &= known.fill_null(False)
    parts = zip(edges.columns, ("head", "relation", "tail"), strict=True)
    return frame.filter(is_used).select(pl.col(a).cast(pl.String).alias(b) for a, b in parts)


def _moment(text: str) -> int:
    """Microseconds since 1970 of the moment that `text` tells."""
    return int(read_times(pl.Series("--known-before", [text])).to_numpy()[0])
