"""All items of a dataset at the start of each of its weeks. Next: ``rows.py``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.datasets.encode import EncodeSpec, encode_items
from training.datasets.histories import Ints
from training.datasets.normalise import Floats, Normaliser
from training.datasets.spool import Spool


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemsByWeek:
    """Columns of I items (index 0 is no item) over W weeks."""

    ids: tuple[str, ...]
    """Id of each index; "" at 0."""
    exists: NDArray[np.bool_]
    """``(W, I)``, whether anything was known of the item when the week began."""
    scalars: Floats
    """``(W, I, S)``, normalised."""
    text: NDArray[np.int32]
    """``(W, I)``, row in `texts`; -1 = none."""
    texts: tuple[str, ...]

    def save(self, folder: Path) -> None:
        """Write the files that ``batches.Dataset`` maps."""
        for name in ("exists", "scalars", "text"):
            np.save(folder / f"items_{name}.npy", getattr(self, name))
        (folder / "items.json").write_text(json.dumps(self.ids))
        (folder / "texts.json").write_text(json.dumps(self.texts))

    def existing(self, week: Ints, item: Ints) -> NDArray[np.bool_]:
        """Whether item ``item[i]`` existed when week ``week[i]`` began."""
        return np.asarray(self.exists[week, item])


def item_spine(ids: Sequence[str], weeks: Sequence[int]) -> pl.DataFrame:
    """Every item at the start of every week, week after week."""
    return (
        pl.DataFrame({"week_at": weeks}, schema={"week_at": pl.Int64})
        .join(pl.DataFrame({"item_id": ids}, schema={"item_id": pl.String}), how="cross")
        .select(
            "item_id",
            pl.from_epoch("week_at", time_unit="us")
            .dt.replace_time_zone("UTC")
            .alias("event_timestamp"),
        )
    )


def fit_items(spool: Spool, before: int) -> Normaliser:
    """Normaliser of the item scalars, from weeks that began before `before` alone."""
    old = (spool.rows["event_timestamp"].cast(pl.Int64) < before).to_numpy()
    return Normaliser.fit(spool.scalars, (spool.column(name)[old] for name in spool.scalars))


def items_by_week(spool: Spool, ids: Sequence[str], spec: EncodeSpec) -> ItemsByWeek:
    """The catalogue from the features of ``item_spine(ids, weeks)``."""
    number = {"": -1}  # of each text, in the order of its first appearance
    exists, values, text = [], [], []
    for _, frame in spool.chunks():
        arrays = encode_items(frame, spec)
        exists.append(arrays.exists_I)
        values.append(arrays.scalars_IS)
        row = [number.setdefault(text, len(number) - 1) for text in arrays.text]
        text.append(np.array(row, dtype=np.int32))
    texts, row_of = _sorted(number)
    nobody = spec.item.apply(np.full((1, len(spec.item.names)), np.nan))[0]

    def by_week(values: NDArray, at_zero: object) -> NDArray:
        weeks = values.reshape(-1, len(ids), *values.shape[1:])
        first = np.broadcast_to(
            np.asarray(at_zero, values.dtype), (len(weeks), 1, *weeks.shape[2:])
        )
        return np.concatenate([first, weeks], axis=1)

    return ItemsByWeek(
        ids=("", *ids),
        exists=by_week(np.concatenate(exists), False),
        scalars=by_week(np.concatenate(values), nobody),
        text=by_week(row_of[np.concatenate(text)], -1),
        texts=texts,
    )


def _sorted(number: Mapping[str, int]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The texts in order, and the place there of each text number; -1 stays -1."""
    texts = sorted(text for text in number if text)
    place = np.full(len(number), -1, dtype=np.int32)  # its last entry is that of number -1
    place[[number[text] for text in texts]] = np.arange(len(texts))
    return tuple(texts) or ("",), place
