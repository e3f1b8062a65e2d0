"""Point-in-time rows on disk, asked for a chunk at a time: memory holds one chunk of them.

What is learnt from all rows (normalisers, the guard on labels) reads a column at a time; what is
written of them reads chunk after chunk. Next: ``split.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

CHUNK_ROWS = 32_768
"""Rows asked for at once: so many histories of 200 behaviours take a third of a GiB."""
Ask = Callable[[pl.DataFrame], pl.DataFrame]
"""Rows with a key and ``event_timestamp`` to the same rows with checked features."""


class Spool:
    """The features of `rows`, as Arrow files in `folder`.

    Parameters
    ----------
    like
        What tells the columns where there are no rows to ask about.
    """

    def __init__(
        self, folder: Path, rows: pl.DataFrame, ask: Ask, like: Spool | None = None
    ) -> None:
        folder.mkdir(parents=True)
        self.rows = rows
        self._starts = range(0, len(rows), CHUNK_ROWS) if len(rows) else range(1)
        self._paths = [folder / f"{start}.arrow" for start in self._starts]
        for start, path in zip(self._starts, self._paths, strict=True):
            if like is not None and rows.is_empty():
                frame = next(like.chunks())[1].clear()
            else:
                frame = ask(rows.slice(start, CHUNK_ROWS))
            frame.write_ipc(path)
            self.schema = frame.schema

    def chunks(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Some rows and their features, one chunk after the other."""
        for start, path in zip(self._starts, self._paths, strict=True):
            yield self.rows.slice(start, CHUNK_ROWS), pl.read_ipc(path)

    def column(self, name: str) -> NDArray[np.float64]:
        """One scalar of all rows, NaN for unknown."""
        parts = [pl.read_ipc(path, columns=[name])[name].to_numpy() for path in self._paths]
        return np.concatenate(parts).astype(np.float64)

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of the scalar features."""
        return tuple(name for name, kind in self.schema.items() if kind.is_numeric())
