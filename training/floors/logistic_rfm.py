"""Logistic regression on recency, frequency and money: what an analyst tries first.

Next: ``bg_nbd.py``.
"""

from __future__ import annotations

from typing import ClassVar

from training.floors.logistic import Logistic


class LogisticRfm(Logistic):
    """Logistic regression of each head on the logs of the three numbers."""

    columns: ClassVar[tuple[str, ...]] = ("recency_days_purchase", "num_orders", "spend")
