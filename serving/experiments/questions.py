"""What an experiment asks: metrics by name, and guardrails as bounds on their effects.

Next: ``analysis.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.metrics.experiment.effects import linearised

Kind = Literal["proportion", "mean", "ratio"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a table of users."""

    name: str
    kind: Kind
    column: str
    words: str
    per: str = ""
    """Column that a ratio divides by; sums over sums."""
    is_good_up: bool = True
    """Whether more of it is better."""

    def values(self, users: pl.DataFrame) -> NDArray[np.float64]:
        """One value a user, whose mean is the metric; a ratio's by the delta method."""
        found = users[self.column].cast(pl.Float64).to_numpy()
        if self.kind != "ratio":
            return found
        return linearised(found, users[self.per].cast(pl.Float64).to_numpy())


METRICS = {
    metric.name: metric
    for metric in (
        Metric("purchase", "proportion", "purchased", "share of shoppers who buy"),
        Metric("visit", "proportion", "visited", "share of shoppers who come back"),
        Metric("spend", "mean", "spent", "spend per shopper"),
        Metric("orders", "mean", "orders", "orders per shopper"),
        Metric("order_value", "ratio", "spent", "spend per order", per="orders"),
        Metric("profit", "mean", "profit", "profit per shopper, actions paid"),
        Metric("cost", "mean", "cost", "cost of actions per shopper", is_good_up=False),
        Metric("returned", "mean", "returned", "value sent back per shopper", is_good_up=False),
        Metric("messages", "mean", "messages", "messages to the shop each", is_good_up=False),
    )
}
"""What the warehouse can tell of each exposed shopper."""


@dataclass(frozen=True, slots=True)
class Guardrail:
    """The effect of every arm on `metric` must stay on one side of `bound`."""

    metric: Metric
    is_ceiling: bool
    bound: float

    def __str__(self) -> str:
        return f"{self.metric.name}{'<' if self.is_ceiling else '>'}{self.bound:g}"


def metric_of(name: str) -> Metric:
    """The metric of that name.

    Raises
    ------
    ValueError
        When there is none.
    """
    if name not in METRICS:
        raise ValueError(f"there is no metric {name!r}; choose from {', '.join(METRICS)}")
    return METRICS[name]


def guardrail_of(text: str) -> Guardrail:
    """``METRIC<BOUND`` or ``METRIC>BOUND``, the bound in the metric's own unit.

    Raises
    ------
    ValueError
        When it is neither.
    """
    found = re.fullmatch(r"\s*(\w+)\s*([<>])\s*([-+.\de]+)\s*", text)
    try:
        if found is None:
            raise ValueError(text)
        bound = float(found[3])
    except ValueError as error:
        raise ValueError(
            f"guardrail {text!r} cannot be read; write it as returned<0.5 or purchase>-0.02"
        ) from error
    return Guardrail(metric_of(found[1]), found[2] == "<", bound)
