"""A dataset folder, read as batches of one week each.

A batch holds examples of one week only, because items are as of the week's start; and examples of
similar length, because neighbours share a block that pads them to its longest. Which example goes
where follows from the seed and the epoch; workers compute the same plan and take every n-th batch
of it. Needs numpy alone. Next: ``../models/batch.py``.
"""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.datasets.encode import EncodeSpec
from training.datasets.examples import Examples
from training.datasets.histories import Ints, positions, time_to_now
from training.datasets.words import told_apart
from training.models.batch import Batch, Catalogue

BLOCK_COST = 64
"""What a block of histories costs beside its positions, in positions; measured on a CPU."""


class Dataset:
    """The folder that ``rows.build`` wrote.

    Attributes
    ----------
    meta
        What it holds and what it was made from; every key is explained in ``docs/datasets.md``.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        path = self.folder / "meta.json"
        if not path.exists():
            raise ValueError(
                f"{self.folder} holds no dataset (meta.json is missing); a finished "
                "`python -m training fit` leaves one"
            )
        self.meta: dict[str, Any] = json.loads(path.read_text())
        self._examples: dict[str, Examples] = {}

    @cached_property
    def item_ids(self) -> tuple[str, ...]:
        """Id of each item index; index 0 is no item."""
        return tuple(json.loads((self.folder / "items.json").read_text()))

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """All texts that an item ever had, then the words of messages where they are told."""
        return tuple(json.loads((self.folder / "texts.json").read_text()))

    @cached_property
    def text_vectors(self) -> NDArray[np.float32]:
        """Outputs of the text encoder for ``texts``, ``(num_texts, text_width)``."""
        return self._map("text_vectors")

    @cached_property
    def spec(self) -> EncodeSpec:
        """Vocabulary and normalisers, fitted on training rows."""
        return EncodeSpec.from_dict(self.meta["spec"])

    def items(self, week: int) -> Catalogue:
        """All items as of the start of week number `week`."""
        index_I = np.arange(self.meta["num_items"], dtype=np.int64)
        return Catalogue(
            exists_I=np.array(self._items["exists"][week]),
            scalars_IS=np.array(self._items["scalars"][week]),
            text_I=self._items["text"][week].astype(np.int64),
            index_I=np.where(index_I < self.meta["num_vocabulary"], index_I, 0),
            attribute_A=self._attributes[0],
            attribute_start_I=self._attributes[1],
            category_I=self._categories,
        )

    def examples(self, split: str) -> Examples:
        """All arrays of `split`, memory-mapped."""
        if split not in self._examples:
            self._examples[split] = Examples.load(self.folder / split)
        return self._examples[split]

    def batches(
        self,
        split: str,
        max_positions: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        epoch: int = 0,
    ) -> Iterator[Batch]:
        """Batches of worker `rank` among `world`; see :meth:`plan` for what is in which."""
        for rows in self.plan(split, max_positions, rank, world, seed, epoch):
            yield self.batch(split, rows)

    def plan(
        self,
        split: str,
        max_positions: int,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        epoch: int = 0,
        among: Ints | None = None,
    ) -> list[Ints]:
        """Rows of each batch: together all rows of `split` once, equally many batches a worker.

        Where rows `among` are given it plans these alone. A batch holds at most `max_positions`
        positions, even if all its histories were padded to the longest, unless one history alone is
        longer. One worker alone sees every row; of several, fewer than `world` rows are left out
        when all batches are single rows whose number cannot be shared.

        Raises
        ------
        ValueError
            When there are fewer examples than workers.
        """
        examples = self.examples(split)
        asked = np.arange(len(examples)) if among is None else among
        if 0 < len(asked) < world:
            raise ValueError(
                f"the {split} split has {len(asked)} examples for {world} workers; "
                "train with fewer workers"
            )
        lengths = np.maximum(np.diff(examples.history.offsets), 1)
        rng = np.random.default_rng([seed, epoch])
        shuffled = rng.permutation(asked)
        ordered = shuffled[np.lexsort((lengths[shuffled], examples.week[shuffled]))]
        batches = _cut(ordered, lengths, np.asarray(examples.week), max_positions)
        batches = _to_multiple(batches, world)
        return [batches[place] for place in rng.permutation(len(batches))[rank::world]]

    def batch(self, split: str, rows: Ints) -> Batch:
        """Examples number `rows` of `split`, all of one week."""
        examples = self.examples(split)
        weeks = np.unique(examples.week[rows])
        assert len(weeks) == 1, f"a batch holds one week, not {weeks}"
        history = examples.history.take(rows)
        shapes = block_shapes(np.diff(history.offsets))
        flat = positions(history, np.repeat(*np.array(shapes, dtype=np.int64).T[::-1]))
        target_T, target_row_T = examples.targets(rows)
        words_P, text_Y = (None, None) if flat.words is None else told_apart(flat.words)
        return Batch(
            week=int(weeks[0]),
            task_B=examples.task[rows],
            shapes=shapes,
            item_P=flat.item,
            kind_P=flat.kind,
            gap_P=flat.gap,
            quantity_P=flat.quantity,
            amount_P=flat.amount,
            time_to_now_B=time_to_now(history, np.asarray(examples.asked_at[rows])),
            scalars_BF=examples.scalars[rows],
            target_T=target_T,
            target_row_T=target_row_T,
            label_BH=examples.label[rows],
            weight_B=examples.weight[rows],
            words_P=words_P,
            text_Y=text_Y,
        )

    @cached_property
    def _items(self) -> dict[str, NDArray]:
        return {name: self._map(f"items_{name}") for name in ("exists", "scalars", "text")}

    @cached_property
    def _attributes(self) -> tuple[Ints, Ints]:
        """Attributes (A,) of the items and where each item's begin (I,); where told, else none."""
        if not self.meta.get("num_attributes"):
            return np.zeros(0, dtype=np.int64), np.zeros(self.meta["num_items"], dtype=np.int64)
        names = ("items_attributes", "items_attribute_starts")
        attribute_A, start_I = (self._map(name).astype(np.int64) for name in names)
        return attribute_A, start_I

    @cached_property
    def _categories(self) -> Ints:
        """Categories (I,) of the items that training knew, as a bundle tells them."""
        told = self.meta.get("categories", {}).get("of_item", [])[: self.meta["num_vocabulary"]]
        category_I = np.zeros(self.meta["num_items"], dtype=np.int64)
        category_I[: len(told)] = np.array(told, dtype=np.int64) + 1
        return category_I

    def _map(self, name: str) -> NDArray:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")


def block_shapes(lengths: Ints) -> tuple[tuple[int, int], ...]:
    """Rows and length of blocks of neighbouring histories, for ``models/blocks.py``.

    A block takes in the next history while its padding stays below ``BLOCK_COST`` positions.
    """
    shapes: list[tuple[int, int]] = []
    rows = longest = real = 0
    for length in np.maximum(lengths, 1).tolist():
        wider = max(longest, length)
        if rows and (rows + 1) * wider - real - length > BLOCK_COST:
            shapes.append((rows, longest))
            rows, wider, real = 0, length, 0
        rows, longest, real = rows + 1, wider, real + length
    return (*shapes, (rows, longest))


def _cut(ordered: Ints, lengths: Ints, weeks: Ints, max_positions: int) -> list[Ints]:
    """Cut rows, sorted by week and length, where the week ends or the batch would be too large."""
    starts, start = [0], 0
    for place in range(1, len(ordered)):
        row = ordered[place]
        is_full = (place - start + 1) * lengths[row] > max_positions
        if is_full or weeks[row] != weeks[ordered[start]]:
            starts.append(start := place)
    bounds = [*starts, len(ordered)] if len(ordered) else []
    return [ordered[a:b] for a, b in pairwise(bounds)]


def _to_multiple(batches: list[Ints], world: int) -> list[Ints]:
    """Halve the batches with most rows until their number can be shared equally by `world`.

    Where nothing is left to halve, the rows over are left out: fewer than `world`.
    """
    batches = sorted(batches, key=len)
    while len(batches) % world and len(batches[-1]) > 1:
        rows = batches.pop()
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            insort(batches, half, key=len)
    return batches[: len(batches) // world * world]
