"""State and a moment of asking give features: the one definition of everything that ages.

Plain numpy over a mapping of columns: scalars ``(n,)`` as float64 with NaN for unknown, lists as
:class:`Lists`. Microseconds and micros are whole numbers below 2**53, so float64 keeps them exact.
The same functions run inside Feast's on-demand views and in the fast path. Next: ``views``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from feature_repo.rollups import (
    BEHAVIOURS,
    COUNTED,
    ITEM_DAYS,
    ITEM_STATE,
    MICROS,
    USER_DAYS,
    USER_STATE,
)
from feature_repo.settings import DAY
from feature_repo.treatments import TREATMENT

if TYPE_CHECKING:
    import pandas as pd

WINDOWS = (7, 30, 90)
_IN_WINDOWS = (*((kind, 1) for kind in BEHAVIOURS), ("orders", 1), ("spend", MICROS))
"""What is counted by window, in the order of ``rollups.COUNTED``, and its unit."""
SCALAR_INPUTS = frozenset({"asked_at", *USER_STATE, *ITEM_STATE})
LIST_INPUTS = frozenset({*USER_DAYS, *ITEM_DAYS, "treatment_at"})

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lists:
    """Ragged rows, padded on the right with NaN: `values` ``(n, L)``, `lengths` ``(n,)``."""

    values: Floats
    lengths: NDArray[np.int64]

    @classmethod
    def pad(cls, rows: Sequence[Sequence[float] | NDArray | None]) -> Lists:
        """Pad `rows`; None is an empty row."""
        lengths = np.array([0 if row is None else len(row) for row in rows], dtype=np.int64)
        values = np.full((len(rows), int(lengths.max(initial=0))), np.nan)
        filled = [np.asarray(row, dtype=np.float64) for row in rows if row is not None and len(row)]
        if filled:
            values[np.arange(values.shape[1]) < lengths[:, None]] = np.concatenate(filled)
        return cls(values, lengths)


Columns = Mapping[str, Floats | Lists]

USER_FEATURES: tuple[str, ...] = (
    "tenure_days",
    "tenure_days_purchase",
    *(f"recency_days_{kind}" for kind in BEHAVIOURS),
    "num_purchases",
    "num_days_with_purchase",
    "num_orders",
    "spend",
    "returned_spend",
    "average_order_value",
    "mean_gap_days",
    "lateness",
    *(f"num_{kind}_{days}d" for kind in BEHAVIOURS for days in WINDOWS),
    *(f"num_orders_{days}d" for days in WINDOWS),
    *(f"spend_{days}d" for days in WINDOWS),
    f"recency_days_{TREATMENT}",
    *(f"num_{TREATMENT}_{days}d" for days in WINDOWS),
)

ITEM_FEATURES: tuple[str, ...] = (
    "price",
    "age_days",
    "num_buyers",
    *(f"num_purchases_{days}d" for days in WINDOWS),
    *(f"num_views_{days}d" for days in WINDOWS),
)


def user(columns: Columns) -> dict[str, Floats]:
    """User features at ``asked_at`` from user_state, user_days and the times of user_treatments.

    Recency and tenure are days since an event. A window of w days is the UTC day of asking and the
    w - 1 days before it. ``mean_gap_days`` is the mean distance between purchase days and
    ``lateness`` the days since the last purchase divided by it: above 1 the shopper is late for
    the own rhythm. A shopper without state has NaN everywhere but in what the shop did: of
    treatments there are 0 for whoever has state, and NaN for whoever has neither.
    """
    asked_at = _scalar(columns, "asked_at")
    known = ~np.isnan(_scalar(columns, "first_at"))
    features = {
        "tenure_days": (asked_at - _scalar(columns, "first_at")) / DAY,
        "tenure_days_purchase": (asked_at - _scalar(columns, "first_purchase_at")) / DAY,
    }
    for kind in BEHAVIOURS:
        features[f"recency_days_{kind}"] = (asked_at - _scalar(columns, f"last_{kind}_at")) / DAY
    features |= _totals(columns)
    features |= _rhythm(columns, features["recency_days_purchase"])
    features |= _user_windows(columns, asked_at, known)
    features |= _treatments(columns, asked_at, known)
    return {name: features[name] for name in USER_FEATURES}


def item(columns: Columns) -> dict[str, Floats]:
    """Item features at ``asked_at`` from the columns of item_state and item_days.

    Items change at midnight UTC: a window of w days is the w days before the day of asking.
    """
    asked_at = _scalar(columns, "asked_at")
    known = ~np.isnan(_scalar(columns, "item_first_at"))
    features = {
        "price": _scalar(columns, "price_micros") / MICROS,
        "age_days": (asked_at - _scalar(columns, "item_first_at")) / DAY,
        "num_buyers": _scalar(columns, "item_num_buyers"),
    }
    today = np.floor(asked_at / DAY)
    days = _lists(columns, "sold_day").values
    for name, column in (("purchases", "sold_purchases"), ("views", "sold_views")):
        counts = _lists(columns, column).values
        for window in WINDOWS:
            inside = (days >= today[:, None] - window) & (days < today[:, None])
            total = np.where(inside, counts, 0.0).sum(axis=1)
            features[f"num_{name}_{window}d"] = np.where(known, total, np.nan)
    return {name: features[name] for name in ITEM_FEATURES}


def derive_frame(
    function: Callable[[Columns], dict[str, Floats]], inputs: pd.DataFrame, block: int = 8192
) -> pd.DataFrame:
    """Run `function` over a pandas frame in blocks, so that padded lists stay small in memory."""
    import pandas as pd

    parts = [
        function(columns_of(inputs.iloc[start : start + block]))
        for start in range(0, max(len(inputs), 1), block)
    ]
    merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return pd.DataFrame(merged, index=inputs.index)


def columns_of(inputs: pd.DataFrame) -> dict[str, Floats | Lists]:
    """The numeric columns of a pandas frame: list cells become :class:`Lists`."""
    columns: dict[str, Floats | Lists] = {}
    for name in inputs.columns:
        values = inputs[name]
        if name in LIST_INPUTS:
            cells = values.tolist()
            columns[name] = Lists.pad([cell if _is_list(cell) else None for cell in cells])
        elif name in SCALAR_INPUTS:
            columns[name] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return columns


def scalars(values: Sequence[float | None]) -> Floats:
    """A scalar column; None is unknown."""
    return np.array(values, dtype=np.float64)


def _is_list(cell: object) -> bool:
    return isinstance(cell, list | tuple | np.ndarray)


def _scalar(columns: Columns, name: str) -> Floats:
    values = columns[name]
    assert isinstance(values, np.ndarray), f"{name} must be scalar"
    return values


def _lists(columns: Columns, name: str) -> Lists:
    values = columns[name]
    assert isinstance(values, Lists), f"{name} must be a list column"
    return values


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide where the denominator is above zero, unknown elsewhere."""
    safe = np.where(denominator > 0, denominator, np.nan)
    return numerator / safe


def _totals(columns: Columns) -> dict[str, Floats]:
    spend = _scalar(columns, "spend_micros") / MICROS
    num_orders = _scalar(columns, "num_orders")
    return {
        "num_purchases": _scalar(columns, "num_purchase"),
        "num_days_with_purchase": _scalar(columns, "num_purchase_days"),
        "num_orders": num_orders,
        "spend": spend,
        "returned_spend": _scalar(columns, "returned_micros") / MICROS,
        "average_order_value": _ratio(spend, num_orders),
    }


def _rhythm(columns: Columns, recency_days: Floats) -> dict[str, Floats]:
    first = np.floor(_scalar(columns, "first_purchase_at") / DAY)
    last = np.floor(_scalar(columns, "last_purchase_at") / DAY)
    mean_gap_days = _ratio(last - first, _scalar(columns, "num_purchase_days") - 1)
    return {"mean_gap_days": mean_gap_days, "lateness": _ratio(recency_days, mean_gap_days)}


def _user_windows(columns: Columns, asked_at: Floats, known: NDArray) -> dict[str, Floats]:
    today = np.floor(asked_at / DAY)
    days, running_day = _lists(columns, "closed_day").values, _scalar(columns, "running_day")
    first = today - np.array(WINDOWS)[:, None] + 1  # (windows, n)
    is_closed = (days >= first[:, :, None]) & (days <= today[:, None])
    is_running = (running_day >= first) & (running_day <= today)
    counts = np.array([_lists(columns, f"closed_{name}").values for name in COUNTED])
    running = np.array([_scalar(columns, f"running_{name}") for name in COUNTED])
    # Whole numbers below 2**53 throughout, so that no order of adding changes a sum.
    totals = np.einsum("wnl,cnl->cwn", is_closed.astype(np.float64), np.nan_to_num(counts))
    totals += np.where(is_running, running[:, None], 0.0)
    totals[:, :, ~known] = np.nan
    return {
        f"{name if name == 'spend' else f'num_{name}'}_{window}d": totals[count, place] / unit
        for count, (name, unit) in enumerate(_IN_WINDOWS)
        for place, window in enumerate(WINDOWS)
    }


def _treatments(columns: Columns, asked_at: Floats, known: NDArray) -> dict[str, Floats]:
    """Fatigue: how many treatments lately, and how long ago the last one was."""
    done = _lists(columns, "treatment_at")
    is_told = known | (done.lengths > 0)
    last = np.where(np.isnan(done.values), -np.inf, done.values).max(axis=1, initial=-np.inf)
    recency_days = np.where(np.isfinite(last), (asked_at - last) / DAY, np.nan)
    features = {f"recency_days_{TREATMENT}": recency_days}
    days, today = np.floor(done.values / DAY), np.floor(asked_at / DAY)[:, None]
    for window in WINDOWS:
        num = ((days > today - window) & (days <= today)).sum(axis=1)
        features[f"num_{TREATMENT}_{window}d"] = np.where(is_told, num, np.nan)
    return features
