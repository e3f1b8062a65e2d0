"""One split's spine and features become its files. Next: ``examples.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from training.datasets.catalogue import ItemsByWeek
from training.datasets.encode import EncodeSpec, encode_histories, scalars
from training.datasets.examples import Examples, ExamplesWriter
from training.datasets.histories import Histories, Ints
from training.datasets.normalise import Floats
from training.datasets.spool import Spool
from training.datasets.words import Texts

BLOCK = 4096
"""Rows whose item ids are Python objects at one time."""


def write_split(
    folder: Path,
    spool: Spool,
    spec: EncodeSpec,
    items: ItemsByWeek,
    weeks: Sequence[int],
    labels: Sequence[str],
    texts: Texts,
) -> dict[str, int]:
    """Write the examples of a split, chunk by chunk.

    A target that did not exist when its week began cannot be scored: it is dropped, and an example
    whose targets are all dropped with it. Returns how many ``targets`` and ``examples`` that were,
    and how many examples were ``written``. `texts` grow by the words of messages.
    """
    index = {item: number for number, item in enumerate(items.ids) if number}
    longest = max(spool.rows["user_id"].str.len_chars().to_list(), default=1)
    users = np.dtype(f"<U{longest}")
    found = {"targets": 0, "examples": 0, "written": 0}
    with ExamplesWriter(folder) as writer:
        for rows, frame in spool.chunks():
            histories = _histories(frame, index, spec.history_length, texts)
            examples = _encode(rows, frame, spec, items, weeks, labels, index, users, histories)
            writer.append(examples)
            found["targets"] += int(rows["targets"].list.len().sum()) - len(examples.target)
            found["examples"] += len(rows) - len(examples)
            found["written"] += len(examples)
    return found


def _encode(
    rows: pl.DataFrame,
    frame: pl.DataFrame,
    spec: EncodeSpec,
    items: ItemsByWeek,
    weeks: Sequence[int],
    labels: Sequence[str],
    index: dict[str, int],
    users: np.dtype,
    histories: Histories,
) -> Examples:
    """The examples of one chunk, in the order of `rows`."""
    week = np.searchsorted(np.asarray(weeks), rows["week_at"].to_numpy())
    bought = rows["targets"].list.len().to_numpy().astype(np.int64)
    owner = np.repeat(np.arange(len(rows)), bought)
    flat = [index[item] for item in rows["targets"].explode(empty_as_null=False)]
    target = np.array(flat, dtype=np.int64)
    exists = items.existing(week[owner], target)
    num_left = np.bincount(owner[exists], minlength=len(rows))
    kept = np.flatnonzero((bought == 0) | (num_left > 0))
    return Examples(
        task=rows["task"].to_numpy()[kept],
        week=week[kept],
        user=np.array(rows["user_id"].to_list(), dtype=users)[kept],
        asked_at=rows["asked_at"].to_numpy()[kept],
        weight=rows["weight"].to_numpy()[kept].astype(np.float32),
        scalars=spec.user.apply(scalars(frame, spec.user.names))[kept],
        label=label_array(rows, labels)[kept],
        target=target[exists],
        target_offsets=np.concatenate([[0], np.cumsum(num_left[kept])]),
        num_bought=bought[kept],
        history=histories.take(kept),
    )


def label_array(rows: pl.DataFrame, labels: Sequence[str]) -> Floats:
    """Columns ``(n, labels)`` of a spine; NaN where a label does not apply."""
    columns = [rows[label].to_numpy().astype(np.float32) for label in labels]
    return np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0), np.float32)


def _histories(frame: pl.DataFrame, index: dict[str, int], length: int, texts: Texts) -> Histories:
    """Histories of all rows, block by block."""
    blocks = [
        encode_histories(frame.slice(start, BLOCK), index, length, texts)
        for start in range(0, max(len(frame), 1), BLOCK)
    ]
    ends = np.cumsum([0, *(block.offsets[-1] for block in blocks)])
    offsets: list[Ints] = [
        block.offsets[1:] + end for block, end in zip(blocks, ends[:-1], strict=True)
    ]
    words = [block.words for block in blocks if block.words is not None]
    return Histories(
        item=np.concatenate([block.item for block in blocks]),
        kind=np.concatenate([block.kind for block in blocks]),
        quantity=np.concatenate([block.quantity for block in blocks]),
        amount=np.concatenate([block.amount for block in blocks]),
        at=np.concatenate([block.at for block in blocks]),
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), *offsets]),
        words=np.concatenate(words) if words else None,
    )
