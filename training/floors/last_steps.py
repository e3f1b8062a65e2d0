"""The last step of each shopper before a moment, as the floors of next actions read it.

Next: ``step_frequency.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.events import KIND_CODES
from training.datasets.batches import Dataset
from training.metrics.steps import KINDS

DAY = 86_400_000_000
NONE = -1


@dataclass(frozen=True, slots=True)
class LastSteps:
    """Of m shoppers; NONE, or NaN, where there is nothing to say."""

    kind: np.ndarray
    """(m,), place in ``OUTCOMES``."""
    days_since: np.ndarray
    """(m,), from the step to the moment of asking."""
    gap_days: np.ndarray
    """(m,), from the step before to it."""
    category: np.ndarray
    """(m,), number of the category of its last line."""


def last_steps(dataset: Dataset, split: str, rows: np.ndarray) -> LastSteps:
    """What the shoppers of `rows` did last; searches and messages are no steps."""
    found = dataset.examples(split)
    history = found.history.take(np.asarray(rows))
    row = np.repeat(np.arange(len(rows)), np.diff(history.offsets))
    outcome = np.full(max(KIND_CODES.values()) + 1, NONE)
    outcome[[KIND_CODES[kind] for kind in KINDS]] = np.arange(len(KINDS))
    kind = outcome[history.kind]
    kept = kind != NONE
    row, kind, at, item = row[kept], kind[kept], history.at[kept], history.item[kept]
    opens = np.ones(len(row), dtype=bool)
    opens[1:] = (np.diff(row) > 0) | (np.diff(at) > 0) | (np.diff(kind) != 0)
    step = np.cumsum(opens) - 1
    line = np.full(len(rows), NONE)  # the last line of each shopper
    line[row] = np.arange(len(row))
    some = np.flatnonzero(line != NONE)
    line, asked_at = line[some], np.asarray(found.asked_at)[np.asarray(rows)[some]]
    first = np.flatnonzero(opens)  # the first line of each step
    before = step[line] - 1
    has_before = (before >= 0) & (row[first[before]] == row[line])
    gap = np.where(has_before, (at[line] - at[first[before]]) / DAY, np.nan)
    of_item = np.array(dataset.meta["categories"]["of_item"])
    return LastSteps(
        kind=_spread(kind[line], some, len(rows), NONE).astype(np.int64),
        days_since=_spread((asked_at - at[line]) / DAY, some, len(rows), np.nan),
        gap_days=_spread(gap, some, len(rows), np.nan),
        category=_spread(of_item[item[line]], some, len(rows), NONE).astype(np.int64),
    )


def _spread(values: np.ndarray, places: np.ndarray, num: int, otherwise: float) -> np.ndarray:
    """`values` at `places` of (num,), `otherwise` elsewhere."""
    spread = np.full(num, otherwise, dtype=np.float64)
    spread[places] = values
    return spread
