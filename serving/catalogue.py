"""All items in memory: columns for filters and words, one matrix for scores, as of this UTC day.

Items change at midnight only, so a catalogue is built once a day (by the shop's clock) in the
background and swapped in one step; a request keeps the one it began with. Next: ``predictor.py``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.settings import DAY, SECOND, Clock, iso
from serving.pace import background_thread
from training.datasets.encode import EncodeSpec, encode_items, scalars

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


class ItemEncoder(Protocol):
    """What makes vectors of items; ``predictor.Predictor`` does."""

    def text_vectors(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, D) of `texts`; zero for an empty one."""

    def item_vectors(
        self, text_vectors: Floats, index: NDArray[np.int64], scalars: Floats
    ) -> tuple[Floats, Floats]:
        """Vectors (n, W) and biases (n,) of items."""

    def categories(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers (n,) of items' categories; 0 = none known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Items as of `as_of`. Row 0 stands for "no item"; arrays have one row per item and row 0."""

    as_of: int
    item_ids: tuple[str, ...]
    """``item_ids[0]`` is empty."""
    text: tuple[str, ...]
    price: NDArray[np.float64]
    """Base currency; NaN = unknown."""
    sold_30d: Floats
    is_new: Bools
    """Not in the model's vocabulary: scored by text and numbers alone."""
    exists: Bools
    vectors: Floats
    """(items + 1, W); row 0 is zero."""
    biases: Floats
    category: NDArray[np.int64]
    """As the model numbers them; 0 = none known."""
    index: dict[str, int] = field(init=False, repr=False, compare=False)
    """Item id to row."""

    def __post_init__(self) -> None:
        index = {item: row for row, item in enumerate(self.item_ids) if row}
        object.__setattr__(self, "index", index)

    def __len__(self) -> int:
        return int(self.exists.sum())

    @property
    def popularity(self) -> Floats:
        """(items + 1,), sales of the last 30 days; the model's bias decides between equals."""
        return self.sold_30d + (0.001 / (1.0 + np.exp(-self.biases))).astype(np.float32)


def build(frame: pl.DataFrame, spec: EncodeSpec, encoder: ItemEncoder, as_of: int) -> Catalogue:
    """The catalogue of `frame`, rows of the item service as of `as_of`."""
    items = encode_items(frame, spec)
    text_vectors = encoder.text_vectors(items.text)
    vectors, biases = encoder.item_vectors(text_vectors, items.index_I, items.scalars_IS)
    prices, sales = scalars(frame, ["price"]), scalars(frame, ["num_purchases_30d"])
    return Catalogue(
        as_of=as_of,
        item_ids=("", *frame["item_id"]),
        text=("", *items.text),
        price=_with_none(prices[:, 0], np.nan),
        sold_30d=_with_none(np.nan_to_num(sales[:, 0]).astype(np.float32), 0.0),
        is_new=_with_none(items.index_I == 0, False),
        exists=_with_none(items.exists_I, False),
        vectors=_with_none(vectors, 0.0),
        biases=_with_none(biases, 0.0),
        category=_with_none(encoder.categories(items.index_I), 0),
    )


def _unheard(_: float) -> None:
    """Nobody asks how late a catalogue is."""


class Shelf:
    """The catalogue in use, and its renewal when the UTC day of the clock changes.

    A new day's is in use `check_every_s` and the time of making it after midnight, at the latest;
    `tell_late` hears at each look how many seconds the day is old without it, 0 with it.
    """

    def __init__(
        self,
        make: Callable[[int], Catalogue],
        clock: Clock,
        check_every_s: float = 30.0,
        tell_late: Callable[[float], object] = _unheard,
    ) -> None:
        self._make, self._clock, self._check_every_s = make, clock, check_every_s
        self._tell_late = tell_late
        self._stop = threading.Event()
        self._thread = background_thread(self._watch, "catalogue")
        self.current = make(self._midnight())

    def start(self) -> None:
        """Watch the clock in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch; returns when it has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def refresh(self) -> bool:
        """Build today's catalogue when the one in use is of another day; whether it did."""
        midnight = self._midnight()
        if midnight == self.current.as_of:
            return False
        self.current = self._make(midnight)
        return True

    def is_stale(self) -> bool:
        """Whether the catalogue in use is not today's."""
        return self._midnight() != self.current.as_of

    def late_s(self) -> float:
        """Seconds since the catalogue in use ceased to be today's; 0 while it is."""
        return max(0, self._clock.now() - self.current.as_of - DAY) / SECOND

    def _midnight(self) -> int:
        return self._clock.now() // DAY * DAY

    def _watch(self) -> None:
        while not self._stop.wait(self._check_every_s):
            self._tell_late(late := self.late_s())
            try:
                began = time.monotonic()
                if self.refresh():
                    late += time.monotonic() - began
                    log.info("the catalogue shows %s, %.1f s late", iso(self.current.as_of), late)
            except Exception:
                # Yesterday's items still answer; answers say `stale: ["catalogue"]`.
                log.exception("the catalogue of %s stays in use", iso(self.current.as_of))


def _with_none(values: NDArray, none: float | bool) -> NDArray:
    """`values` behind a row for "no item"."""
    first = np.full((1, *values.shape[1:]), none, dtype=values.dtype)
    return np.concatenate([first, values])
