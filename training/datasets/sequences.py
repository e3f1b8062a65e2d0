"""A dataset folder from sequences that know an order and no time: for public benchmarks.

Leave-one-out: of each sequence the last item is the test, the one before it validation, and the
rest is what training knows. Nothing is claimed of time: the folder's clock counts behaviours, one a
day, and its two weeks are the catalogue of training, where only items of training exist (an item
that nobody may learn from is no negative either), and that of validation and test, where all do.
Next: ``batches.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_repo.events import KIND_CODES
from training.datasets.batches import Dataset
from training.datasets.catalogue import ItemsByWeek
from training.datasets.encode import EncodeSpec
from training.datasets.examples import Examples
from training.datasets.histories import DAY, Histories, Ints, offsets_of
from training.datasets.normalise import Floats, Normaliser

LEAST = 4
"""Items of a sequence at least: two to learn from, one to validate and one to test."""
NOTHING = Normaliser(names=(), means=(), deviations=())
HELD_BACK = {"train": 2, "valid": 1, "test": 0}
"""Items at the end of a sequence that a split does not know; the one before them is its target."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequences:
    """Items of n shoppers, in order: those of shopper i are ``item[offsets[i] : offsets[i + 1]]``.

    Items are numbers 0 .. I - 1, whatever they are called.
    """

    item: Ints
    offsets: Ints
    user: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.user)

    def without_last(self, num: int) -> Sequences:
        """All but the last `num` items of each."""
        return self.where(self.places_from_end() >= num)

    def where(self, kept: NDArray[np.bool_]) -> Sequences:
        """The items at places that `kept` says, of the same shoppers."""
        lengths = np.add.reduceat(kept, self.offsets[:-1], dtype=np.int64)
        return Sequences(item=self.item[kept], offsets=offsets_of(lengths), user=self.user)

    def take(self, rows: Ints) -> Sequences:
        """The sequences of shoppers `rows`."""
        kept = np.repeat(np.isin(np.arange(len(self)), rows), np.diff(self.offsets))
        lengths = np.diff(self.offsets)[rows]
        return Sequences(item=self.item[kept], offsets=offsets_of(lengths), user=self.user[rows])

    def places_from_end(self) -> Ints:
        """How many items come after each."""
        return np.repeat(self.offsets[1:], np.diff(self.offsets)) - 1 - np.arange(len(self.item))


@dataclass(frozen=True, kw_only=True, slots=True)
class Things:
    """What is known of the I items that sequences name."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    """"" = none."""
    vectors: Floats
    """``(I, D)``, what frozen encoders say of each; zero where nothing is told."""
    attributes: tuple[tuple[int, ...], ...]
    """Numbers 1 .. of what each item has; empty for none."""

    def bare(self) -> Things:
        """The same items, of which nothing is told but their ids."""
        num = len(self.ids)
        blank = np.zeros_like(self.vectors)
        return Things(ids=self.ids, texts=("",) * num, vectors=blank, attributes=((),) * num)


def write(
    folder: Path,
    sequences: Sequences,
    things: Things,
    *,
    longest: int,
    held_out: NDArray[np.bool_] | None = None,
) -> Dataset:
    """Write the folder and open it.

    Parameters
    ----------
    longest
        Behaviours kept of a history, the latest ones.
    held_out
        ``(I,)``: items that training must not see, for the protocol of cold items.
    """
    assert np.diff(sequences.offsets).min() >= LEAST, "short sequences are dropped before"
    known = sequences.without_last(HELD_BACK["train"])
    if held_out is not None:
        known = known.where(~held_out[known.item])
    vocabulary = np.unique(known.item)
    rest = np.setdiff1d(np.arange(len(things.ids)), vocabulary)
    order = np.concatenate([vocabulary, rest])
    index = np.empty(len(order), dtype=np.int64)
    index[order] = np.arange(1, len(order) + 1)
    folder.mkdir(parents=True)
    counts = {}
    for split, num in HELD_BACK.items():
        seen = known if split == "train" else sequences.without_last(num)
        examples = _examples(seen, index, longest, week=int(split != "train"))
        examples.save(folder / split)
        counts[split] = len(examples)
    spec = EncodeSpec(
        vocabulary=tuple(things.ids[item] for item in vocabulary),
        user=NOTHING,
        item=NOTHING,
        history_length=longest,
    )
    meta = _write_items(folder, things, order, len(vocabulary))
    meta |= {"counts": counts, "spec": spec.to_dict(), "num_vocabulary": len(vocabulary) + 1}
    (folder / "meta.json").write_text(json.dumps(meta))
    return Dataset(folder)


def _examples(seen: Sequences, index: Ints, longest: int, week: int) -> Examples:
    """One example a shopper: the last item is the target, those before it are the history."""
    lengths = np.diff(seen.offsets)
    seen = seen.take(np.flatnonzero(lengths >= 2))
    after = seen.places_from_end()
    history = seen.where((after > 0) & (after <= longest))
    lengths, num = np.diff(history.offsets), len(seen)
    place = np.arange(len(history.item)) - np.repeat(history.offsets[:-1], lengths)
    return Examples(
        task=np.zeros(num, dtype=np.int64),
        week=np.full(num, week),
        user=seen.user,
        asked_at=(lengths + 1) * DAY,
        weight=np.ones(num, dtype=np.float32),
        scalars=np.zeros((num, 0), dtype=np.float32),
        label=np.zeros((num, 0), dtype=np.float32),
        target=index[seen.item[after == 0]],
        target_offsets=np.arange(num + 1),
        num_bought=np.ones(num, dtype=np.int64),
        history=Histories(
            item=index[history.item].astype(np.int32),
            kind=np.full(len(place), KIND_CODES["purchase"], dtype=np.int8),
            quantity=np.ones(len(place), dtype=np.float32),
            amount=np.zeros(len(place), dtype=np.float32),
            at=(place + 1) * DAY,
            offsets=history.offsets,
        ),
    )


def _write_items(folder: Path, things: Things, order: Ints, num_known: int) -> dict[str, Any]:
    """The catalogue of both weeks; what ``meta.json`` says of it."""
    num = len(order) + 1
    exists = np.ones((2, num), dtype=bool)
    exists[:, 0], exists[0, num_known + 1 :] = False, False
    is_told = things.vectors[order].any(axis=1)
    text = np.full(num, -1, dtype=np.int32)
    text[1:][is_told] = np.arange(int(is_told.sum()))
    texts = [things.texts[item] for item in order[is_told]]
    ItemsByWeek(
        ids=("", *(things.ids[item] for item in order)),
        exists=exists,
        scalars=np.zeros((2, num, 0), dtype=np.float32),
        text=np.stack([text, text]),
        texts=tuple(texts) or ("",),
    ).save(folder)
    vectors = things.vectors[order[is_told]]
    if not texts:
        vectors = np.zeros((1, things.vectors.shape[1]), dtype=np.float32)
    np.save(folder / "text_vectors.npy", vectors.astype(np.float32))
    attributes = [(), *(things.attributes[item] for item in order)]
    together = np.concatenate([np.array(one, dtype=np.int32) for one in attributes])
    starts = offsets_of(np.array([len(one) for one in attributes]))[:-1]
    np.save(folder / "items_attributes.npy", together)
    np.save(folder / "items_attribute_starts.npy", starts)
    return {
        "tasks": ["next_item"],
        "heads": {"next_item": []},
        "weeks": [0, 7 * DAY],
        "num_items": num,
        "num_kinds": len(KIND_CODES) + 1,
        "num_scalars": 0,
        "num_item_scalars": 0,
        "num_attributes": int(together.max(initial=0)) + bool(len(together)),
    }
