"""What is told of the items of sequences, in files of a user: as words, and as frozen vectors.

Texts and photos go through encoders that stay as they are; what comes out lies side by side in one
vector an item, and a network's one projection of it is the sum of one projection each. Next:
``sequences.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.benchmarks.edges import Edges, adjacency, neighbours
from training.datasets.frozen import (
    Encode,
    encoder_of,
    image_encoder_of,
    photo_vectors,
    text_vectors,
)
from training.datasets.normalise import Floats
from training.datasets.photos import Photo
from training.datasets.sequences import Things
from training.own_table import check_columns, open_table

LEAST_USED = 2
"""Items that must share a word of an attribute for it to say anything."""
WORD = r"\p{Han}|[\w--\p{Han}]+"
"""What is a word of a text; where none are set apart, each character is one."""
LENGTH = 0.25
"""Of each frozen vector of an item, in the mean: short, so that what buyers tell can move it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where it is told, and by which encoders it is read."""

    items: Path | None = None
    """A file with a row for each item."""
    item_id: str = "item_id"
    """Its column of the ids of the sequences."""
    text: str | None = None
    image: str | None = None
    """Column of photos: bytes of JPEG or PNG, or paths, relative ones from the file's folder."""
    attributes: tuple[str, ...] = ()
    """Columns of words or lists of words: each word is an attribute."""
    words: tuple[str, ...] = ()
    """Columns of texts: each word of one is an attribute."""
    image_encoder: str | None = None
    """A vision model of transformers, by name or folder."""
    edges: Edges | None = None

    def __post_init__(self) -> None:
        if (self.image is None) != (self.image_encoder is None):
            raise ValueError(
                "--image and --image-encoder belong together; name the column of the photos and a "
                "vision model of transformers (a name, or its folder)"
            )
        if self.columns and self.items is None:
            raise ValueError(
                f"column {self.columns[0]!r} tells of items; give their file by --items, or leave "
                "the column out"
            )

    @property
    def columns(self) -> list[str]:
        """The columns that tell something."""
        named = self.edges.item if self.edges else None
        found = [one for one in (self.text, self.image, named) if one]
        return [*found, *self.attributes, *self.words]


def told(
    ids: pl.Series,
    sources: Sources,
    *,
    width: int,
    cache: Path,
    encoder: tuple[str, Encode[str]] | None = None,
) -> Things:
    """What is told of the items `ids`.

    Parameters
    ----------
    width
        Of the vectors of each kind at most.
    cache
        Folder that keeps what encoders said.
    encoder
        Name and function of the text encoder; None: the packaged one.

    Raises
    ------
    ValueError
        When a file or column cannot be what it is said to be.
    """
    frame = _told(ids, sources)
    # Before the encoders, which take their time.
    joined = adjacency(frame["name"], sources.edges) if sources.edges else None
    texts = tuple(frame["text"].to_list())
    parts = []
    if any(texts):
        name, encode = encoder or encoder_of("all-MiniLM-L6-v2", 0)
        vectors = text_vectors(texts, name, cache / "text", encode)
        parts.append(whitened(vectors, np.array([bool(text) for text in texts]), width))
    if sources.image:
        parts.append(_seen(frame, sources, cache / "image", width))
    if joined is not None:
        if not parts:
            raise ValueError(
                "edges pass on what texts or photos tell of items, and none are given; name their "
                "column by --text or --image"
            )
        found = neighbours(joined, np.concatenate(parts, axis=1))
        parts.append(whitened(found, np.any(found, axis=1), width))
    return Things(
        ids=tuple(ids),
        texts=texts,
        vectors=np.concatenate(parts, axis=1) if parts else np.zeros((len(ids), width), np.float32),
        attributes=numbered(frame["words"].to_list()),
    )


def whitened(vectors: Floats, some: NDArray[np.bool_], width: int) -> Floats:
    """The main directions of `vectors` (I, D), nearer to equal spread, and short.

    Directions with eigenvalue e of the covariance are scaled by e^-1/4, half of what whitening
    does (Su et al. 2021, arXiv:2103.15316, whiten wholly): what all titles share says little. Items
    of which nothing is told, not among `some` (I,), get zero.
    """
    if not some.any():
        return np.zeros((len(vectors), width), dtype=np.float32)
    centred = vectors.astype(np.float64) - vectors[some].mean(axis=0)
    spread, directions = np.linalg.eigh(centred[some].T @ centred[some] / some.sum())
    kept = np.argsort(-spread)[: min(width, int(some.sum()) - 1, len(spread))]
    found = np.zeros((len(vectors), width))
    scale = np.maximum(spread[kept], 1e-9) ** -0.25
    found[:, : len(kept)] = centred @ directions[:, kept] * scale * some[:, None]
    size = np.sqrt((found[some] ** 2).sum(axis=1).mean())
    return (found * (LENGTH / max(size, 1e-9))).astype(np.float32)


def numbered(words: Sequence[Sequence[str]]) -> tuple[tuple[int, ...], ...]:
    """Numbers 1 .. of each item's words; those that few items share are dropped."""
    count = Counter(word for one in words for word in set(one))
    known = sorted(word for word, num in count.items() if num >= LEAST_USED)
    number = {word: place for place, word in enumerate(known, 1)}
    return tuple(tuple(sorted({number[w] for w in one if w in number})) for one in words)


def _told(ids: pl.Series, sources: Sources) -> pl.DataFrame:
    """``text``, ``image``, ``words`` of each item of `ids`; "", null and [] where nothing is told.

    ``name`` is what edges call it.
    """
    told = pl.DataFrame({"item": []}, {"item": pl.String})
    if sources.items is not None and sources.columns:
        told = _opened(sources.items, sources)
        if not ids.is_in(told["item"].to_list()).any():
            raise ValueError(
                f"{sources.items.name} knows none of the {len(ids):,} items; column "
                f"{sources.item_id!r} must hold the ids of the sequences: name another by --item-id"
            )
    for name, kind in (("text", pl.String), ("image", pl.Binary), ("words", pl.List(pl.String))):
        if name not in told.columns:
            told = told.with_columns(pl.lit(None, kind).alias(name))
    found = pl.DataFrame({"item": ids}).join(told, on="item", how="left", maintain_order="left")
    if "name" not in told.columns:
        found = found.with_columns(pl.col("item").alias("name"))
    return found.with_columns(pl.col("text").fill_null(""), pl.col("words").fill_null([]))


def _opened(path: Path, sources: Sources) -> pl.DataFrame:
    """What the file of items tells, one row an item."""
    frame = open_table(path)
    check_columns(frame, [sources.item_id, *sources.columns], path.name)
    parts = [pl.col(sources.item_id).cast(pl.String).alias("item")]
    if sources.text:
        parts.append(pl.col(sources.text).cast(pl.String).alias("text"))
    if sources.image:
        if frame.schema[sources.image] not in (pl.Binary, pl.String):
            raise ValueError(
                f"column {sources.image!r} of {path.name} holds {frame.schema[sources.image]} and "
                "must hold photos; give bytes of JPEG or PNG, or paths of such files"
            )
        parts.append(pl.col(sources.image).alias("image"))
    if sources.edges and sources.edges.item:
        parts.append(pl.col(sources.edges.item).cast(pl.String).alias("name"))
    words = [_words(frame, one) for one in sources.attributes]
    words += [_words_within(one) for one in sources.words]
    if words:
        parts.append(pl.concat_list([one.fill_null([]) for one in words]).alias("words"))
    return frame.select(parts).unique("item", keep="first", maintain_order=True)


def _words(frame: pl.DataFrame, column: str) -> pl.Expr:
    """Cells of a column as lists of words, each with the column's name before it."""
    cell = pl.col(column)
    if isinstance(frame.schema[column], pl.List):
        return cell.cast(pl.List(pl.String)).list.eval(f"{column}=" + pl.element())
    word = f"{column}=" + cell.cast(pl.String)
    return pl.when(cell.is_null()).then(None).otherwise(pl.concat_list(word))


def _words_within(column: str) -> pl.Expr:
    """The words of a column's texts as lists, each with the column's name before it."""
    words = pl.col(column).cast(pl.String).str.to_lowercase().str.extract_all(WORD)
    return words.list.eval(f"{column} has " + pl.element())


def _seen(frame: pl.DataFrame, sources: Sources, cache: Path, width: int) -> Floats:
    """Vectors (I, D) of the photos of `frame`; zero without one."""
    assert sources.items is not None
    assert sources.image_encoder is not None
    photos, some = [], np.zeros(len(frame), dtype=bool)
    for row, (item, cell) in enumerate(frame.select("item", "image").iter_rows()):
        if cell:
            content = cell if isinstance(cell, bytes) else sources.items.parent / cell
            photos.append(Photo(item, content))
            some[row] = True
    if not photos:
        raise ValueError(
            f"column {sources.image!r} of {sources.items.name} is empty for all of the "
            f"{len(frame):,} items; name another by --image, or leave it out"
        )
    name, encode = image_encoder_of(sources.image_encoder, 0)
    found = photo_vectors(photos, name, cache, encode)
    vectors = np.zeros((len(frame), found.shape[1]), dtype=np.float32)
    vectors[some] = found
    return whitened(vectors, some, width)
