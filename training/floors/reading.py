"""How floors read a dataset folder: the one place that knows where a column is.

Next: ``popularity.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from feature_repo.events import KIND_CODES
from training.datasets.batches import Dataset
from training.metrics.steps import ASKED, STEP_LABELS


@dataclass(frozen=True, slots=True)
class Behaviours:
    """Behaviours with an item of several shoppers, oldest first within each, ragged made flat."""

    row: np.ndarray
    """Which of the rows asked for, (k,)."""
    item: np.ndarray
    """Item index, (k,), above 0."""
    back: np.ndarray
    """Moments back, (k,): 1 for everything of the shopper's last moment, 2 for the one before."""


def head_names(dataset: Dataset) -> list[str]:
    """The heads of all tasks, in the order of the label columns."""
    return [head for heads in dataset.meta["heads"].values() for head in heads]


def amount_names(dataset: Dataset) -> set[str]:
    """Those heads that are amounts of money."""
    return {head for heads in dataset.meta["amounts"].values() for head in heads}


def examples_of(dataset: Dataset, split: str, task: str) -> np.ndarray:
    """Numbers of the examples of `task`; next_item's only if they have a target left."""
    found = dataset.examples(split)
    mine = np.asarray(found.task) == list(dataset.meta["tasks"]).index(task)
    if task == "next_item":
        mine &= np.diff(found.target_offsets) > 0
    return np.flatnonzero(mine)


def step_labels(
    dataset: Dataset, split: str, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcome, days and category (m, U) of the next steps after `rows`; NaN where unknown."""
    heads, labels = (dataset.meta[part] for part in ("heads", "labels"))
    first = sum(map(len, heads.values()))
    for name, columns in labels.items():
        if name == "next_actions":
            break
        first += len(columns)
    found = np.asarray(dataset.examples(split).label[rows], dtype=np.float64)
    kind, days, category = np.split(found[:, first : first + len(STEP_LABELS)], len(ASKED), axis=1)
    return kind.astype(np.int64), days, category


def by_week(
    dataset: Dataset, split: str, rows: np.ndarray, column: Callable[[int], np.ndarray]
) -> np.ndarray:
    """`column` (I,) of each row's week, (m, I); it is called once for each distinct week."""
    weeks, which = np.unique(dataset.examples(split).week[rows], return_inverse=True)
    found = [column(int(week)) for week in weeks]
    return np.stack(found)[which] if found else np.zeros((0, dataset.meta["num_items"]))


def item_scalar(dataset: Dataset, week: int, name: str) -> np.ndarray:
    """An item feature (I,) as of `week`, normalised; where unknown, below all that is known."""
    names = dataset.spec.item.output_names
    scalars = dataset.items(week).scalars_IS
    value, missing = scalars[:, names.index(name)], scalars[:, names.index(f"{name}_missing")]
    return np.where(missing > 0, value.min(initial=0.0) - 1.0, value)


def user_scalars(dataset: Dataset, split: str, rows: np.ndarray, *names: str) -> np.ndarray:
    """Features (m, 2 names) of each row's shopper, normalised, then 1 where they are unknown."""
    known = dataset.spec.user.output_names
    columns = [known.index(name) for name in (*names, *(f"{name}_missing" for name in names))]
    return np.asarray(dataset.examples(split).scalars[rows], dtype=np.float64)[:, columns]


def raw_user_feature(dataset: Dataset, split: str, rows: np.ndarray, name: str) -> np.ndarray:
    """A feature (m,) of each row's shopper in its own unit; NaN where unknown."""
    place = dataset.spec.user.names.index(name)
    value, missing = user_scalars(dataset, split, rows, name).T
    mean, deviation = dataset.spec.user.means[place], dataset.spec.user.deviations[place]
    logs = value * deviation + mean
    return np.where(missing > 0, np.nan, np.sign(logs) * np.expm1(np.abs(logs)))


def behaviours(
    dataset: Dataset, split: str, rows: np.ndarray, kinds: tuple[str, ...]
) -> Behaviours:
    """What the shoppers of `rows` did with items before they were asked about, of these `kinds`."""
    history = dataset.examples(split).history.take(np.asarray(rows))
    row = np.repeat(np.arange(len(rows)), np.diff(history.offsets))
    kept = (history.item > 0) & np.isin(history.kind, [KIND_CODES[kind] for kind in kinds])
    row, item, at = row[kept], history.item[kept].astype(np.int64), history.at[kept]
    opens = np.ones(len(row), dtype=bool)
    opens[1:] = (row[1:] != row[:-1]) | (at[1:] != at[:-1])
    moment = np.cumsum(opens)
    last = np.zeros(len(rows), dtype=np.int64)
    np.maximum.at(last, row, moment)
    return Behaviours(row=row, item=item, back=last[row] - moment + 1)
