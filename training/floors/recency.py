"""The longer away, the more likely gone: days since the last purchase, and nothing else.

On comparable public data this comes within .01 AUC of the best. A logistic curve and no free one:
the test may ask about absences longer than a young shop's training rows ever saw.
Next: ``logistic_rfm.py``.
"""

from __future__ import annotations

from typing import ClassVar

from training.floors.logistic import Logistic


class Recency(Logistic):
    """Logistic regression of each head on the log of recency."""

    columns: ClassVar[tuple[str, ...]] = ("recency_days_purchase",)
