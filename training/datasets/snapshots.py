"""A dataset folder from a table of snapshots: what was known of shoppers, and who of them left.

Nothing is told of behaviours or items: histories are empty. The table knows one horizon, so that
the three of the task ``retention`` end with it, and intervals between them have no length. Next:
``batches.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from training.datasets.histories import Histories, Ints
from training.datasets.normalise import Normaliser

NOTHING = Normaliser(names=(), means=(), deviations=())
LEAVES = ("leave_90d", "leave_60d", "leave_30d")


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshots:
    """n shoppers at a moment each."""

    user: NDArray[np.str_]
    asked_at: Ints
    """Microseconds, UTC; all alike where nothing is known of time."""
    label: NDArray[np.float64]
    """1.0 for who left."""
    values: NDArray[np.float64]
    """``(n, d)``, NaN is unknown."""
    names: tuple[str, ...]
    """Of the d values."""


def write(
    folder: Path,
    snapshots: Snapshots,
    rows: Mapping[str, Ints],
    *,
    heads: tuple[str, ...],
    text_width: int,
    horizon_days: int,
) -> Dataset:
    """Write the folder and open it.

    Parameters
    ----------
    rows
        Of each split, "train", "valid" and "test"; training's alone fit the normaliser.
    heads
        Those of the task ``retention``.
    """
    folder.mkdir(parents=True)
    train = snapshots.values[rows["train"]]
    spec = EncodeSpec(
        vocabulary=(),
        user=Normaliser.fit(snapshots.names, train.T),
        item=NOTHING,
        history_length=1,
    )
    for split, some in rows.items():
        _examples(snapshots, some, spec, heads, told=split != "test").save(folder / split)
    no_item = np.zeros((1, 1), dtype=bool)
    ItemsByWeek(
        ids=("",),
        exists=no_item,
        scalars=np.zeros((1, 1, 0), dtype=np.float32),
        text=np.full((1, 1), -1, dtype=np.int32),
        texts=("",),
    ).save(folder)
    np.save(folder / "text_vectors.npy", np.zeros((1, text_width), dtype=np.float32))
    meta: dict[str, Any] = {
        "tasks": ["retention"],
        "heads": {"retention": list(heads)},
        "amounts": {"retention": []},
        "labels": {"retention": []},
        "calendar": _calendar(snapshots.asked_at, rows),
        "horizon_days": horizon_days,
        "weeks": [0],
        "spec": spec.to_dict(),
        "num_items": 1,
        "num_vocabulary": 1,
        "num_kinds": len(KIND_CODES) + 1,
        "num_scalars": len(spec.user.output_names),
        "num_item_scalars": 0,
        "counts": {split: len(some) for split, some in rows.items()},
        "dropped": {},
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    return Dataset(folder)


def _examples(
    snapshots: Snapshots, rows: Ints, spec: EncodeSpec, heads: tuple[str, ...], told: bool
) -> Examples:
    """One example a snapshot; the horizons that only mirror the last are `told` to learn from."""
    num, order = len(rows), rows[np.argsort(snapshots.asked_at[rows], kind="stable")]
    label = np.full((num, len(heads)), np.nan, dtype=np.float32)
    for head in LEAVES if told else LEAVES[:1]:
        label[:, heads.index(head)] = snapshots.label[order]
    none, nowhere = np.zeros(0), np.zeros(num + 1, dtype=np.int64)
    return Examples(
        task=np.zeros(num, dtype=np.int64),
        week=np.zeros(num, dtype=np.int64),
        user=snapshots.user[order],
        asked_at=snapshots.asked_at[order],
        weight=np.ones(num, dtype=np.float32),
        scalars=spec.user.apply(snapshots.values[order]),
        label=label,
        target=none.astype(np.int64),
        target_offsets=nowhere,
        num_bought=np.zeros(num, dtype=np.int64),
        history=Histories(
            item=none.astype(np.int32),
            kind=none.astype(np.int8),
            quantity=none.astype(np.float32),
            amount=none.astype(np.float32),
            at=none.astype(np.int64),
            offsets=nowhere,
        ),
    )


def _calendar(asked_at: Ints, rows: Mapping[str, Ints]) -> dict[str, tuple[int | None, int]] | None:
    """When each split begins and ends; None where all are of one moment."""
    if len(np.unique(asked_at)) < 2:
        return None
    starts = {split: int(asked_at[some].min()) for split, some in rows.items()}
    return {
        "train": (None, starts["valid"]),
        "valid": (starts["valid"], starts["test"]),
        "test": (starts["test"], int(asked_at.max()) + 1),
    }
