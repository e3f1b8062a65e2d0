"""Rows that know the future stop here, before anything is learnt from them.

Two nets. What has a time must lie before the moment of asking: behaviours, last times, ages. And no
single feature may tell a label all but perfectly: nothing honest does, while a window that was
opened in the wrong direction does. Slower and complete is the third, a test: rows made from events
cut off at a moment equal the rows made from all (``tests/training/test_no_future.py``).
Next: ``rows.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.metrics.probability import auc

MIN_CASES = 50
MAX_AUC = 0.99
_AGE = re.compile(r"^(tenure|recency|age)_days")


class FutureLeak(ValueError):
    """A feature row holds what was not known when it was asked for."""


def check_times(frame: pl.DataFrame, key: str) -> None:
    """Check that everything in `frame` happened before its ``event_timestamp``.

    Columns that end in ``_at`` are times in microseconds (plain or lists); ``tenure_days``,
    ``recency_days…`` and ``age_days`` are ages, which are above 0 for what is past.

    Raises
    ------
    FutureLeak
        Names the feature, the key, the value and the moment.
    """
    asked_at = pl.col("event_timestamp").cast(pl.Int64)
    for name, kind in frame.schema.items():
        if _AGE.match(name):
            _refuse(frame, key, name, pl.col(name) <= 0)
        elif name.endswith("_at") and kind == pl.Int64:
            _refuse(frame, key, name, pl.col(name) >= asked_at)
        elif name.endswith("_at") and kind == pl.List(pl.Int64):
            _refuse(frame, key, name, pl.col(name).list.max() >= asked_at)


def check_labels(
    columns: Iterable[NDArray[np.float64]],
    names: Sequence[str],
    labels: NDArray[np.float32],
    heads: Sequence[str],
) -> None:
    """Check that none of the `columns` of all `names` tells a column of `labels` ``(n, heads)``.

    Columns are looked at one after the other. A label with fewer than 50 cases of either kind is
    not looked at: chance separates a few. Neither is one of amounts.

    Raises
    ------
    FutureLeak
        When the area under the ROC curve of one feature alone is above 0.99, or below 0.01.
    """
    told = {}
    for head, truth in zip(heads, labels.T, strict=True):
        asked = ~np.isnan(truth)
        cases = truth[asked]
        is_yes_or_no = np.isin(cases, (0.0, 1.0)).all()
        if is_yes_or_no and min(cases.sum(), len(cases) - cases.sum()) >= MIN_CASES:
            told[head] = (asked, cases)
    for name, column in zip(names, columns, strict=True):
        filled = np.nan_to_num(column, nan=-1e18)
        for head, (asked, cases) in told.items():
            area = auc(filled[asked], cases)
            if max(area, 1 - area) > MAX_AUC:
                raise FutureLeak(
                    f"feature {name!r} alone tells {head!r} with an AUC of {area:.4f}; no honest "
                    "feature does: look whether it reads events after the moment of asking, and "
                    "take it out of the feature service"
                )


def _refuse(frame: pl.DataFrame, key: str, name: str, is_future: pl.Expr) -> None:
    found = frame.filter(is_future)
    if found.height:
        row = found.row(0, named=True)
        raise FutureLeak(
            f"feature {name!r} of {key} {row[key]!r} is {row[name]} when asked at "
            f"{row['event_timestamp']}: that is not before the moment of asking "
            f"({found.height} rows); check the stamps of the view's rows"
        )
